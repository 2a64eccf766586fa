"""What is done to a transcript behind recognition, if it was asked for: named steps with a version, and redaction.

A step's name stands for what it does: another behaviour gets another number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from asr.errors import OptionError
from asr.results import Transcript
from asr.text.spoken_numbers import find_numbers, write_numbers

STEPS: dict[str, Callable[[Transcript], Transcript]] = {"itn-en-1": write_numbers}


def check_steps(names: Sequence[str]) -> None:
    """Refuse steps that cannot run.

    Raises:
        OptionError: a name is not known.
        MissingDependencyError: what a step needs is not installed.
    """
    for name in names:
        if name not in STEPS:
            raise OptionError(
                f"step {name!r} is not known; there are {', '.join(sorted(STEPS))}", field="steps"
            )
        find_numbers([])  # all of them need this


def finisher(steps: Sequence[str], redact: Sequence[str]) -> Callable[[Transcript], Transcript]:
    """The steps in their order, then redaction, as one function.

    Raises:
        OptionError: a step or a kind of words is not known.
        MissingDependencyError: what one needs is not installed.
    """
    check_steps(steps)
    parts = [STEPS[name] for name in steps]
    if redact:
        from asr.text.redaction import Redactor

        parts.append(Redactor(redact))

    def finish(transcript: Transcript) -> Transcript:
        for part in parts:
            transcript = part(transcript)
        return replace(transcript, steps=tuple(steps))

    return finish

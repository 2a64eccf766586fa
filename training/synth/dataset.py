"""A data set out of sentences: recordings by several voices, augmented, with the manifest that training
reads.

Everything about a recording follows from the sentence, the copy and the options, so an interrupted run goes
on where it stopped and a repeated one gives the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr.audio.files import audio_duration_s, write_audio
from asr.data.manifest import Utterance, write_manifest
from asr.errors import InputError, OptionError
from asr.text.languages import ENGLISH
from asr.units import MAX_UTTERANCE_S, to_samples, to_seconds
from training.augment import AugmentOptions, Range, active_rms, augment
from training.synth.speech import MAX_SPEED, MIN_SPEED, SpeechEngine, engines_named

MANIFEST_NAME = "manifest.jsonl"
_SPEECH_LEVEL = 10 ** (-23 / 20)  # RMS of every voice before augmentation: engines differ by 15 dB
_FLOOR_DBFS = (-75.0, -60.0)  # no microphone gives digital silence
_MAX_PEAK = 0.99
_MAX_NAMED = 5
_VERSION = "1"  # part of every file's name: change it when the same options would sound different


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """What is to be said.

    Attributes:
        id: unique in the data set; the utterances' ids are made from it.
        text: goes into the manifest as it is.
        terms: domain terms in the text, or None.
    """

    id: str
    text: str
    terms: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class SynthesisOptions:
    """How sentences become recordings.

    Attributes:
        copies: recordings of each sentence, each with a voice, pace and surroundings of its own.
        seed: of everything that is drawn.
        engines: names of speech engines; () takes all that are installed, so that the data set depends on the
            machine.
        language: of the sentences; goes into the manifest.
        speed: range of the pace, within 0.5 to 2.
        pitch: range of the factor on each voice's fundamental, within 0.7 to 1.4.
        silence_s: range of the silence before and after the speech.
        augmentation: surroundings; ``telephone_probability`` in it is the share of telephone calls.
        suffix: ".flac" (half the size) or ".wav".
        num_threads: 0 takes one for each core, at most 8.
    """

    copies: int = 1
    seed: int = 0
    engines: tuple[str, ...] = ()
    language: str = ENGLISH
    speed: Range = (0.8, 1.25)
    pitch: Range = (0.92, 1.1)
    silence_s: Range = (0.1, 0.6)
    augmentation: AugmentOptions = field(default_factory=AugmentOptions)
    suffix: str = ".flac"
    num_threads: int = 0

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            OptionError: an option is outside its range; names the field.
        """
        if self.copies < 1:
            raise OptionError(f"copies is {self.copies}; it must be at least 1", field="copies")
        if self.suffix not in (".flac", ".wav"):
            raise OptionError(f"suffix is {self.suffix!r}; use .flac or .wav", field="suffix")
        if self.num_threads < 0:
            raise OptionError(
                f"num_threads is {self.num_threads}; it must be at least 0", field="num_threads"
            )
        limits = {"speed": (MIN_SPEED, MAX_SPEED), "pitch": (0.7, 1.4), "silence_s": (0.0, 2.0)}
        for name, (lowest, highest) in limits.items():
            low, high = getattr(self, name)
            if not lowest <= low <= high <= highest:
                raise OptionError(
                    f"{name} is {low:g} to {high:g}; use a range in {lowest:g} to {highest:g}", field=name
                )

    @property
    def fingerprint(self) -> str:
        """Changes with every option that is heard; not with ``copies`` or ``num_threads``."""
        heard = (self.seed, self.speed, self.pitch, self.silence_s, self.augmentation)
        return hashlib.sha256(f"{_VERSION} {heard!r}".encode()).hexdigest()


def synthesize_dataset(
    sentences: Sequence[Sentence],
    out_dir: Path,
    *,
    options: SynthesisOptions,
    progress: Callable[[], None] | None = None,
) -> Path:
    """Speak every sentence ``options.copies`` times into ``out_dir`` and write its manifest.

    Recordings that are there already are kept, so a run that was interrupted goes on. The manifest is written
    last and appears whole.

    Args:
        sentences: with distinct ids.
        out_dir: made if absent; gets ``audio/`` and ``manifest.jsonl``.
        options: how.
        progress: called once for each recording that is done or was there, from this thread.

    Returns:
        The manifest's path.

    Raises:
        InputError: there are no sentences, ids that occur twice, or texts that no engine can say or that are
            too long; all such texts are found before it is raised, and the other recordings are kept.
        OptionError, MissingDependencyError: an engine that is unknown or not installed.
    """
    _check_ids(sentences)
    plan = _Plan(
        out_dir=Path(out_dir), options=options, engines=engines_named(options.engines, options.language)
    )
    jobs = [(sentence, copy) for sentence in sentences for copy in range(options.copies)]
    made: list[Utterance | None] = [None] * len(jobs)
    failures: list[str] = []
    for index, outcome in _in_threads(plan, jobs):
        if isinstance(outcome, Utterance):
            made[index] = outcome
        else:
            failures.append(str(outcome))
        if progress is not None:
            progress()
    if failures:
        named = "; ".join(sorted(set(failures))[:_MAX_NAMED])
        raise InputError(f"{len(set(failures))} recordings could not be made: {named}")
    manifest = plan.out_dir / MANIFEST_NAME
    write_manifest(manifest, [utterance for utterance in made if utterance is not None])
    return manifest


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What all recordings of a data set share."""

    out_dir: Path
    options: SynthesisOptions
    engines: list[SpeechEngine]

    def record(self, sentence: Sentence, copy: int) -> Utterance:
        """Make one recording, unless it is there."""
        identity = f"{self.options.fingerprint}\0{sentence.id}\0{sentence.text}\0{copy}"
        digest = hashlib.sha256(identity.encode()).digest()
        generator = np.random.default_rng(int.from_bytes(digest[:16], "big"))
        engine = self.engines[int(generator.integers(len(self.engines)))]
        voice = str(generator.choice(engine.voices))
        speaker = f"{engine.name}-{voice}"
        # The speaker is part of the name: with another set of engines the same draw is another voice.
        stem = f"{_file_stem(sentence.id)}-{copy}-{_file_stem(speaker)}-{digest.hex()[:10]}"
        path = self.out_dir.resolve() / "audio" / f"{stem}{self.options.suffix}"
        if not path.exists():
            write_audio(path, self._sound(sentence.text, engine, voice, generator))
        return Utterance(
            id=f"{sentence.id}-{copy}" if self.options.copies > 1 else sentence.id,
            audio_path=path,
            duration_s=round(audio_duration_s(path), 4),
            text=sentence.text,
            terms=sentence.terms,
            speaker=speaker,
            language=self.options.language,
        )

    def _sound(
        self, text: str, engine: SpeechEngine, voice: str, generator: np.random.Generator
    ) -> NDArray[np.float32]:
        speed, pitch = generator.uniform(*self.options.speed), generator.uniform(*self.options.pitch)
        speech = engine.synthesize(
            text, voice=voice, speed=speed, pitch=pitch, seed=int(generator.integers(2**31))
        )
        sound = augment(
            _in_silence(speech, self.options.silence_s, generator),
            int(generator.integers(2**31)),
            self.options.augmentation,
        )
        if to_seconds(sound.size) > MAX_UTTERANCE_S:
            raise InputError(
                f"{text[:60]!r}... takes {to_seconds(sound.size):.1f} s to say, the limit is "
                f"{MAX_UTTERANCE_S:g} s; split the text"
            )
        return sound


def _in_silence(
    speech: NDArray[np.float32], silence_s: Range, generator: np.random.Generator
) -> NDArray[np.float32]:
    """The speech at its standard level, between two pauses, over a floor of faint noise."""
    level = active_rms(speech)
    peak = float(np.max(np.abs(speech), initial=0.0))
    scale = min(_SPEECH_LEVEL / level, _MAX_PEAK / peak) if level else 1.0
    lead, tail = (to_samples(generator.uniform(*silence_s)) for _ in range(2))
    sound = np.pad(speech * np.float32(scale), (lead, tail))
    floor = np.float32(10 ** (generator.uniform(*_FLOOR_DBFS) / 20))
    return np.asarray(sound + floor * generator.standard_normal(sound.size), np.float32)


def _in_threads(
    plan: _Plan, jobs: Sequence[tuple[Sentence, int]]
) -> Iterator[tuple[int, Utterance | InputError]]:
    """Results as they come, with the job's place; the queue is bounded, and an interrupt leaves it empty.

    Threads suffice: the synthesiser and the transforms run outside the interpreter's lock.
    """
    num_threads = plan.options.num_threads or min(8, os.cpu_count() or 1)
    waiting = iter(enumerate(jobs))
    running: dict[Future[Utterance], int] = {}
    with ThreadPoolExecutor(num_threads, thread_name_prefix="synthesize") as pool:
        try:
            while True:
                while len(running) < 2 * num_threads and (job := next(waiting, None)) is not None:
                    running[pool.submit(plan.record, *job[1])] = job[0]
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), _outcome(future)
        finally:
            pool.shutdown(cancel_futures=True)


def _outcome(future: Future[Utterance]) -> Utterance | InputError:
    try:
        return future.result()
    except OptionError:
        raise
    except InputError as error:
        return error


def _check_ids(sentences: Sequence[Sentence]) -> None:
    if not sentences:
        raise InputError("there is nothing to say: no sentences")
    seen: set[str] = set()
    for sentence in sentences:
        if sentence.id in seen:
            raise InputError(f"the id {sentence.id!r} occurs twice; give every sentence its own")
        seen.add(sentence.id)


def _file_stem(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name)[:80]

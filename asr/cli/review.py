"""``lexitune data review``: what a model was unsure of, one after the other, heard and corrected in a terminal.

Answers are lines of stdin, so that a script can give them, too.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli import connection
from asr.cli.console import message, stderr, stdout
from asr.errors import CandidateNotFoundError

if TYPE_CHECKING:
    from asr.client import Candidate, CorrectionsClient

PLAYERS: tuple[tuple[str, ...], ...] = (
    ("aplay", "-q"),
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"),
)
HELP = "Enter: it is right; text: what was said; . nobody spoke; - rejects it; ? plays it again; s skips it; q ends"


def review(
    server: Annotated[str, typer.Option(help="HOST:PORT of a running lexitune serve.")] = "127.0.0.1:50051",
    limit: Annotated[int, typer.Option(min=0, help="So many at most; 0 for all that wait.")] = 0,
    reviewer: Annotated[str, typer.Option(help="Who says what was said; kept with each correction.")] = "",
    tls: connection.Tls = False,
    ca: connection.Ca = None,
    certificate: connection.Certificate = None,
    private_key: connection.PrivateKey = None,
    token_file: connection.TokenFile = None,
) -> None:
    """Correct what a model was unsure of, the most unsure first: each is shown and played, and a line answers."""
    from asr.client import CandidateState, CorrectionsClient

    credentials = connection.credentials_of(
        tls=tls, ca=ca, certificate=certificate, private_key=private_key, token_file=token_file
    )
    done: Counter[str] = Counter()
    with CorrectionsClient(server, credentials) as client, Speaker.open() as speaker:
        message(HELP)
        for number, candidate in enumerate(client.candidates(CandidateState.WAITING), start=1):
            if limit and number > limit:
                break
            try:
                outcome = _reviewed(client, candidate, speaker, reviewer)
            except CandidateNotFoundError:  # somebody deleted it meanwhile
                outcome = "deleted"
            if not outcome:
                break
            done[outcome] += 1
    stdout.print(", ".join(f"{number} {name}" for name, number in done.items()) or "nothing reviewed")


def _reviewed(client: CorrectionsClient, candidate: Candidate, speaker: Speaker, reviewer: str) -> str:
    """Ask about one; what became of it, "" if the person wants no more."""
    path = speaker.write(candidate.id, client.audio(candidate.id))
    stdout.print(
        f"confidence {candidate.confidence:.2f}, {candidate.duration_s:.1f} s, {candidate.model}",
        markup=False,
    )
    stdout.print(f"  {candidate.text}", markup=False)
    while True:
        speaker.play(path)
        stderr.print("> ", end="")
        try:
            answer = input().strip()
        except EOFError:
            answer = "q"
        speaker.stop()
        match answer:
            case "?":
                continue
            case "q":
                return ""
            case "s":
                return "skipped"
            case "-":
                client.reject(candidate.id, reviewer=reviewer)
                return "rejected"
            case "" | ".":
                text = candidate.text if not answer else ""
                client.correct(candidate.id, text, reviewer=reviewer)
                return "confirmed" if text else "without speech"
            case _:
                client.correct(candidate.id, answer, reviewer=reviewer)
                return "corrected"


@dataclass(kw_only=True, slots=True)
class Speaker:
    """Plays audio with a program of the machine's, or says where it is; its files go at the end.

    Attributes:
        folder: of the files.
        command: that plays one; empty: there is none.
    """

    folder: Path
    command: Sequence[str]
    _playing: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextlib.contextmanager
    def open(cls) -> Iterator[Speaker]:
        """A speaker with the first player that is installed."""
        command = next((one for one in PLAYERS if shutil.which(one[0])), ())
        with tempfile.TemporaryDirectory(prefix="lexitune-review-") as folder:
            made = cls(folder=Path(folder), command=command)
            try:
                yield made
            finally:
                made.stop()

    def write(self, name: str, content: bytes) -> Path:
        """A FLAC file as WAVE, which every player takes; the one before goes."""
        from asr.audio.files import read_audio_bytes, write_audio

        for path in self.folder.iterdir():
            path.unlink()
        path = self.folder / f"{name}.wav"
        write_audio(path, read_audio_bytes(content, f"{name}.flac"))
        return path

    def play(self, path: Path) -> None:
        """Begin to play, or say where the file is."""
        if not self.command:
            message(f"no {' or '.join(one[0] for one in PLAYERS)} is installed; hear {path}")
            return
        self._playing = subprocess.Popen(
            [*self.command, str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        """End what plays; a player that failed is told of, and not tried again."""
        if self._playing is None:
            return
        if self._playing.poll() is None:
            self._playing.terminate()
            self._playing.wait()
        elif self._playing.returncode:
            message(
                f"{self.command[0]} cannot play (exit code {self._playing.returncode}); it is not tried again"
            )
            self.command = ()
        self._playing = None

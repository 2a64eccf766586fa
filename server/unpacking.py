"""Audio in containers, unpacked as it arrives: a WAVE header is read here, FLAC and Opus in a process for each stream.

What a client sends is then raw samples like any other, with the format that the container states. Marks between two
messages keep their place: the samples of all bytes before them come first.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from asr.audio.containers import Container
from asr.audio.pcm import Encoding, PcmFormat
from asr.audio.wav_stream import WavStream
from asr.errors import AudioError, LexituneError, OptionError, ProtocolError, UnavailableError
from asr.streaming.messages import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ, StreamConfig
from asr.units import SAMPLE_RATE_HZ
from server.unpack_program import END, ERROR, FORMAT, MORE, SAMPLES
from server.vocabulary import PhraseChange, ServedInput

PIECE_BYTES = 64 << 10  # given to the process at once
ANSWER_WITHIN_S = 60.0
MAX_EARLY = 10_000  # messages until the format is known; a header may come byte by byte
MAX_EARLY_BYTES = 1 << 20  # of phrases until then
_HEAD = struct.Struct("<cI")
# Each thread of a numeric library reserves tens of megabytes of what the process may have.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_LOG = logging.getLogger(__name__)
_ROOT = Path(__file__).resolve().parent.parent


class Unpacker(Protocol):
    """Takes bytes of a container, gives samples."""

    @property
    def is_decided(self) -> bool:
        """Whether the format is known, or known to be stated nowhere."""
        ...

    @property
    def format(self) -> PcmFormat | None:
        """Of the samples; None where there is no header."""
        ...

    def push(self, payload: bytes) -> AsyncIterator[bytes]:
        """The samples that these bytes complete."""
        ...

    def flush(self) -> AsyncIterator[bytes]:
        """The bytes ended: the samples that are left."""
        ...


class _Wav:
    """A WAVE file; with ``or_raw`` bytes that do not begin like one are taken for samples."""

    def __init__(self, *, or_raw: bool) -> None:
        self._stream = WavStream()
        self._or_raw = or_raw

    @property
    def is_decided(self) -> bool:
        return self._stream.is_decided

    @property
    def format(self) -> PcmFormat | None:
        return self._stream.format

    async def push(self, payload: bytes) -> AsyncIterator[bytes]:
        yield self._checked(self._stream.push(payload))

    async def flush(self) -> AsyncIterator[bytes]:
        yield self._checked(self._stream.flush())

    def _checked(self, samples: bytes) -> bytes:
        if self.is_decided and self.format is None and not self._or_raw:
            raise AudioError("the audio does not begin with a RIFF header, and its encoding says WAV")
        return samples


class _Program:
    """A process that decodes one stream; see ``server.unpack_program``."""

    def __init__(self, process: Process, container: Container) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process, self._container = process, container
        self._stdin, self._stdout = process.stdin, process.stdout
        self._has_begun = self._has_asked = self._has_ended = False
        self.format: PcmFormat | None = None

    @property
    def is_decided(self) -> bool:
        return self.format is not None

    async def push(self, payload: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(payload), PIECE_BYTES):
            if self._has_ended:
                raise AudioError(f"the audio goes on behind the end of its {self._container} stream")
            async for samples in self._answers(payload[start : start + PIECE_BYTES]):
                yield samples

    async def flush(self) -> AsyncIterator[bytes]:
        if not self._has_ended:
            async for samples in self._answers(b""):
                yield samples

    async def _answers(self, piece: bytes) -> AsyncIterator[bytes]:
        """Give the process a piece once it asks, and take samples until it asks again or ends."""
        if not self._has_asked:
            async for samples in self._until_asked():
                yield samples
        self._has_asked = False
        self._stdin.write(struct.pack("<I", len(piece)) + piece)
        async for samples in self._until_asked():
            yield samples

    async def _until_asked(self) -> AsyncIterator[bytes]:
        while not (self._has_asked or self._has_ended):
            kind, payload = await self._frame()
            if kind == SAMPLES:
                yield payload
            elif kind == FORMAT:
                facts = json.loads(payload)
                self.format = PcmFormat(**facts | {"encoding": Encoding(facts["encoding"])})
            elif kind == ERROR:
                raise AudioError(payload.decode())
            self._has_asked, self._has_ended = kind == MORE, kind == END
            self._has_begun = True

    async def _frame(self) -> tuple[bytes, bytes]:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                kind, length = _HEAD.unpack(await self._stdout.readexactly(_HEAD.size))
                return kind, await self._stdout.readexactly(length)
        except (asyncio.IncompleteReadError, TimeoutError):
            raise await self._death() from None

    async def _death(self) -> LexituneError:
        """What the end of the process means: before it has asked for anything, it was never fit for work."""
        await _ended(self._process)
        _LOG.error("the decoder of %s audio ended with %s", self._container, self._process.returncode)
        if not self._has_begun:
            return UnavailableError(
                f"the decoder of {self._container} audio does not start; try again, or send another encoding",
                reason="MACHINE",
            )
        return AudioError(
            f"the {self._container} audio cannot be decoded: it took the decoder's process beyond its limits of memory "
            "or time, or ended it; send it as another encoding"
        )


@asynccontextmanager
async def unpacker(container: Container, *, max_s: float) -> AsyncIterator[Unpacker]:
    """What unpacks one stream, at most ``max_s`` of audio; its process, if it has one, ends with the block.

    Raises:
        UnavailableError: there is no room for a process.
    """
    if container in (Container.WAV, Container.WAV_OR_RAW):
        yield _Wav(or_raw=container is Container.WAV_OR_RAW)
        return
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH", ""))))
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "server.unpack_program", container, str(max_s),
            stdin=PIPE, stdout=PIPE, env={**_passed_on(), **_ONE_THREAD, "PYTHONPATH": path},
        )  # fmt: skip
    except OSError as error:
        raise UnavailableError(
            f"no process can be started to decode {container} audio ({error.strerror}); try again",
            reason="MACHINE",
        ) from error
    try:
        yield _Program(process, container)
    finally:
        await _ended(process)


async def _ended(process: Process) -> None:
    """Kill it and wait; what it wrote is read, for asyncio waits for a process until its pipes were read to the end."""
    if process.returncode is None:
        process.kill()
    assert process.stdout is not None
    await process.stdout.read()
    await process.wait()


def _passed_on() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}


class Unpacked:
    """A stream's inputs with their audio unpacked; ``begin`` first, then iterate.

    Args:
        inputs: as the client sends them.
        unpacker: of this stream.
    """

    def __init__(self, inputs: AsyncIterator[ServedInput], unpacker: Unpacker) -> None:
        self._inputs, self._unpacker = inputs, unpacker
        self._rest = self._unpacked()
        self._early: list[ServedInput] = []

    async def begin(self) -> PcmFormat | None:
        """Read until the format is known and no further; None where none is stated, or no audio came.

        Raises:
            AudioError: the audio ends before, or is not what was said.
        """
        phrase_bytes = 0
        while not self._unpacker.is_decided:
            try:
                self._early.append(await anext(self._rest))
            except StopAsyncIteration:
                break
            if isinstance(change := self._early[-1], PhraseChange):
                phrase_bytes += change.num_bytes
            if len(self._early) > MAX_EARLY or phrase_bytes > MAX_EARLY_BYTES:
                raise ProtocolError(
                    f"{len(self._early)} messages, and the audio's header is not there yet; send it first",
                    field="audio",
                )
        return self._unpacker.format

    async def __aiter__(self) -> AsyncIterator[ServedInput]:
        early, self._early = self._early, []
        for one in early:
            yield one
        async for one in self._rest:
            yield one

    async def _unpacked(self) -> AsyncIterator[ServedInput]:
        has_audio = False
        async for message in self._inputs:
            if not isinstance(message, bytes):
                yield message
                continue
            yield b""  # a message all the same: the stream does not idle
            has_audio = has_audio or bool(message)
            async for samples in self._unpacker.push(message):
                yield samples
        if has_audio:
            async for samples in self._unpacker.flush():
                yield samples


def settled(config: StreamConfig, found: PcmFormat | None) -> StreamConfig:
    """The config of a call whose audio has begun: what the container states, checked against what the client said.

    Raises:
        OptionError: no rate is known, or one that is not served.
        AudioError: the container states what is not served, or not what the client said.
    """
    if found is None and config.container is not Container.WAV_OR_RAW:  # no audio came
        return replace(
            config, container=None, sample_rate_hz=SAMPLE_RATE_HZ, channel_count=max(1, config.channel_count)
        )
    if found is None:
        if not MIN_RATE_HZ <= config.sample_rate_hz <= MAX_RATE_HZ:
            raise OptionError(
                f"a sample rate of {config.sample_rate_hz} Hz; give {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz, or send the "
                "audio with its RIFF header",
                field="config.sample_rate_hertz",
            )
        return replace(config, container=None)
    if not MIN_RATE_HZ <= found.sample_rate_hz <= MAX_RATE_HZ:
        raise AudioError(
            f"the audio says {found.sample_rate_hz} Hz; {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz are served: resample it"
        )
    if not 1 <= found.channel_count <= MAX_CHANNELS:
        raise AudioError(
            f"the audio says {found.channel_count} channels; 1 to {MAX_CHANNELS} are served: mix it"
        )
    if config.container is not Container.WAV_OR_RAW:
        _check_stated(config, found)
    return replace(
        config,
        container=None,
        encoding=found.encoding,
        sample_rate_hz=found.sample_rate_hz,
        channel_count=found.channel_count,
    )


def _check_stated(config: StreamConfig, found: PcmFormat) -> None:
    if config.sample_rate_hz not in (0, found.sample_rate_hz):
        raise AudioError(
            f"the audio says {found.sample_rate_hz} Hz, the config {config.sample_rate_hz}; give 0 or the same"
        )
    if config.channel_count not in (0, found.channel_count):
        raise AudioError(
            f"the audio says {found.channel_count} channels, the config {config.channel_count}; give 0 or the same"
        )

"""Worker processes seen from the server: start them, ask them, notice their end, replace them.

A crash in native code then costs one batch, which is tried again, and no stream. What a worker does is ``server.worker``.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from asr.errors import UnavailableError
from asr.models.base import DecodingOptions, Samples
from asr.models.contexts import is_taught, own_frames
from asr.models.resolve import ResolvedModel, resolve_model
from asr.results import Hypothesis
from asr.units import WHISPER_WINDOW_FRAMES
from server.batching import DecodeWork, WorkerDiedError

ANSWER_WITHIN_S = 120.0  # a decoding that takes longer hangs: its process is ended
_THREADS = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedModel:
    """A model that every worker holds.

    Attributes:
        name: short name.
        version: of the registry, or "bundled", "local", "hub".
        reference: immutable.
        sha256: of its content.
        languages: that a request may name.
        own_length: whether segments are heard at their own length.
        is_incremental: whether of an open utterance only what is new is heard.
        memory_bytes: that it takes in each worker, as measured while it was loaded.
    """

    name: str
    version: str
    reference: str
    sha256: str
    languages: tuple[str, ...]
    own_length: bool = False
    is_incremental: bool = False
    memory_bytes: int = 0

    def work(
        self, samples: Samples, options: DecodingOptions, utterance: tuple[str, int] | None = None
    ) -> DecodeWork:
        """A segment for this model, with the context that it is to be decoded in.

        Args:
            samples: (T,), of a whole utterance or of an open one so far.
            options: how to search.
            utterance: the stream's name and the number of an open utterance; None for a whole one.
        """
        own = self.own_length and is_taught(options.language)
        return DecodeWork(
            model=self.reference,
            samples=samples,
            options=options,
            context=own_frames(len(samples)) if own else WHISPER_WINDOW_FRAMES,
            utterance=utterance if self.is_incremental else None,
        )


class WorkerProcess:
    """One process that decodes; may be asked from several threads.

    Args:
        engine: as :meth:`asr.recognizer.Recognizer.load`.
        device: likewise.
    """

    def __init__(self, *, engine: str, device: str) -> None:
        self._engine, self._device = engine, device
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._models: dict[str, ResolvedModel] = {}
        self._start()

    @property
    def pid(self) -> int:
        """Of the process that there is now."""
        return self._process.pid

    def load(self, resolved: ResolvedModel) -> ServedModel:
        """Load and warm up a model; it is loaded again whenever the process is replaced.

        Raises:
            LexituneError: it cannot be loaded.
            WorkerDiedError: the process ended.
        """
        with self._lock:
            self._models[resolved.reference] = resolved
        return ServedModel(**self._ask("load", resolved).result())

    def unload(self, reference: str) -> None:
        """Let go of a model, at once if nothing waits for the process."""
        with self._lock:
            self._models.pop(reference, None)
        self._ask("unload", reference)

    def decode(self, batch: Sequence[DecodeWork]) -> list[list[Hypothesis]]:
        """See :class:`server.batching.Worker`."""
        try:
            answer: list[list[Hypothesis]] = self._ask("decode", list(batch)).result(ANSWER_WITHIN_S)
        except TimeoutError:
            self._process.kill()
            raise WorkerDiedError(f"no answer within {ANSWER_WITHIN_S:g} s") from None
        return answer

    def restart(self) -> None:
        """See :class:`server.batching.Worker`."""
        self._end()
        self._start()
        with self._lock:
            models = list(self._models.values())
        for resolved in models:
            self._ask("load", resolved).result()

    def close(self) -> None:
        """End the process; what it works on is lost."""
        self._end()

    def _start(self) -> None:
        ours, theirs = Pipe()
        command = [sys.executable, "-m", "server.worker", str(theirs.fileno()), self._engine, self._device]
        with theirs:
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], env={**os.environ, **_THREADS}, stdin=subprocess.DEVNULL
            )
        self._pipe = ours
        self._waiting: dict[int, Future[Any]] = {}
        self._reader = threading.Thread(
            target=self._read, args=(ours, self._waiting), name=f"worker-{self._process.pid}", daemon=True
        )
        self._reader.start()

    def _ask(self, kind: str, payload: Any) -> Future[Any]:
        number, future = next(self._numbers), Future[Any]()
        with self._lock:
            self._waiting[number] = future
            try:
                self._pipe.send((number, kind, payload))
            except (OSError, ValueError) as error:
                del self._waiting[number]
                future.set_exception(WorkerDiedError(str(error)))
        return future

    def _read(self, pipe: Connection, waiting: dict[int, Future[Any]]) -> None:
        """Hand answers to those who wait, until the process ends."""
        while True:
            try:
                number, is_done, answer = pipe.recv()
            except (EOFError, OSError):
                break
            with self._lock:
                future = waiting.pop(number)
            if is_done:
                future.set_result(answer)
            else:
                future.set_exception(answer)
        with self._lock:
            pipe.close()
            lost = list(waiting.values())
            waiting.clear()
        for future in lost:
            future.set_exception(WorkerDiedError("its pipe was closed"))

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()


class WorkerGroup:
    """The worker processes of a server; every one holds the same models.

    Args:
        count: processes.
        engine: as :meth:`asr.recognizer.Recognizer.load`.
        device: likewise.
    """

    def __init__(self, count: int, *, engine: str, device: str) -> None:
        self.workers = [WorkerProcess(engine=engine, device=device) for _ in range(count)]

    def load(self, reference: str) -> ServedModel:
        """Resolve a model, its bytes verified, and load it everywhere.

        In one process first: the others find what it made in the cache.

        Raises:
            LexituneError: it cannot be loaded.
            UnavailableError: a process ended meanwhile.
        """
        first, *others = self.workers
        resolved = resolve_model(reference)
        try:
            model = first.load(resolved)
            if others:
                with ThreadPoolExecutor(len(others)) as threads:
                    list(threads.map(lambda worker: worker.load(resolved), others))
        except WorkerDiedError as death:
            raise UnavailableError(
                f"the engine's process ended while it loaded {reference} ({death}); try again",
                reason="ENGINE_CRASH",
            ) from death
        except BaseException:
            self.unload(resolved.reference)
            raise
        return model

    def unload(self, reference: str) -> None:
        """Let go of a model everywhere."""
        for worker in self.workers:
            worker.unload(reference)

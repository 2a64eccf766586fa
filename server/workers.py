"""Worker processes seen from the server: start them, ask them, notice their end, replace them.

A crash in native code then costs one batch, which is tried again, and no stream. What a worker does is ``server.worker``.
"""

from __future__ import annotations

import itertools
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from asr.biasing.phrases import PhraseSet
from asr.decoding.ctc_tokens import CtcTokens
from asr.errors import UnavailableError
from asr.models.base import DecodingOptions, Samples
from asr.models.contexts import is_taught, own_frames
from asr.models.resolve import ResolvedModel, resolve_model
from asr.results import Hypothesis
from asr.streaming.messages import ModelIdentity
from asr.units import WHISPER_WINDOW_FRAMES
from server.batching import DecodeWork, WorkerDiedError

ANSWER_WITHIN_S = {
    "decode": 120.0,
    "load": 900.0,
    "unload": 120.0,
}  # what takes longer hangs: the process is ended
MAX_RESTART_DELAY_S = 10.0
_WATCH_EVERY_S = 1.0
_ROOT = Path(__file__).resolve().parent.parent
_THREADS = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)
_LOG = logging.getLogger(__name__)


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
        carries_phrases: whether it looks for phrases of its own in whatever it hears.
        tokens: what a CTC model can write; None for any text.
        memory_bytes: that its weights take in each worker, by the size of the files that are loaded.
    """

    name: str
    version: str
    reference: str
    sha256: str
    languages: tuple[str, ...]
    own_length: bool = False
    is_incremental: bool = False
    carries_phrases: bool = False
    tokens: CtcTokens | None = None
    memory_bytes: int = 0

    @property
    def identity(self) -> ModelIdentity:
        """What a client is told of it."""
        return ModelIdentity(
            name=self.name, version=self.version, reference=self.reference, sha256=self.sha256
        )

    def work(
        self,
        samples: Samples,
        options: DecodingOptions,
        utterance: tuple[str, int] | None = None,
        phrases: PhraseSet | None = None,
    ) -> DecodeWork:
        """A segment for this model, with the context that it is to be decoded in.

        Args:
            samples: (T,), of a whole utterance or of an open one so far.
            options: how to search.
            utterance: the stream's name and the number of an open utterance; None for a whole one.
            phrases: that it may hold; of an open utterance that is heard bit by bit, its final alone has them.
        """
        own = self.own_length and is_taught(options.language)
        return DecodeWork(
            model=self.reference,
            samples=samples,
            options=options,
            context=own_frames(len(samples)) if own else WHISPER_WINDOW_FRAMES,
            utterance=utterance if self.is_incremental else None,
            phrases=None if self.is_incremental and utterance is not None else phrases,
            carries_phrases=self.carries_phrases and not (self.is_incremental and utterance is not None),
        )


class _Process:
    """One life of a worker: a process, its pipe, and who waits for an answer. May be asked from several threads."""

    def __init__(self, command: Sequence[str]) -> None:
        ours, theirs = Pipe()
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH", ""))))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "server.worker", str(theirs.fileno()), *command],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                env={**os.environ, **_THREADS, "PYTHONPATH": path},
            )  # fmt: skip
        self._pipe = ours
        self._numbers = itertools.count()
        self._waiting: dict[int, tuple[Future[Any], float]] = {}  # until when an answer must come
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self.ended = threading.Event()
        for work in (self._read, self._watch):
            threading.Thread(target=work, name=f"worker-{self.pid}-{work.__name__}", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, kind: str, payload: Any) -> Future[Any]:
        """Ask; the future fails with WorkerDiedError if the process ends before it answers."""
        number, future = next(self._numbers), Future[Any]()
        with self._lock:
            if self.ended.is_set():
                future.set_exception(WorkerDiedError("it has ended"))
                return future
            self._waiting[number] = future, time.monotonic() + ANSWER_WITHIN_S[kind]
        try:
            with self._sending:  # may block while the process reads nothing: the watch ends that
                self._pipe.send((number, kind, payload))
        except (OSError, ValueError):
            self.kill()  # the reader resolves the future
        return future

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> None:
        """Until the process is gone and everybody who waited was told."""
        self._process.wait()
        self.ended.wait()

    def _read(self) -> None:
        """Hand answers to those who wait, until the process ends."""
        try:
            while True:
                number, is_done, answer = self._pipe.recv()
                with self._lock:
                    future, _ = self._waiting.pop(number)
                if is_done:
                    future.set_result(answer)
                else:
                    future.set_exception(answer)
        except (EOFError, OSError):
            pass
        except Exception:  # an answer that cannot be read: the process boundary
            _LOG.exception("worker %d gave an answer that cannot be read", self.pid)
        self.kill()
        with self._lock:
            self.ended.set()
            lost = [future for future, _ in self._waiting.values()]
            self._waiting.clear()
        for future in lost:
            future.set_exception(WorkerDiedError("its process ended"))
        with self._sending:
            self._pipe.close()

    def _watch(self) -> None:
        """End the process when it owes an answer for too long."""
        while not self.ended.wait(_WATCH_EVERY_S):
            with self._lock:
                is_late = any(until < time.monotonic() for _, until in self._waiting.values())
            if is_late:
                _LOG.error("worker %d does not answer: it is ended", self.pid)
                self.kill()
                return


class WorkerProcess:
    """A process that decodes and is replaced when it ends; may be asked from several threads.

    Args:
        engine: as :meth:`asr.recognizer.Recognizer.load`.
        device: likewise.
    """

    def __init__(self, *, engine: str, device: str) -> None:
        self._command = (engine, device)
        self._models: dict[str, ResolvedModel] = {}
        self._closed = threading.Event()
        self._changed = threading.Condition()
        self._process = _Process(self._command)
        self._keeper = threading.Thread(target=self._keep, name="worker-keeper", daemon=True)
        self._keeper.start()

    @property
    def pid(self) -> int:
        """Of the process that there is now."""
        return self._process.pid

    def load(self, resolved: ResolvedModel) -> ServedModel:
        """Load and warm up a model; from then on it is loaded again whenever the process is replaced.

        Asked twice, for a process may have ended before, unnoticed. One that ends over the load is replaced without the
        model.

        Raises:
            LexituneError: it cannot be loaded.
            WorkerDiedError: two processes ended over it.
        """
        self.wait_alive()
        try:
            facts = self._process.ask("load", resolved).result()
        except WorkerDiedError:
            self.wait_alive()
            facts = self._process.ask("load", resolved).result()
        self._models[resolved.reference] = resolved
        return ServedModel(**facts)

    def unload(self, reference: str) -> None:
        """Let go of a model, when what was asked before is done."""
        self._models.pop(reference, None)
        self._process.ask("unload", reference)

    def decode(self, batch: Sequence[DecodeWork]) -> list[list[Hypothesis]]:
        """See :class:`server.batching.Worker`."""
        answer: list[list[Hypothesis]] = self._process.ask("decode", list(batch)).result()
        return answer

    def wait_alive(self) -> None:
        """See :class:`server.batching.Worker`."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed.is_set() or not self._process.ended.is_set())

    def close(self) -> None:
        """End the process; what it works on is lost."""
        self._closed.set()
        self._process.kill()
        self._keeper.join()
        self._process.wait()

    def _keep(self) -> None:
        """Replace the process whenever it ends, until the worker is closed."""
        while True:
            self._process.ended.wait()
            delay_s = 0.1
            while not self._closed.is_set():
                try:
                    self._replace()
                    break
                except (WorkerDiedError, OSError) as error:
                    _LOG.error("a worker could not be replaced: %s; once more in %.1f s", error, delay_s)
                    self._closed.wait(delay_s)
                    delay_s = min(2 * delay_s, MAX_RESTART_DELAY_S)
            with self._changed:
                self._changed.notify_all()
            if self._closed.is_set():
                return

    def _replace(self) -> None:
        """A new process with the models of the old one; a model that cannot be loaded again is left out.

        Raises:
            WorkerDiedError: the new process ended over a model, which is left out the next time.
            OSError: there is no room for a process.
        """
        _LOG.error("worker %d ended: it is replaced", self.pid)
        self._process.wait()
        process = _Process(self._command)
        for reference, resolved in list(self._models.items()):
            try:
                process.ask("load", resolved).result()
            except WorkerDiedError:
                self._models.pop(reference, None)
                raise
            except Exception:
                _LOG.exception("%s cannot be loaded again", reference)
                self._models.pop(reference, None)
        self._process = process
        if self._closed.is_set():
            process.kill()


class WorkerGroup:
    """The worker processes of a server; every one holds the same models.

    Args:
        count: processes.
        engine: as :meth:`asr.recognizer.Recognizer.load`.
        device: likewise.
    """

    def __init__(self, count: int, *, engine: str, device: str) -> None:
        self.workers = [WorkerProcess(engine=engine, device=device) for _ in range(count)]
        self._control = ThreadPoolExecutor(1, thread_name_prefix="models")  # loads and unloads in their order

    def load(self, reference: str) -> ServedModel:
        """Resolve a model, its bytes verified, and load it everywhere.

        In one process first: the others find what it made in the cache.

        Raises:
            LexituneError: it cannot be loaded.
            UnavailableError: a process ended over it.
        """
        return self._control.submit(self._load, reference).result()

    def unload(self, reference: str) -> None:
        """Let go of a model everywhere, soon; does not block."""
        self._control.submit(self._unload, reference)

    def close(self) -> None:
        """End all processes."""
        self._control.shutdown(wait=False, cancel_futures=True)
        for worker in self.workers:
            worker.close()

    def _load(self, reference: str) -> ServedModel:
        first, *others = self.workers
        resolved = resolve_model(reference)
        try:
            model = first.load(resolved)
            if others:
                with ThreadPoolExecutor(len(others)) as threads:
                    list(threads.map(lambda worker: worker.load(resolved), others))
        except WorkerDiedError as death:
            self._unload(resolved.reference)
            raise UnavailableError(
                f"the engine's process ended while it loaded {reference} ({death}); try again",
                reason="ENGINE_CRASH",
            ) from death
        except BaseException:
            self._unload(resolved.reference)
            raise
        return model

    def _unload(self, reference: str) -> None:
        for worker in self.workers:
            worker.unload(reference)

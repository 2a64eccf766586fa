"""The program of a worker process: models and decodings, one answer to each request on a pipe.

Started by ``server.workers`` with one thread for each library, set before anything is imported. Decodings run one after
the other; a model is loaded beside them, so that no other model's stream waits for it. The process ends with its pipe.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from asr.errors import ModelError

if TYPE_CHECKING:
    from asr.models.resolve import ResolvedModel
    from asr.recognizer import Recognizer
    from asr.streaming.ctc_partials import CtcPartials
    from server.batching import DecodeWork


class _Worker:
    def __init__(self, pipe: Connection, *, engine: str, device: str) -> None:
        self._pipe, self._engine, self._device = pipe, engine, device
        self._sending = threading.Lock()
        self._models: dict[str, Recognizer] = {}
        self._partials: dict[str, CtcPartials] = {}
        self._memory_bytes: dict[str, int] = {}

    def run(self) -> None:
        """Answer until the other end is closed."""
        while True:
            try:
                number, kind, payload = self._pipe.recv()
            except (EOFError, OSError):
                return
            if kind == "load":
                threading.Thread(target=self._answer, args=(number, self._load, payload), daemon=True).start()
            elif kind == "unload":
                self._answer(number, self._unload, payload)
            else:
                self._answer(number, self._decode, payload)

    def _answer(self, number: int, work: Callable[[Any], Any], payload: Any) -> None:
        try:
            answer = (number, True, work(payload))
        except Exception as error:  # the process boundary: whoever asked must learn of it
            answer = (number, False, _plain(error))
        with self._sending:
            self._pipe.send(answer)

    def _load(self, resolved: ResolvedModel) -> dict[str, Any]:
        from asr.models.writable import tokens_of
        from asr.recognizer import Recognizer

        reference = resolved.reference
        if reference not in self._models:
            recognizer = Recognizer.open(resolved, engine=self._engine, device=self._device)
            recognizer.warm()
            self._models[reference] = recognizer
            if (partials := recognizer.partials) is not None:
                self._partials[reference] = partials
            self._memory_bytes[reference] = _file_bytes(resolved)
        recognizer = self._models[reference]
        return {
            "name": recognizer.name,
            "version": recognizer.version,
            "reference": recognizer.reference,
            "sha256": recognizer.sha256,
            "languages": recognizer.languages,
            "own_length": recognizer.resolved.own_length,
            "is_incremental": reference in self._partials,
            "carries_phrases": recognizer.resolved.phrases is not None,
            "tokens": tokens_of(resolved),
            "memory_bytes": self._memory_bytes[reference],
        }

    def _unload(self, reference: str) -> None:
        self._partials.pop(reference, None)
        recognizer = self._models.pop(reference, None)
        if recognizer is not None:
            recognizer.close()

    def _decode(self, batch: list[DecodeWork]) -> Any:
        first, segments = batch[0], [work.samples for work in batch]
        if first.model not in self._models:
            raise ModelError(f"{first.model} is not loaded any more; open the stream again")
        if first.utterance is None:
            phrases = [work.phrases for work in batch]
            return self._models[first.model].decode(
                segments, first.options, phrases if any(phrases) else None
            )
        keys = [work.utterance for work in batch if work.utterance is not None]
        return self._partials[first.model].decode(keys, segments, first.options)


def _plain(error: Exception) -> Exception:
    """An error that another process can read: our own as it is, any other as its text."""
    from asr.errors import LexituneError

    return error if isinstance(error, LexituneError) else RuntimeError(f"{type(error).__name__}: {error}")


def _file_bytes(resolved: ResolvedModel) -> int:
    """Size of the weights that are loaded; on a GPU, too, where the process's own memory says nothing of them."""
    folder = resolved.ctranslate2_dir or resolved.transformers_dir
    return sum(path.stat().st_size for pattern in ("*.bin", "*.safetensors") for path in folder.glob(pattern))


def main() -> None:
    """Serve the pipe whose descriptor is the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's: it drains, then closes the pipe
    descriptor, engine, device = sys.argv[1:4]
    _Worker(Connection(int(descriptor)), engine=engine, device=device).run()


if __name__ == "__main__":
    main()

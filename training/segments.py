"""What is measured, cut as a stream would cut it; texts of segments go back together by utterance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from asr.data.manifest import Utterance, load_samples
from asr.models.base import Samples
from asr.recognizer import segment_recording


class MeasuredSegments:
    """The segments of every utterance that :meth:`prepare` has seen."""

    def __init__(self, *, num_workers: int) -> None:
        """Cut on ``num_workers`` threads."""
        self._num_workers = num_workers
        self._segments: dict[Utterance, list[Samples]] = {}

    def prepare(
        self,
        utterances: Sequence[Utterance],
        on_done: Callable[[], None],
        *,
        whole: bool = False,
    ) -> None:
        """Cut every utterance.

        Args:
            utterances: what will be measured.
            on_done: called once an utterance.
            whole: keep every utterance as one segment, as if voice activity detection had let all of it pass.
        """

        def cut(utterance: Utterance) -> None:
            recording = load_samples(utterance)
            segments = [recording] if whole else [request.samples for request in segment_recording(recording)]
            self._segments[utterance] = segments

        with ThreadPoolExecutor(self._num_workers) as workers:
            for _ in workers.map(cut, utterances):
                on_done()

    def of(self, utterances: Sequence[Utterance]) -> list[Samples]:
        """Every segment of these utterances, in their order."""
        return [segment for utterance in utterances for segment in self._segments[utterance]]

    def joined(self, texts: Iterable[str], utterances: Sequence[Utterance]) -> list[str]:
        """One text for each utterance, from the texts of :meth:`of`."""
        left = iter(texts)
        spoken = [[next(left) for _ in self._segments[utterance]] for utterance in utterances]
        return [" ".join(text for text in parts if text) for parts in spoken]

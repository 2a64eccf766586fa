"""Takes finals of low confidence from streams and keeps them on a thread of its own: no stream waits or fails by it.

What cannot be kept is counted, and told in the log without a word of what was said.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from asr.errors import LexituneError, LimitError
from asr.models.base import Samples
from asr.streaming.messages import ModelIdentity, RecognitionResult, StreamConfig
from asr.streaming.session import DecodeRequest
from server.caller import Caller
from server.candidates.options import CandidatesOptions
from server.candidates.records import NewCandidate
from server.candidates.store import FULL_RETRY_S
from server.jobs.installation import LazyInstallation
from server.metrics import CandidateOutcome, Metrics

MAX_WAITING = 32  # of all tenants: of 28 s each, 57 MB

Keep = Callable[[DecodeRequest, RecognitionResult], None]
"""Takes a final that was sent, and the audio that it was made of."""

_LOG = logging.getLogger("lexitune.candidates")


class Keeper:
    """Keeps the candidates of one server. Offered to on the event loop.

    Args:
        installation: opened when the first one is kept.
        options: what is a candidate, and of whom without tenants.
        metrics: counts what became of each.
        clock: monotonic, s.
    """

    def __init__(
        self,
        installation: LazyInstallation,
        options: CandidatesOptions,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._installation, self._options, self._metrics = installation, options, metrics
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="candidates")
        self._lock = threading.Lock()
        self._num_waiting = 0
        self._is_closed = False
        self._full_until: dict[str, float] = {}  # by tenant

    def has_consent(self, caller: Caller) -> bool:
        """Whether what this caller says may be kept."""
        return caller.keeps_candidates or self._options.enabled

    def of(self, caller: Caller, model: ModelIdentity, config: StreamConfig) -> Keep | None:
        """What takes the finals of one call; None without consent."""
        if not self.has_consent(caller):
            return None
        session = uuid.uuid4().hex

        def keep(request: DecodeRequest, result: RecognitionResult) -> None:
            best = result.alternatives[0]
            if not best.text or best.confidence >= self._options.below_confidence:
                return
            new = NewCandidate(
                tenant=caller.name,
                session=session,
                model=model.reference,
                text=best.text,
                confidence=best.confidence,
                duration_s=request.end_s - request.start_s,
                language=config.language,
            )
            self._offer(new, request.samples)

        return keep

    async def close(self) -> None:
        """Keep what waits, and take no more."""
        with self._lock:
            self._is_closed = True
        await asyncio.to_thread(self._thread.shutdown)

    def _offer(self, new: NewCandidate, samples: Samples) -> None:
        with self._lock:
            if self._full_until.get(new.tenant, 0.0) > self._clock():
                outcome = CandidateOutcome.QUOTA
            elif self._num_waiting >= MAX_WAITING or self._is_closed:
                outcome = CandidateOutcome.BUSY
            else:
                self._num_waiting += 1
                self._thread.submit(self._keep, new, samples)
                return
        self._metrics.candidate(outcome)

    def _keep(self, new: NewCandidate, samples: Samples) -> None:
        outcome = CandidateOutcome.FAILED
        try:
            self._installation.get().candidates.keep(new, samples)
            outcome = CandidateOutcome.KEPT
        except LimitError as error:
            outcome = CandidateOutcome.QUOTA
            with self._lock:
                self._full_until[new.tenant] = self._clock() + FULL_RETRY_S
            _LOG.warning("candidates of tenant %r are not kept for %g s: %s", new.tenant, FULL_RETRY_S, error)
        except LexituneError as error:
            _LOG.warning("a candidate of tenant %r is not kept: %s", new.tenant, error)
        except Exception as error:  # the thread's boundary; what the error says may be what was said
            _LOG.error("a candidate of tenant %r is not kept: %s", new.tenant, type(error).__name__)
        finally:
            with self._lock:
                self._num_waiting -= 1
            self._metrics.candidate(outcome)

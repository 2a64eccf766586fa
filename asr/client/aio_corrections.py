"""The client of corrections for asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from asr.candidates import CandidateState
from asr.client import wire_corrections
from asr.client.aio_connected import AsyncConnected
from asr.client.candidate_values import Candidate
from asr.client.connected import PATIENCE_S
from asr.client.credentials import Credentials
from asr.v1 import corrections_pb2, corrections_pb2_grpc


class AsyncCorrectionsClient(AsyncConnected):
    """``CorrectionsClient`` for asyncio: the same methods, awaited, or iterated with ``async for``.

    Make it in an event loop.

    Args:
        address: HOST:PORT.
        credentials: TLS and token; without them the connection is in plain text and says not who asks.
        patience_s: how long a call is made again.

    Raises:
        OptionError: the credentials cannot be used for this address.
    """

    def __init__(
        self, address: str, credentials: Credentials | None = None, *, patience_s: float = PATIENCE_S
    ) -> None:
        super().__init__(address, credentials, patience_s=patience_s)
        self._corrections = corrections_pb2_grpc.CorrectionsStub(self._channel)  # type: ignore[no-untyped-call]

    async def candidates(self, state: CandidateState | None = None) -> AsyncIterator[Candidate]:
        """The caller's candidates, the lowest confidence first; those that are reviewed meanwhile disturb no other."""
        request = wire_corrections.list_request(state)
        async for response in self._pages(self._corrections.ListCandidates, request):
            for message in response.candidates:
                yield wire_corrections.candidate(message)

    async def audio(self, candidate_id: str) -> bytes:
        """What was heard, a FLAC file: 16 kHz, one channel."""
        request = corrections_pb2.GetCandidateAudioRequest(id=candidate_id)

        async def ask() -> bytes:
            call = self._corrections.GetCandidateAudio(request, metadata=self._metadata)
            return b"".join([response.content async for response in call])

        return bytes(await self._ask(ask))

    async def correct(self, candidate_id: str, text: str, *, reviewer: str = "") -> Candidate:
        """Say what was said, "" if nobody spoke; the candidate's own text confirms it. The last time counts."""
        request = corrections_pb2.CorrectCandidateRequest(id=candidate_id, text=text, reviewer=reviewer)
        response = await self._call(self._corrections.CorrectCandidate, request)
        return wire_corrections.candidate(response.candidate)

    async def reject(self, candidate_id: str, *, reviewer: str = "") -> Candidate:
        """Say that nothing can be learned of it."""
        request = corrections_pb2.RejectCandidateRequest(id=candidate_id, reviewer=reviewer)
        response = await self._call(self._corrections.RejectCandidate, request)
        return wire_corrections.candidate(response.candidate)

    async def delete(self, candidate_ids: Sequence[str]) -> int:
        """Have some deleted, with their audio; how many there were."""
        number = 0
        for request in wire_corrections.delete_requests(candidate_ids):
            response = await self._call(self._corrections.DeleteCandidates, request)
            number += response.num_deleted
        return number

    async def delete_all(self) -> int:
        """Have all of the tenant deleted, with their audio; how many there were."""
        request = corrections_pb2.DeleteCandidatesRequest(all=True)
        response = await self._call(self._corrections.DeleteCandidates, request)
        return int(response.num_deleted)

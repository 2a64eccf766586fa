"""The blocking client of corrections: finals of low confidence listed, heard, corrected and deleted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from asr.candidates import CandidateState
from asr.client import wire_corrections
from asr.client.candidate_values import Candidate
from asr.client.connected import PATIENCE_S, Connected
from asr.client.credentials import Credentials
from asr.v1 import corrections_pb2, corrections_pb2_grpc


class CorrectionsClient(Connected):
    """A connection to one server; close it, or use it as a context manager. Safe for several threads.

    Calls that fail in passing are made again. Every method raises the error of ``asr.errors`` that the server's status
    stands for; ``UnavailableError`` if there is no server.

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

    def candidates(self, state: CandidateState | None = None) -> Iterator[Candidate]:
        """The caller's candidates, the lowest confidence first; those that are reviewed meanwhile disturb no other."""
        request = wire_corrections.list_request(state)
        for response in self._pages(self._corrections.ListCandidates, request):
            for message in response.candidates:
                yield wire_corrections.candidate(message)

    def audio(self, candidate_id: str) -> bytes:
        """What was heard, a FLAC file: 16 kHz, one channel."""
        request = corrections_pb2.GetCandidateAudioRequest(id=candidate_id)

        def ask() -> bytes:
            call = self._corrections.GetCandidateAudio(request, metadata=self._metadata)
            return b"".join(response.content for response in call)

        return bytes(self._ask(ask))

    def correct(self, candidate_id: str, text: str, *, reviewer: str = "") -> Candidate:
        """Say what was said, "" if nobody spoke; the candidate's own text confirms it. The last time counts."""
        request = corrections_pb2.CorrectCandidateRequest(id=candidate_id, text=text, reviewer=reviewer)
        response = self._call(self._corrections.CorrectCandidate, request)
        return wire_corrections.candidate(response.candidate)

    def reject(self, candidate_id: str, *, reviewer: str = "") -> Candidate:
        """Say that nothing can be learned of it."""
        request = corrections_pb2.RejectCandidateRequest(id=candidate_id, reviewer=reviewer)
        response = self._call(self._corrections.RejectCandidate, request)
        return wire_corrections.candidate(response.candidate)

    def delete(self, candidate_ids: Sequence[str]) -> int:
        """Have some deleted, with their audio; how many there were."""
        number = 0
        for request in wire_corrections.delete_requests(candidate_ids):
            response = self._call(self._corrections.DeleteCandidates, request)
            number += response.num_deleted
        return number

    def delete_all(self) -> int:
        """Have all of the tenant deleted, with their audio; how many there were."""
        request = corrections_pb2.DeleteCandidatesRequest(all=True)
        response = self._call(self._corrections.DeleteCandidates, request)
        return int(response.num_deleted)

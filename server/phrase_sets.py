"""The PhraseSets service: a tenant's phrases by name; messages are built by ``server.convert_phrases``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from asr.biasing.kept import KeptPhrases
from asr.biasing.phrases import PhraseReport
from asr.phrase_store import PhraseStore
from asr.streaming.messages import Vocabulary
from asr.v1 import phrases_pb2, phrases_pb2_grpc
from server import convert_phrases
from server.caller import current_caller
from server.errors import status_boundary
from server.limits import Limits
from server.vocabulary import Vocabularies

Context = grpc.aio.ServicerContext[Any, Any]


class PhraseSetsServicer(phrases_pb2_grpc.PhraseSetsServicer):
    """Serves asr.v1.PhraseSets.

    Args:
        open_store: opens the kept sets; blocking.
        vocabularies: say what becomes of phrases.
        limits: of one set, and of a tenant's sets.
    """

    def __init__(
        self, *, open_store: Callable[[], PhraseStore], vocabularies: Vocabularies, limits: Limits
    ) -> None:
        self._open_store = open_store
        self._vocabularies = vocabularies
        self._limits = limits

    async def CreatePhraseSet(  # noqa: N802
        self, request: phrases_pb2.CreatePhraseSetRequest, context: Context
    ) -> phrases_pb2.CreatePhraseSetResponse:
        """Keep a new set."""
        async with status_boundary(context, "CreatePhraseSet"):
            asked, reports = await self._checked(request.phrase_set)
            tenant, max_sets = current_caller().name, self._limits.max_phrase_sets
            kept = await asyncio.to_thread(
                lambda: self._open_store().create(tenant, asked, max_sets=max_sets)
            )
            return convert_phrases.create_response(kept, reports)
        raise AssertionError("unreachable: the boundary aborts")

    async def GetPhraseSet(  # noqa: N802
        self, request: phrases_pb2.GetPhraseSetRequest, context: Context
    ) -> phrases_pb2.GetPhraseSetResponse:
        """One set with its phrases."""
        async with status_boundary(context, "GetPhraseSet"):
            tenant, name = current_caller().name, request.name
            kept = await asyncio.to_thread(lambda: self._open_store().get(tenant, name))
            return convert_phrases.get_response(kept)
        raise AssertionError("unreachable: the boundary aborts")

    async def ListPhraseSets(  # noqa: N802
        self, request: phrases_pb2.ListPhraseSetsRequest, context: Context
    ) -> phrases_pb2.ListPhraseSetsResponse:
        """The caller's sets by name."""
        async with status_boundary(context, "ListPhraseSets"):
            tenant = current_caller().name
            summaries = await asyncio.to_thread(lambda: self._open_store().summaries(tenant))
            return convert_phrases.list_response(summaries)
        raise AssertionError("unreachable: the boundary aborts")

    async def UpdatePhraseSet(  # noqa: N802
        self, request: phrases_pb2.UpdatePhraseSetRequest, context: Context
    ) -> phrases_pb2.UpdatePhraseSetResponse:
        """Put other phrases in the place of a set's own."""
        async with status_boundary(context, "UpdatePhraseSet"):
            asked, reports = await self._checked(request.phrase_set)
            tenant = current_caller().name
            kept = await asyncio.to_thread(lambda: self._open_store().update(tenant, asked))
            return convert_phrases.update_response(kept, reports)
        raise AssertionError("unreachable: the boundary aborts")

    async def DeletePhraseSet(  # noqa: N802
        self, request: phrases_pb2.DeletePhraseSetRequest, context: Context
    ) -> phrases_pb2.DeletePhraseSetResponse:
        """Forget a set."""
        async with status_boundary(context, "DeletePhraseSet"):
            tenant, name = current_caller().name, request.name
            await asyncio.to_thread(lambda: self._open_store().delete(tenant, name))
            return convert_phrases.delete_response()
        raise AssertionError("unreachable: the boundary aborts")

    async def _checked(self, message: phrases_pb2.PhraseSet) -> tuple[KeptPhrases, tuple[PhraseReport, ...]]:
        """The set that is asked for, and what became of its phrases."""
        asked = convert_phrases.kept_phrases(message, self._limits)
        alone = Vocabulary(phrases=asked.phrases, classes=asked.classes)
        resolved = await self._vocabularies.resolve(alone, current_caller().name, "phrase_set")
        return asked, resolved.reports

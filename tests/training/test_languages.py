"""Languages in a job: named and never guessed, in tokens and labels, in voices and figures, end to end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr.audio.files import write_audio
from asr.cli.console import ProgressReporter
from asr.data.manifest import Utterance
from asr.errors import InputError, MissingDependencyError, OptionError
from asr.models.checkpoint import load_whisper
from asr.models.resolve import resolve_model
from asr.models.whisper_tokens import WhisperTokenizer
from training.adapt import adapt
from training.coverage import coverage_of
from training.data import collect
from training.examples import IGNORED, collate, make_examples
from training.languages import base_languages, settled
from training.scoring import GREEDY, Scorer
from training.spec import AdaptationSpec, SplitOptions, TrainingOptions
from training.synth.speech import espeak_available

KNOWN = ("cy", "de", "en", "ja")
WELSH = Path(__file__).parent.parent / "data" / "welsh.txt"
REPORTER = ProgressReporter(None)
needs_espeak = pytest.mark.skipif(not espeak_available(), reason="espeak-ng is not installed")


def _text(folder: Path, *lines: str) -> Path:
    path = folder / "text.txt"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def _manifest(folder: Path, *languages: str) -> Path:
    write_audio(folder / "a.wav", np.zeros(16_000, np.float32))
    rows = [
        {"audio_filepath": "a.wav", "duration": 1.0, "text": "ja", "id": str(index), "language": language}
        for index, language in enumerate(languages)
    ]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _spec(**changes: Any) -> AdaptationSpec:
    return AdaptationSpec(**({"base": "bundled:base", "name": "x"} | changes))


def test_the_language_and_what_follows_are_named(tmp_path: Path) -> None:
    text = _text(tmp_path, "Bore da.")
    for tag, code, normalizer in (
        ("de-AT", "de", "whisper-basic-1"),
        ("en", "en", "whisper-en-1"),
        ("ja", "ja", "basic-chars-1"),
    ):
        spec, notes = settled(_spec(text=text, language=tag), KNOWN)
        assert (spec.language, spec.normalizer, notes) == (code, normalizer, [])
    spec, _ = settled(_spec(text=text, language="de", normalizer="basic-1"), KNOWN)
    assert spec.normalizer == "basic-1"


def test_auto_is_what_the_rows_say(tmp_path: Path) -> None:
    spec, notes = settled(_spec(train=_manifest(tmp_path, "cy", "cy-GB")), KNOWN)
    assert (spec.language, notes) == ("cy", ["language: cy, as the rows say"])
    with pytest.raises(InputError, match="rows are in cy, de; a job adapts one language"):
        settled(_spec(train=_manifest(tmp_path, "cy", "de")), KNOWN)
    with pytest.raises(OptionError, match="'sw' is not known to bundled:base, which knows cy, de, en, ja"):
        settled(_spec(train=_manifest(tmp_path, "sw")), KNOWN)


def test_auto_never_guesses_silently(tmp_path: Path) -> None:
    english = _text(
        tmp_path,
        "Order the crème brûlée and forty other things that are on today's list of dishes,",
        "x" * 700,
    )
    spec, notes = settled(_spec(text=english), KNOWN)
    assert spec.language == "en" and "English is assumed" in notes[0]
    german = _text(tmp_path, "Die Bäckerei öffnet früh.")
    with pytest.raises(OptionError, match=r"name its language with --language, which may be en"):
        settled(_spec(text=german), KNOWN)
    assert settled(_spec(text=german, language="en"), KNOWN)[0].language == "en"
    assert settled(_spec(text=german, base="bundled:tiny.en"), ("en",))[1] == []


def test_an_english_model_refuses_another_language_and_names_the_remedy(tmp_path: Path) -> None:
    spec = _spec(base="bundled:tiny.en", text=_text(tmp_path, "Guten Tag."), language="de")
    with pytest.raises(OptionError, match=r"'de' is not known to bundled:tiny.en.*such as bundled:base"):
        adapt(spec, REPORTER)
    with pytest.raises(OptionError, match="own lengths are taught, and in English alone, not in 'de'"):
        settled(_spec(language="de"), KNOWN)


@pytest.mark.parametrize("language", ["german", "", "d", "de/at"])
def test_what_is_no_code_is_refused(tmp_path: Path, language: str) -> None:
    with pytest.raises(OptionError, match="is not a code; give one such as de"):
        _spec(text=_text(tmp_path, "x"), language=language)


def test_labels_stand_behind_their_own_languages_prompt(small_multilingual: Path) -> None:
    tokenizer = WhisperTokenizer(small_multilingual / "tokenizer.json")
    rows = [
        Utterance(id=code or "-", audio_path=Path("x.wav"), duration_s=1.0, text="da", language=code)
        for code in ("cy", "en", None)
    ]
    examples, _ = make_examples(rows, tokenizer)
    prompts = {code: tokenizer.prompt(code) for code in ("cy", "en")}
    batch = collate(examples, tokenizer.prompt("cy"), tokenizer.end_of_text, prompts)
    (word,) = tokenizer.encode("da")
    start, transcribe, plain = tokenizer.prompt("cy")[0], *tokenizer.prompt("cy")[2:]
    for row, code in enumerate(("cy", "en", "cy")):
        language = tokenizer.prompt(code)[1]
        assert tokenizer.language_of(language) == code
        assert batch.inputs[row].tolist() == [start, language, transcribe, plain, word]
        assert batch.labels[row].tolist() == [IGNORED] * 3 + [word, tokenizer.end_of_text]


def test_text_that_tokens_cannot_write_is_rejected_with_the_reason(small_multilingual: Path) -> None:
    tokenizer = WhisperTokenizer(small_multilingual / "tokenizer.json")
    row = Utterance(id="a", audio_path=Path("x.wav"), duration_s=1.0, text="Bore da <|endoftext|>")
    examples, (rejected,) = make_examples([row], tokenizer)
    assert not examples and "the tokens cannot write" in rejected.reason


def test_coverage_is_counted(small_multilingual: Path) -> None:
    tokenizer = WhisperTokenizer(small_multilingual / "tokenizer.json")
    texts = ["the day", "ߒߞߏ"]  # N'Ko: in no token of Whisper's, so every letter takes two bytes
    coverage = coverage_of(texts, tokenizer)
    assert (coverage.num_texts, coverage.num_lost, coverage.num_words) == (2, 0, 3)
    assert (coverage.num_characters, coverage.num_in_bytes) == (9, 3)
    assert coverage.num_tokens == sum(len(tokenizer.encode(text)) for text in texts) >= 2 + 6
    assert "2 of 2 texts in nqo survive" in coverage.as_line("nqo")
    assert coverage_of(["<|de|>"], tokenizer).num_lost == 1


def test_without_espeak_another_language_stops_before_anything_is_spoken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    spec = _spec(text=_text(tmp_path, *WELSH.read_text().splitlines()), language="cy")
    with pytest.raises(MissingDependencyError, match="speaking 'cy' needs espeak-ng"):
        collect(spec, tmp_path / "work", REPORTER)
    assert not (tmp_path / "work").exists()


@needs_espeak
def test_a_glossary_is_spoken_bare_and_what_is_english_says_so(tmp_path: Path) -> None:
    terms = tmp_path / "terms.txt"
    terms.write_text("ymgynghoriad\nbrechlyn\nfferyllfa\nmeddygfa\n")
    split = SplitOptions(general_sentences=4, carriers_per_term=4)
    data = collect(_spec(terms=terms, language="cy", split=split), tmp_path / "work", REPORTER)
    domain = [row for row in (*data.train, *data.dev) if row.language == "cy"]
    words = {word.strip(".,?") for row in domain for word in (row.text or "").split()}
    assert words == set(terms.read_text().split())
    assert {term for row in data.dev for term in row.terms or ()} == words
    assert not {row.text for row in data.dev} & {row.text for row in data.train}
    assert {row.language for row in data.general} == {"en"}
    assert {row.language for row in data.sounds} == {"cy"}
    notes = " ".join(data.notes)
    for said in ("terms are spoken bare", "espeak-ng 1", "everyday English sentences", "nothing of cy"):
        assert said in notes


@needs_espeak
def test_the_users_carriers_are_in_train_and_in_dev(tmp_path: Path) -> None:
    (tmp_path / "terms.txt").write_text("brechlyn\nfferyllfa\nmeddygfa\nnyrs\n")
    (tmp_path / "templates.txt").write_text("Ble mae {term}?\nDyma {term}.\nMae {term} yma.\n")
    spec = _spec(
        terms=tmp_path / "terms.txt", templates=tmp_path / "templates.txt", language="cy",
        split=SplitOptions(general_sentences=4, carriers_per_term=4),
    )  # fmt: skip
    data = collect(spec, tmp_path / "work", REPORTER)
    for row in data.dev:
        assert (row.text or "").split()[0] in ("Ble", "Dyma", "Mae")
    assert not any("bare" in note for note in data.notes)


@needs_espeak
def test_a_whole_job_in_welsh(small_multilingual: Path, tmp_path: Path) -> None:
    spec = AdaptationSpec(
        base=str(small_multilingual), name="welsh", text=WELSH, language="cy", method="decoder",
        training=TrainingOptions(epochs=1, batch_size=4, learning_rate=2e-4, evaluations_per_epoch=1),
        split=SplitOptions(general_sentences=4),
    )  # fmt: skip
    report = adapt(spec, REPORTER, num_workers=2)
    assert report is not None
    card = report.card
    assert (card["language"], card["spec"]["language"], card["contexts"]) == ("cy", "cy", ["30s"])
    figures = card["evaluation"]["adapted"]
    assert figures["dev"]["normalizer"] == "whisper-basic-1"
    assert figures["general"]["normalizer"] == "whisper-en-1"
    notes = " ".join(card["data"]["notes"])
    assert "texts in cy survive tokens and back" in notes
    assert "own lengths are taught in English alone" in notes
    assert "in cy as named, not detected" in notes
    assert base_languages(resolve_model(report.reference)) == base_languages(
        resolve_model(str(small_multilingual))
    )


def test_each_row_is_decoded_in_its_own_language(
    small_multilingual: Path, spoken: Any, tmp_path: Path
) -> None:
    path = tmp_path / "a.wav"
    samples = next(iter(spoken.values()))
    write_audio(path, samples)
    rows = [
        Utterance(id=code, audio_path=path, duration_s=len(samples) / 16_000, text="", language=code)
        for code in ("cy", "en", "ja")
    ]
    scorer = Scorer(small_multilingual, num_workers=2)
    scorer.prepare(rows, lambda: None, whole=True)
    state = load_whisper(small_multilingual).state_dict()
    # towards words again: each prompt is to be answered with some
    state["model.decoder.layer_norm.bias"] = 0 * state["model.decoder.layer_norm.bias"]
    together = scorer.texts(state, rows, GREEDY)
    assert together == [scorer.texts(state, [row], GREEDY)[0] for row in rows]
    forced = [scorer.texts(state, [rows[0]], replace(GREEDY, language=row.language))[0] for row in rows]
    assert together == forced
    assert len(set(together)) == 3


def test_rows_of_another_language_are_refused(tmp_path: Path) -> None:
    spec = replace(_spec(train=_manifest(tmp_path, "de", "de")), language="cy")
    with pytest.raises(InputError, match=r"rows are in de, and the job is in cy.*--language de"):
        collect(spec, tmp_path / "work", REPORTER)


@needs_espeak
def test_a_base_without_english_is_not_measured_on_english(tmp_path: Path) -> None:
    spec = _spec(text=_text(tmp_path, "Bore da."), language="cy")
    with pytest.raises(InputError, match=r"does not know English.*give --general"):
        collect(spec, tmp_path / "work", REPORTER, knows_english=False)

"""The report's page: nothing runs or loads but what is inside, everything that was measured is on it, and it plays."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.audio.files import write_audio
from asr.data.manifest import Utterance
from asr.errors import InputError
from asr.evaluation.breakdown import by_term
from asr.evaluation.evaluate import evaluate_texts
from asr.evaluation.report import Curve, GateCheck, Report, Series, SetResult, page, render, write
from asr.evaluation.report.view import percent

TERMS = ("aspirin", "iced coffee", "oat milk")
SAID = ("two boxes of aspirin", "an iced coffee please", "with oat milk", "nothing of the kind")
BASE = ("two boxes of as burin", "a nice coffee please", "with oat milk", "nothing of a kind")
ADAPTED = ("two boxes of aspirin", "an iced coffee", "with goat milk", "nothing of a kind aspirin")


class _Page(HTMLParser):
    """What a browser would see: tags with attributes, texts, and scripts apart."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.sources: dict[str, list[str]] = {"script": [], "style": []}
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())  # narrow spaces become plain ones

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        self.sources.get(inside, self.words).append(data)

    def attributes(self, tag: str, name: str) -> list[str]:
        return [found[name] for kind, found in self.tags if kind == tag and name in found]


def _utterances(folder: Path, texts: Sequence[str | None], **known: tuple[str, ...]) -> tuple[Utterance, ...]:
    rows = []
    for number, text in enumerate(texts):
        seconds = 1.0 + number
        samples = 0.3 * np.sin(2 * np.pi * 300 * np.arange(int(16_000 * seconds)) / 16_000)
        write_audio(folder / f"u{number}.wav", samples.astype(np.float32))
        rows.append(
            Utterance(
                id=f"u{number}", audio_path=folder / f"u{number}.wav", duration_s=seconds, text=text,
                speaker=f"s{number % 2}", terms=known.get(f"u{number}"),
            )
        )  # fmt: skip
    return tuple(rows)


@pytest.fixture
def result(tmp_path: Path) -> SetResult:
    rows = _utterances(tmp_path, SAID)
    base = evaluate_texts(rows, BASE, terms=TERMS, model="base")
    adapted = evaluate_texts(rows, ADAPTED, terms=TERMS, model="new")
    return SetResult(name="test", base=base, adapted=adapted, utterances=rows)


@pytest.fixture
def report(result: SetResult) -> Report:
    checks = (
        GateCheck(name="domain", value=0.991, limit=0.95, passed=True, detail="P(WER better)", sense="at least"),
        GateCheck(name="general", value=0.1337, limit=0.1201, passed=False, detail="forgot", unit="share"),
    )  # fmt: skip
    curve = Curve(
        title="Learning",
        x_label="step",
        y_label="WER",
        series=(Series(name="dev", points=((0, 0.4), (10, 0.1)), interval=((0.3, 0.5), (0.05, 0.2))),),
        marked_x=10,
        mark="best step",
    )
    return Report(
        title="pharmacy 3", results=(result,), checks=checks, curves=(curve,), facts={"Method": "decoder"},
        hashes={"train": "ab12"}, notes=("all synthesised",),
    )  # fmt: skip


def test_the_page_loads_nothing(report: Report) -> None:
    html = render(report)
    found = _Page(html)
    assert "http:" not in html and "https:" not in html and "//" not in re.sub(r"base64,[^\"]*", "", html)
    loaded = [
        value for _, attrs in found.tags for name, value in attrs.items() if name in ("src", "srcset", "data")
    ]
    assert loaded and all(value.startswith("data:audio/ogg;base64,") for value in loaded)
    assert all(
        value.startswith("#") for _, attrs in found.tags for name, value in attrs.items() if name == "href"
    )
    assert not {"link", "iframe", "object", "embed", "img", "base"} & {tag for tag, _ in found.tags}
    assert "url(" not in html and "@import" not in html


def test_only_the_own_script_and_style_may_run(report: Report) -> None:
    found = _Page(render(report))
    (policy,) = [attrs["content"] for tag, attrs in found.tags if tag == "meta" and "http-equiv" in attrs]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    for source in ("script", "style"):
        (text,) = found.sources[source]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{source}-src 'sha256-{digest}'" in policy
    assert not [name for _, attrs in found.tags for name in attrs if name.startswith("on") or name == "style"]


def test_nothing_from_outside_becomes_markup(tmp_path: Path) -> None:
    evil = '<script>alert(1)</script><img src=x onerror="alert(2)">\'"&'
    rows = tuple(
        Utterance(id=evil, audio_path=tmp_path / f"{evil[:3]}.wav", duration_s=1.0, text=f"say {number}",
                  speaker=evil, language='"><script>')
        for number in range(3)
    )  # fmt: skip
    term = "<b>bold</b>"
    base = evaluate_texts(rows, ["say"] * 3, normalizer="raw-1", terms=[term], model=evil)
    adapted = evaluate_texts(rows, [f"{evil} <b>bold</b>"] * 3, normalizer="raw-1", terms=[term], model=evil)
    result = SetResult(name=evil, base=base, adapted=adapted, utterances=rows, description=evil)
    check = GateCheck(name=evil, value=1, limit=0, passed=False, detail=evil, unit=evil)
    curve = Curve(title=evil, x_label=evil, y_label=evil, mark=evil, marked_x=1,
                  series=tuple(Series(name=evil, points=((0, 1), (1, 2))) for _ in range(2)))  # fmt: skip
    html = render(
        Report(title=evil, summary=evil, created_at=evil, facts={evil: evil}, hashes={evil: evil}, notes=(evil,),
               checks=(check,), curves=(curve,), results=(result,), base_name=evil, adapted_name=evil)
    )  # fmt: skip
    found = _Page(html)
    assert [tag for tag, _ in found.tags].count("script") == 1
    assert not {"img", "b"} & {tag for tag, _ in found.tags}
    assert not [name for _, attrs in found.tags for name in attrs if name.startswith("on")]
    assert "alert(1)" in found.text  # shown, not run


def test_every_check_term_and_fact_is_there(report: Report, result: SetResult) -> None:
    text = _Page(render(report)).text
    assert "Gate refused" in text and "forgot" in text
    for wanted in (
        "domain",
        "0.991",
        "at least 0.95",
        "13.37 %",
        "12.01 %",
        "passed",
        "failed",
        "ab12",
        "decoder",
    ):
        assert wanted in text
    assert "all synthesised" in text and "best step" in text
    assert all(term in text for term in by_term(result.adapted, result.utterances))


def test_on_a_phone_the_gate_is_without_the_columns_that_its_notes_repeat(report: Report) -> None:
    found = _Page(render(report))
    repeated = [tag for tag, attrs in found.tags if "repeated" in attrs.get("class", "").split()]
    assert repeated.count("th") == 2 and repeated.count("td") == 2 * len(report.checks)
    (style,) = found.sources["style"]
    before, _, after = style.partition("@media (max-width: 34rem)")
    phone, _, rest = after.partition("\n}")
    assert ".repeated { display: none; }" in phone and ".repeated" not in before + rest


def test_the_figures_are_those_of_the_evaluations(report: Report, result: SetResult) -> None:
    assert result.base is not None and result.base.words is not None and result.adapted.words is not None
    text = _Page(render(report)).text
    for evaluation in (result.base, result.adapted):
        assert evaluation.words and evaluation.chars and evaluation.terms and evaluation.biased
        rates = (evaluation.words.rate, evaluation.chars.rate, evaluation.terms.recall, evaluation.terms.f1,
                 evaluation.biased.biased.rate, evaluation.biased.unbiased.rate)  # fmt: skip
        assert all(percent(rate).replace("\u202f", " ") in text for rate in rates)


def test_the_audio_is_the_utterances_own(report: Report) -> None:
    found = _Page(render(report))
    names = found.attributes("audio", "aria-label")
    assert names == ["Utterance u2", "Utterance u3", "Utterance u0", "Utterance u1"]  # worse, then better
    for name, source in zip(names, found.attributes("audio", "src"), strict=True):
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(source.partition(",")[2])))
        assert len(samples) / rate == pytest.approx(1.0 + int(name[-1]), abs=0.02)
        spectrum = np.abs(np.fft.rfft(samples))
        assert np.argmax(spectrum) * rate / len(samples) == pytest.approx(300, abs=5)


def test_what_audio_is_left_out_is_said(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _Page(render(report))
    sizes = [len(base64.b64decode(source.partition(",")[2])) for source in whole.attributes("audio", "src")]
    monkeypatch.setattr(page, "PAGE_AUDIO_BYTES", sizes[0] + sizes[1])
    small = _Page(render(report))
    embedded = len(small.attributes("audio", "src"))
    assert 1 <= embedded < len(sizes)
    assert small.text.count("audio left out: the page's audio is full") == len(sizes) - embedded
    report.results[0].utterances[0].audio_path.unlink()
    assert "no such file" in _Page(render(report)).text


def _page_of(result: SetResult) -> _Page:
    return _Page(render(Report(title="t", results=(result,))))


def test_a_set_without_transcripts(tmp_path: Path) -> None:
    rows = _utterances(tmp_path, [None, None], u0=("aspirin",), u1=("oat milk", "honey"))
    base = evaluate_texts(rows, ["a spring", "oat milk honey"], terms=TERMS)
    adapted = evaluate_texts(rows, ["aspirin", "goat milk honey"], terms=TERMS)
    text = _page_of(SetResult(name="x", base=base, adapted=adapted, utterances=rows)).text
    assert "word errors are not defined" in text and "Word error rate" not in text
    assert "Term recall" in text and "honey" in text and "There is no transcript" in text
    assert "1 of 2 utterances got more errors" in text


def test_a_set_without_terms_and_without_a_base(tmp_path: Path) -> None:
    rows = _utterances(tmp_path, SAID)
    found = _page_of(SetResult(name="x", adapted=evaluate_texts(rows, BASE), utterances=rows))
    assert "No term list was given" in found.text and "Term recall" not in found.text
    assert "Most errors" in found.text and "P(better)" not in found.text and "Gate" not in found.text
    assert len(found.attributes("audio", "src")) == 3


def test_no_differences_are_said_so(result: SetResult) -> None:
    only = result.adapted
    found = _page_of(SetResult(name="x", base=only, adapted=only, utterances=result.utterances))
    assert "No utterances got more errors." in found.text and "No utterances got fewer errors." in found.text
    assert not found.attributes("audio", "src")
    assert "no clear difference, P(better) 0.000" in found.text


def test_nothing_but_silence_and_no_results_make_a_page_too(tmp_path: Path) -> None:
    rows = _utterances(tmp_path, ["", ""])
    silent = SetResult(name="silence", adapted=evaluate_texts(rows, ["", "thank you"]), utterances=rows)
    assert "silence" in _Page(render(Report(title="t", results=(silent,)))).text
    assert "empty" in _Page(render(Report(title="empty", results=()))).text


def test_tables_name_their_columns_and_rows(report: Report) -> None:
    found = _Page(render(report))
    tags = [tag for tag, _ in found.tags]
    assert tags.count("caption") == tags.count("table") == tags.count("thead")
    assert set(found.attributes("th", "scope")) == {"col", "row"}
    assert len(found.attributes("th", "scope")) == tags.count("th")
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {value[1:] for value in found.attributes("a", "href")} <= set(ids)
    for label in found.attributes("svg", "aria-labelledby"):
        assert set(label.split()) <= set(ids)


def test_write_puts_the_page_into_the_folder(report: Report, tmp_path: Path) -> None:
    path = write(report, tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "index.html"
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_rows_of_two_sets_are_not_compared(result: SetResult) -> None:
    with pytest.raises(InputError, match="the same rows"):
        SetResult(name="x", adapted=result.adapted, utterances=result.utterances[:2])
    with pytest.raises(InputError, match="one normaliser"):
        other = evaluate_texts(result.utterances, BASE, normalizer="raw-1")
        SetResult(name="x", adapted=result.adapted, base=other, utterances=result.utterances)

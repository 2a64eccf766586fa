"""Synthesised data sets: the same bytes from the same options, resumable, whole, and valid manifests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr.audio.files import read_audio
from asr.data.manifest import load_samples, manifest_sha256, read_manifest
from asr.data.validate import validate_manifest
from asr.errors import InputError, OptionError
from training.augment import NO_AUGMENTATION
from training.synth.dataset import Sentence, SynthesisOptions, synthesize_dataset

SENTENCES = [
    Sentence(id="a/1", text="A refill of amoxicillin, please.", terms=("amoxicillin",)),
    Sentence(id="b", text="Two sixteen ounce lattes."),
    Sentence(id="c", text="Good morning."),
]
OPTIONS = SynthesisOptions(copies=2, seed=5, engines=("hibari",), num_threads=2)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize_dataset(SENTENCES, tmp_path_factory.mktemp("set"), options=OPTIONS)


def test_the_manifest_has_every_copy_in_order_and_is_valid(manifest: Path) -> None:
    rows = read_manifest(manifest)
    assert [row.id for row in rows] == ["a/1-0", "a/1-1", "b-0", "b-1", "c-0", "c-1"]
    assert [row.text for row in rows[::2]] == [sentence.text for sentence in SENTENCES]
    assert [row.terms for row in rows[::2]] == [("amoxicillin",), None, None]
    assert all(row.speaker and row.speaker.startswith("hibari-") for row in rows)
    assert validate_manifest(manifest) == []
    assert '"audio_filepath": "audio/a_1-0-hibari-' in manifest.read_text()


def test_the_same_options_give_the_same_bytes_in_any_number_of_threads(
    manifest: Path, tmp_path: Path
) -> None:
    again = synthesize_dataset(SENTENCES, tmp_path, options=replace(OPTIONS, num_threads=1))
    assert manifest_sha256(read_manifest(again)) == manifest_sha256(read_manifest(manifest))
    assert again.read_bytes() == manifest.read_bytes()


def test_copies_differ_and_so_do_seeds(manifest: Path, tmp_path: Path) -> None:
    rows = read_manifest(manifest)
    other = read_manifest(synthesize_dataset(SENTENCES, tmp_path, options=replace(OPTIONS, seed=6)))
    assert len({row.audio_path.read_bytes() for row in [*rows, *other]}) == len(rows) + len(other)


def test_an_interrupted_run_goes_on_without_redoing_anything(tmp_path: Path) -> None:
    seen: list[int] = []

    def interrupt() -> None:
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize_dataset(SENTENCES, tmp_path, options=OPTIONS, progress=interrupt)
    assert len(seen) == 2
    assert not (tmp_path / "manifest.jsonl").exists()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "audio").iterdir()}
    assert len(before) >= 2 and not any(".part" in path.name for path in before)
    seen.clear()
    synthesize_dataset(SENTENCES, tmp_path, options=OPTIONS, progress=lambda: seen.append(1))
    assert len(seen) == 6
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert len(list((tmp_path / "audio").iterdir())) == 6


def test_more_sentences_and_copies_keep_the_recordings_that_are_there(manifest: Path) -> None:
    before = {row.audio_path for row in read_manifest(manifest)}
    longer = [*SENTENCES, Sentence(id="d", text="One more.")]
    again = synthesize_dataset(longer, manifest.parent, options=replace(OPTIONS, copies=3))
    assert before < {row.audio_path for row in read_manifest(again)}
    synthesize_dataset(SENTENCES, manifest.parent, options=OPTIONS)


def test_speech_lies_between_silences_over_a_floor(tmp_path: Path) -> None:
    options = replace(OPTIONS, copies=1, augmentation=NO_AUGMENTATION, silence_s=(0.5, 0.5), suffix=".wav")
    [row] = read_manifest(synthesize_dataset(SENTENCES[2:], tmp_path, options=options))
    samples = load_samples(row)
    edges = np.concatenate([samples[:7_000], samples[-7_000:]])
    assert 0 < np.sqrt(np.mean(edges**2)) < 10 ** (-58 / 20)
    assert np.sqrt(np.mean(samples[8_000:-8_000] ** 2)) > 10 ** (-32 / 20)


def test_every_text_that_cannot_be_said_is_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    bad = [Sentence(id="x", text="東京"), Sentence(id="y", text="word " * 200), *SENTENCES[1:]]
    with pytest.raises(InputError, match=r"2 recordings.*'word word.*split the text.*東京"):
        synthesize_dataset(bad, tmp_path, options=replace(OPTIONS, copies=1))
    assert len(list((tmp_path / "audio").iterdir())) == 2
    assert not (tmp_path / "manifest.jsonl").exists()


def test_telephone_calls_have_nothing_above_their_band(tmp_path: Path) -> None:
    calls = replace(NO_AUGMENTATION, telephone_probability=1.0)
    path = synthesize_dataset(SENTENCES[:1], tmp_path, options=replace(OPTIONS, copies=1, augmentation=calls))
    power = np.abs(np.fft.rfft(read_audio(read_manifest(path)[0].audio_path))) ** 2
    assert power[power.size // 2 + 200 :].sum() < 1e-4 * power.sum()


CHANGES: list[tuple[Callable[[], object], str]] = [
    (lambda: replace(OPTIONS, copies=0), "copies"),
    (lambda: replace(OPTIONS, speed=(0.4, 1.0)), "speed"),
    (lambda: replace(OPTIONS, pitch=(1.1, 1.0)), "pitch"),
    (lambda: replace(OPTIONS, silence_s=(0.0, 9.0)), "silence_s"),
    (lambda: replace(OPTIONS, suffix=".mp3"), "suffix"),
    (lambda: replace(OPTIONS, num_threads=-1), "num_threads"),
]


@pytest.mark.parametrize(("change", "field"), CHANGES)
def test_options_outside_their_range_are_named(change: Callable[[], object], field: str) -> None:
    with pytest.raises(OptionError) as caught:
        change()
    assert caught.value.field == field


def test_empty_and_repeated_sentences(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to say"):
        synthesize_dataset([], tmp_path, options=OPTIONS)
    with pytest.raises(InputError, match="occurs twice"):
        synthesize_dataset([SENTENCES[0], SENTENCES[0]], tmp_path, options=OPTIONS)
    with pytest.raises(OptionError, match="no speech engine"):
        synthesize_dataset(SENTENCES, tmp_path, options=replace(OPTIONS, engines=("x",)))

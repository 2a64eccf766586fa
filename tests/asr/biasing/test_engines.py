"""Phrases on real speech: each engine writes those that are said, none that are not, and batches change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr.biasing.phrases import Phrase, PhraseSet, phrase_set
from asr.models.base import DecodingOptions, Samples
from asr.models.whisper_ct2 import CTranslate2Whisper
from asr.models.whisper_phrases import SEARCH_SURER, Encoded, PhraseScorer
from asr.recognizer import Recognizer
from asr.units import WHISPER_WINDOW_FRAMES

SAID = "We had to stop darunavir because of the rash."
GREEDY = DecodingOptions(beam_size=1, word_times=False)
UNTIMED = DecodingOptions(word_times=False)
NEARLY_WHOLE_FRAMES = 2900  # an own length that the bundled model, which was taught none, hears well enough


def phrases(*texts: str) -> PhraseSet:
    return phrase_set(Phrase(text=one) for one in texts)[0]


@pytest.fixture(scope="module")
def recognizer() -> Iterator[Recognizer]:
    made = Recognizer.load("bundled:tiny.en")
    yield made
    made.close()


@pytest.fixture(scope="module")
def order() -> Samples:
    """A sentence with a word that the bundled model does not know."""
    from training.synth.speech import HibariEngine

    return HibariEngine().synthesize(SAID, voice="bright", speed=1.0, pitch=1.0, seed=0)


def test_a_word_that_the_model_does_not_know_is_written_in_finals_and_interims(
    recognizer: Recognizer, order: Samples
) -> None:
    (plain,), (biased,), (interim,) = (
        recognizer.decode([order], options, [wanted])[0]
        for options, wanted in (
            (DecodingOptions(), None),
            (DecodingOptions(), phrases("darunavir", "fosfomycin")),
            (GREEDY, phrases("darunavir", "fosfomycin")),
        )
    )
    assert "darunavir" not in plain.text
    assert biased.text == SAID
    assert "darunavir" in interim.text and "fosfomycin" not in interim.text
    assert [word.text for word in biased.words] == SAID.split()
    times = [time for word in biased.words for time in (word.start_s, word.end_s)]
    assert times == sorted(times) and times[-1] <= len(order) / 16_000
    assert biased.avg_log_prob < 0 < biased.confidence < 1


def test_phrases_of_others_change_nothing(
    recognizer: Recognizer, order: Samples, spoken: dict[str, Samples]
) -> None:
    """Law: a segment in a batch is written as it is alone, whatever phrases its neighbours have."""
    segments = [order, *spoken.values(), order]
    between = [None, phrases("gliclazide"), phrases("darunavir")]
    assert len(spoken) == len(between)
    wanted = [phrases("darunavir"), *between, phrases("gliclazide")]
    together = recognizer.decode(segments, GREEDY, wanted)
    alone = [recognizer.decode([one], GREEDY, [some])[0] for one, some in zip(segments, wanted, strict=True)]
    assert [row[0].text for row in together] == [row[0].text for row in alone]
    assert "darunavir" in together[0][0].text and "darunavir" not in together[-1][0].text


def test_what_a_search_says_of_its_text_is_near_what_its_scoring_says(
    recognizer: Recognizer, order: Samples, spoken: dict[str, Samples]
) -> None:
    """Law: the search is surer of a text than its tokens' scores together by no more than the margin."""
    model = recognizer._model
    assert isinstance(model, CTranslate2Whisper)
    prompt = model._tokenizer.prompt("en")
    for samples in (order, *spoken.values()):
        heard = model.encode(samples)
        found = model._best(model._beams(heard, prompt, DecodingOptions(), 1)[0])
        (log_probs,) = model._phrases._token_log_probs(heard, prompt, [found.tokens])
        assert len(found.tokens) > 5 and log_probs.sum() < 0
        assert abs(found.score * len(found.tokens) - log_probs.sum()) < SEARCH_SURER / 2


@pytest.mark.parametrize("phrase", ["librarian", "happy past", "trained leaves"])
def test_nothing_is_scored_for_a_phrase_that_the_search_itself_leaves_no_room(
    recognizer: Recognizer, spoken: dict[str, Samples], phrase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the search's own context; a whole window is scored in another one, of which the search says too little."""
    model = recognizer._model
    assert isinstance(model, CTranslate2Whisper)
    score, scored = PhraseScorer._token_log_probs, []

    def counted(self: PhraseScorer, output: Encoded, prompt: list[int], rows: Any) -> Any:
        scored.extend(rows)
        return score(self, output, prompt, rows)

    monkeypatch.setattr(PhraseScorer, "_token_log_probs", counted)
    wanted = PhraseSet((Phrase(text=phrase, boost=1.0),))
    found = {}
    for num_frames in (NEARLY_WHOLE_FRAMES, WHISPER_WINDOW_FRAMES):
        scored.clear()
        texts = [
            model.decode_encoded(
                [model.encode(samples, num_frames)], [len(samples) / 16_000], UNTIMED, [wanted]
            )[0][0].text
            for samples in spoken.values()
        ]
        found[num_frames] = len(scored), texts
    (few, own), (more, whole) = found.values()
    assert few == 0 < more
    assert own == whole


def test_phrases_that_are_not_written_change_neither_times_nor_confidence(
    recognizer: Recognizer, spoken: dict[str, Samples]
) -> None:
    """Law: where no phrase comes, a segment's words are those without phrases."""
    near = phrases("please sent", "forty-three boxes", "the trained", "half past eleven", "the liberty")
    for samples in spoken.values():
        plain, told = (recognizer.decode([samples], DecodingOptions(), [some])[0][0] for some in (None, near))
        assert told.text == plain.text and told.words == plain.words


def test_a_thousand_unrelated_phrases_change_no_word(
    recognizer: Recognizer, spoken: dict[str, Samples]
) -> None:
    rng = np.random.default_rng(0)
    parts = ["ba", "ke", "lo", "mu", "ni", "po", "ra", "sti", "tro", "vex", "zan", "gru"]
    unrelated = phrases(*{"".join(rng.choice(parts, size=4)) for _ in range(1000)})
    segments = [
        *spoken.values(),
        np.zeros(48_000, np.float32),
        (0.01 * rng.standard_normal(48_000)).astype(np.float32),
    ]
    texts = [
        [row[0].text for row in recognizer.decode(segments, GREEDY, [some] * len(segments))]
        for some in (None, unrelated)
    ]
    assert texts[0] == texts[1]


def test_the_reference_engine_writes_the_same(order: Samples, recognizer: Recognizer) -> None:
    wanted = phrases("darunavir", "fosfomycin")
    reference = Recognizer.load("bundled:tiny.en", engine="torch")
    texts = [one.decode([order], GREEDY, [wanted])[0][0].text for one in (recognizer, reference)]
    reference.close()
    assert texts[0] == texts[1] and "darunavir" in texts[0]


def test_a_recording_may_hold_phrases_in_any_segment(recognizer: Recognizer, order: Samples) -> None:
    pause = np.zeros(24_000, np.float32)
    recording = np.concatenate([order, pause, order, pause])
    transcript = recognizer.transcribe(recording, GREEDY, phrases=phrases("darunavir"))
    assert [segment.text.count("darunavir") for segment in transcript.segments] == [1, 1]


def test_a_ctc_beam_prefers_phrases_and_leaves_the_rest(small_ctc: Path) -> None:
    from training.synth.speech import HibariEngine

    engine = HibariEngine()
    said = (small_ctc / "heldout.txt").read_text().splitlines()[2]
    spoken = engine.synthesize(said, voice=engine.voices[0], speed=1.0, pitch=1.0, seed=2)
    noisy = (spoken + 0.01 * np.random.default_rng(2).standard_normal(len(spoken))).astype(np.float32)
    recognizer = Recognizer.load(str(small_ctc))
    wanted = phrases("cortisone", "lisinopril", "blueberry", "naïve café")
    plain, biased = (
        recognizer.decode([noisy], DecodingOptions(), [some])[0][0].text for some in (None, wanted)
    )
    recognizer.close()
    *before, misheard = plain.split()
    assert before[:4] == ["DO", "YOU", "HAVE", "AMOXICILLIN"] and misheard != "CORTISONE"
    assert biased.split() == [*before, "CORTISONE"]

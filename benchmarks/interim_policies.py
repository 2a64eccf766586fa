"""Which words of an interim to promise, and whether to force them on the next search: policies on the same audio.

- agreement: the server's. A free greedy search; what two successive ones agree on is committed (LocalAgreement-2).
- forced: the same, and the committed words are forced on the next search as its first tokens.
- aligned: forced, but words are committed by attention: those that end at least HOLD before the audio does
  (after AlignAtt, Papi et al. 2023; ends are those of the model's own alignment).

Utterances are cut by the server's session; each interim is searched alone, so the time is that of one search without a
batch. The final, a beam search over the whole utterance, is the same for all.

    python benchmarks/interim_policies.py --model bundled:tiny.en MANIFEST [MANIFEST ...]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr.audio.vad import VoiceActivityDetector
from asr.data.manifest import load_samples, read_manifest
from asr.models.base import DecodingOptions
from asr.models.whisper_ct2 import MAX_NEW_TOKENS, CTranslate2Whisper
from asr.recognizer import Recognizer
from asr.results import Hypothesis, Word
from asr.streaming.session import DecodeRequest, Session, SessionOptions
from asr.streaming.stabilizer import Stabilizer, covered

CHUNK_SAMPLES = 1600  # 100 ms
INTERIM = DecodingOptions(beam_size=1, word_times=False)
FINAL = DecodingOptions(beam_size=5, word_times=True)
POLICIES = ("agreement", "forced", "aligned 0.3 s", "aligned 0.6 s", "aligned 1.0 s")


@dataclass
class Tally:
    """What one policy did."""

    delays_s: list[float] = field(default_factory=list)
    promised: int = 0
    changed: int = 0
    searches: int = 0
    busy_s: float = 0.0

    def figures(self) -> dict[str, float]:
        """Delays are audio heard when a word was promised less the word's end in the final, of words kept."""
        p50, p90 = np.percentile(self.delays_s, [50, 90])
        return {
            "promise_p50_s": round(float(p50), 3),
            "promise_p90_s": round(float(p90), 3),
            "promised": self.promised,
            "changed": self.changed,
            "changed_share": round(self.changed / max(1, self.promised), 4),
            "ms_per_interim": round(1000 * self.busy_s / max(1, self.searches), 2),
        }


class Interims:
    """One utterance's interims under one policy; ``update`` gives the words promised so far."""

    def __init__(self, model: CTranslate2Whisper, policy: str) -> None:
        self._model = model
        self._hold_s = float(policy.split()[1]) if policy.startswith("aligned") else None
        self._is_forced = policy != "agreement"
        self._stabilizer = Stabilizer()
        self._committed: list[str] = []

    def update(self, samples: NDArray[np.float32]) -> list[str]:
        """Search the open utterance so far."""
        prefix = " ".join(self._committed) if self._is_forced else ""
        text, tokens, output = search(self._model, samples, prefix)
        if self._hold_s is None:
            stable = self._stabilizer.update(Hypothesis(text=text))
            self._committed = list(stable.words[: stable.num_committed])
        elif tokens and len(tokens) <= MAX_NEW_TOKENS:  # more is a loop, of which nothing is promised
            ends = [word.end_s for word in aligned(self._model, output, tokens, len(samples) / 16_000)]
            limit_s = len(samples) / 16_000 - self._hold_s
            said = text.split()
            if len(ends) == len(said):
                count = next((index for index, end_s in enumerate(ends) if end_s > limit_s), len(ends))
                self._committed = said[: max(count, len(self._committed))]
        return self._committed


def search(
    model: CTranslate2Whisper, samples: NDArray[np.float32], prefix: str
) -> tuple[str, list[int], NDArray[np.float32]]:
    """A greedy search that goes on behind ``prefix``: its whole text and tokens, and what was encoded."""
    tokenizer = model._tokenizer
    output = model.encode(samples)
    forced = tokenizer.encode(prefix) if prefix else []
    (result,) = model._model.generate(
        model._storage.from_array(output),
        [[*tokenizer.prompt(None), *forced]],
        beam_size=1,
        max_length=MAX_NEW_TOKENS,
        suppress_blank=not forced,  # or a search could not end right behind what is forced
        return_scores=True,
        return_no_speech_prob=True,
    )
    said = model._hypotheses(result, (), "")[0].text
    tokens = [
        token for token in result.sequences_ids[0] if token < tokenizer.end_of_text
    ]  # what is forced, too
    return said, tokens if said else [], output


def aligned(
    model: CTranslate2Whisper, output: NDArray[np.float32], tokens: list[int], duration_s: float
) -> tuple[Word, ...]:
    """The words of a search with their times."""
    (words,) = model._align(output, model._tokenizer.prompt(None), [tokens], [duration_s], None)
    return words


def utterances(samples: NDArray[np.float32]) -> Iterator[list[DecodeRequest]]:
    """What the server's session would decode, utterance by utterance, the final last."""
    session = Session(SessionOptions(interim_results=True), VoiceActivityDetector())
    requests: list[DecodeRequest] = []
    chunks = [samples[start : start + CHUNK_SAMPLES] for start in range(0, len(samples), CHUNK_SAMPLES)]
    events = (event for chunk in chunks for event in session.push(chunk))
    for event in (*events, *session.flush()):
        if isinstance(event, DecodeRequest) and not event.is_early:
            requests.append(event)
            if event.is_final:
                yield requests
                requests = []


def judge(model: CTranslate2Whisper, requests: list[DecodeRequest], policy: str, tally: Tally) -> None:
    """Run one utterance's interims and compare what they promised with its final."""
    *interims, final = requests
    ((best, *_rest),) = model.decode([final.samples], FINAL)
    running = Interims(model, policy)
    promised: list[tuple[str, float]] = []
    for request in interims:
        started = time.process_time()
        words = running.update(request.samples)
        tally.busy_s += time.process_time() - started
        tally.searches += 1
        heard_s = request.end_s - request.start_s
        promised += [(word, heard_s) for word in words[len(promised) :]]
    keys = [_key(word) for word in best.text.split()]
    tally.promised += len(promised)
    for index, (word, heard_s) in enumerate(promised):
        place = covered([_key(one) for one, _ in promised[: index + 1]], keys) - 1
        if 0 <= place < len(keys) and keys[place] == _key(word):
            if place < len(best.words):
                tally.delays_s.append(heard_s - best.words[place].end_s)
        else:
            tally.changed += 1


def _key(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum())


def main() -> None:
    """One JSON line for each manifest and policy."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--limit", type=int, default=40, help="recordings of each manifest")
    parser.add_argument("manifests", type=Path, nargs="+")
    options = parser.parse_args()
    resolved = Recognizer.load(options.model).resolved
    assert resolved.ctranslate2_dir is not None
    model = CTranslate2Whisper(resolved.ctranslate2_dir, own_length=resolved.own_length)
    for path in options.manifests:
        tallies = {policy: Tally() for policy in POLICIES}
        for row in read_manifest(path)[: options.limit]:
            for requests in utterances(load_samples(row)):
                for policy, tally in tallies.items():
                    judge(model, requests, policy, tally)
        for policy, tally in tallies.items():
            print(json.dumps({"manifest": str(path), "policy": policy, **tally.figures()}), flush=True)


if __name__ == "__main__":
    main()

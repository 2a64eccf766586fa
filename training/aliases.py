"""What a model makes of phrases that it does not know: each is spoken in carrier sentences and recognised.

Such misspellings become ``sounds_like`` of the phrase, so that they are found where it is said. One that is made of
ordinary words, or is another phrase, would be found where it is not said, and is refused.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from asr.atomic import write_bytes_atomically
from asr.biasing.phrases import MAX_CHARACTERS, MAX_SPELLINGS, MAX_WORDS, Phrase, PhraseSet
from asr.biasing.sounds import letters
from asr.models.base import DecodingOptions, Samples
from asr.models.bundled import unpack_bundled
from asr.models.whisper_tokens import WhisperTokenizer
from asr.recognizer import Recognizer
from asr.storage import cache_dir
from training.progress import Reporter
from training.synth.speech import SpeechEngine

CARRIERS = ("Did you say {} to him?", "Please write down {} for me.", "We talked about {} at noon.")
RENDERINGS = 6  # of a phrase, over carriers and voices
MAX_ALIASES = 3
_BATCH = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """A phrase, the misspellings that were kept, and those that were refused with the reason."""

    phrase: str
    aliases: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]


def find_aliases(
    phrases: PhraseSet, recognizer: Recognizer, engine: SpeechEngine, reporter: Reporter, *, seed: int = 0
) -> list[Heard]:
    """What the model writes for each phrase; kept in the cache for the same model, voice, seed and phrase.

    Args:
        phrases: of the domain.
        recognizer: the model that will be served.
        engine: that speaks.
        reporter: told of every phrase.
        seed: of the renderings.
    """
    folder = cache_dir("aliases", recognizer.sha256[:32])
    others = {letters(one.text) for one in phrases}
    found = []
    with reporter.stage("speaking phrases", len(phrases)) as stage:
        for phrase in phrases:
            path = folder / f"{engine.name}-{seed}-{PhraseSet((Phrase(text=phrase.text),)).key[:32]}.json"
            if not path.is_file():
                heard = list(_spellings(phrase.text, recognizer, engine, seed))
                write_bytes_atomically(path, json.dumps(heard).encode())
            found.append(_judged(phrase, json.loads(path.read_text(encoding="utf-8")), others))
            stage.advance()
    return found


def with_aliases(phrases: PhraseSet, found: Sequence[Heard]) -> PhraseSet:
    """The phrases with the misspellings behind the spellings that they had."""
    return PhraseSet(
        tuple(
            replace(one, sounds_like=tuple(dict.fromkeys((*one.sounds_like, *heard.aliases)))[:MAX_SPELLINGS])
            for one, heard in zip(phrases, found, strict=True)
        )
    )


def _spellings(text: str, recognizer: Recognizer, engine: SpeechEngine, seed: int) -> Iterator[str]:
    """What stands in the phrase's place in what the model writes, once for each rendering that shows it."""
    spoken = [
        (CARRIERS[number % len(CARRIERS)], engine.voices[number % len(engine.voices)], seed + number)
        for number in range(RENDERINGS)
    ]
    segments: list[Samples] = [
        engine.synthesize(carrier.format(text), voice=voice, speed=1.0, pitch=1.0, seed=number)
        for carrier, voice, number in spoken
    ]
    options = DecodingOptions(beam_size=5, word_times=False, language=None)
    rows = [
        row for start in range(0, len(segments), _BATCH)
        for row in recognizer.decode(segments[start : start + _BATCH], options)
    ]  # fmt: skip
    for (carrier, _, _), row in zip(spoken, rows, strict=True):
        heard = between(row[0].text, carrier)
        if heard:
            yield heard


def between(text: str, carrier: str) -> str:
    """The words of ``text`` in the carrier's gap, between its last word ahead and its first behind; "" without these."""
    ahead, behind = (part.split() for part in carrier.split("{}"))
    words = text.split()
    plain = [letters(word) for word in words]
    first, last = letters(ahead[-1]), letters(behind[0])
    starts = [index + 1 for index, word in enumerate(plain) if word == first]
    ends = [index for index, word in enumerate(plain) if word == last]
    if not starts or not ends or ends[-1] <= starts[0]:
        return ""
    return " ".join(words[starts[0] : ends[-1]]).strip(".,;:!?\"'")


def _judged(phrase: Phrase, spellings: Sequence[str], others: set[str]) -> Heard:
    """The commonest misspellings that are safe, and why others are not."""
    kept: list[str] = []
    refused: list[tuple[str, str]] = []
    own = {letters(one) for one in (phrase.text, *phrase.sounds_like)}
    for spelling, _ in Counter(spellings).most_common():
        key = letters(spelling)
        if not key or key in own:
            continue
        own.add(key)
        if reason := _reason(spelling, key, others):
            refused.append((spelling, reason))
        elif len(kept) < MAX_ALIASES:
            kept.append(spelling)
    return Heard(phrase=phrase.text, aliases=tuple(kept), refused=tuple(refused))


def _reason(spelling: str, key: str, others: set[str]) -> str:
    if key in others:
        return "it is another phrase"
    if len(spelling) > MAX_CHARACTERS or len(spelling.split()) > MAX_WORDS:
        return "too long"
    if all(_is_ordinary(word) for word in spelling.split()):
        return "ordinary words"
    return ""


def _is_ordinary(word: str) -> bool:
    """Whether Whisper's English vocabulary has the word as one token, as it has some 20,000 of the commonest."""
    plain = word.strip(".,;:!?\"'").lower()
    return any(len(_vocabulary().encode(form)) == 1 for form in (plain, plain.capitalize()))


@cache
def _vocabulary() -> WhisperTokenizer:
    return WhisperTokenizer(unpack_bundled("tiny.en").transformers_dir / "tokenizer.json")

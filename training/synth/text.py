"""What is to be spoken: domain text, term lists, and carrier sentences made around terms.

The terms themselves are read by ``asr.data.glossary``.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.data.glossary import Term, read_lines
from asr.errors import InputError, OptionError

MAX_WORDS = 40  # about 18 s of speech: well inside a Whisper window
_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+")

# Neutral carriers: no article before a term, so that nouns, names, codes and verbs all fit.
TEMPLATES = (
    "I would like to ask about {term}.",
    "Can you tell me more about {term}?",
    "I am calling about {term}.",
    "Did you say {term}?",
    "Yes, {term}, please.",
    "No, I said {term}.",
    "The next one is {term}.",
    "Please write down {term}.",
    "We talked about {term} yesterday.",
    "Is {term} the right one?",
    "I think it was {term}.",
    "Let me check {term} for you.",
    "Could you repeat {term} once more?",
    "They asked for {term} again this morning.",
    "I have {term} here in front of me.",
    "You should have received {term} last week.",
    "My colleague mentioned {term} on the phone.",
    "How long does {term} usually take?",
    "What does {term} mean exactly?",
    "So the answer is {term}, correct?",
    "Put {term} on the list, please.",
    "There is a note here that says {term}.",
    "Sorry, was that {term}?",
    "Thank you, {term} is fine.",
    "I need {term} before Friday.",
    "Nobody told me anything about {term}.",
    "We still have a question about {term}.",
    "Okay, {term}, got it.",
    "Please search for {term} in the system.",
    "That should be {term}, if I remember correctly.",
    "{term} is what I was looking for.",
    "{term}, and that is all for today.",
    "What about {term}?",
    "Send me the details for {term}, please.",
    "The first line reads {term}.",
    "It starts with {term} and goes on from there.",
    "Is it {term} or {other}?",
    "First {term}, and then {other}.",
    "We have {term} but not {other}.",
    "I said {term}, not {other}.",
    "Please add {term} and {other}.",
    "Both {term} and {other} are on the list.",
)


@dataclass(frozen=True, kw_only=True)
class CarrierSentence:
    """A sentence with the terms in it."""

    text: str
    terms: tuple[str, ...]


# For a language that we have no sentences in: nothing but terms, so that no word of another language is taught.
BARE_TEMPLATES = ("{term}.", "{term}?", "{term}, {other}.", "{other}, {term}.", "{term}, {other}?")


def read_text_lines(path: Path, max_words: int = MAX_WORDS) -> list[str]:
    """Read domain text, one utterance a line; blank lines are skipped.

    Lines of more than ``max_words`` words are cut at sentence ends, and where there are none between words,
    so that every utterance fits a Whisper window. No word is lost.

    Raises:
        InputError: the file cannot be read or holds no text.
    """
    utterances = [part for line in read_lines(path) for part in split_long(" ".join(line.split()), max_words)]
    if not utterances:
        raise InputError(f"{path} holds no text; write one utterance a line")
    return utterances


def split_long(text: str, max_words: int = MAX_WORDS) -> list[str]:
    """Cut a text into parts of at most ``max_words`` words, at sentence ends where it can; [] for an empty "
    "text."""
    parts: list[list[str]] = []
    for sentence in _SENTENCE_END.split(text) if len(text.split()) > max_words else [text]:
        words = sentence.split()
        if parts and len(parts[-1]) + len(words) <= max_words:
            parts[-1].extend(words)
        else:
            parts += [words[start : start + max_words] for start in range(0, len(words), max_words)]
    return [" ".join(words) for words in parts]


def read_templates(path: Path) -> list[str]:
    """Read carrier templates, one a line, each with ``{term}`` and optionally ``{other}``; # begins a
    comment.

    Raises:
        InputError: the file cannot be read.
        OptionError: there is no template, or one lacks ``{term}`` or has an unknown placeholder.
    """
    lines = (line.strip() for line in read_lines(path))
    templates = [line for line in lines if line and not line.startswith("#")]
    _check_templates(templates)
    return templates


def carrier_sentences(
    terms: Sequence[Term], per_term: int, seed: int, templates: Sequence[str] | None = None
) -> list[CarrierSentence]:
    """Put every term into ``per_term`` sentences; the same arguments give the same sentences.

    A term's templates follow from the seed and the term alone, so a longer list does not change them; the
    second term of a template with ``{other}`` is drawn from the list.

    Args:
        terms: at least one.
        per_term: sentences of each term, at least 1; templates repeat only when all were used.
        seed: of the choice.
        templates: instead of ``TEMPLATES``.

    Raises:
        OptionError: no terms, ``per_term`` below 1, or a bad template.
    """
    if not terms or per_term < 1:
        raise OptionError(
            f"{len(terms)} terms with {per_term} sentences each; both must be at least 1", field="per_term"
        )
    chosen = TEMPLATES if templates is None else tuple(templates)
    _check_templates(chosen)
    usable = [template for template in chosen if len(terms) > 1 or "{other}" not in template]
    if not usable:
        raise OptionError("every template asks for {other}, but there is one term; add a template without it")
    texts = [term.text for term in terms]
    return [sentence for text in texts for sentence in _sentences_of(text, texts, usable, per_term, seed)]


def _sentences_of(
    term: str, terms: Sequence[str], templates: Sequence[str], per_term: int, seed: int
) -> list[CarrierSentence]:
    choice = random.Random(int.from_bytes(hashlib.sha256(f"{seed}\0{term}".encode()).digest()[:8], "big"))
    order: list[str] = []
    while len(order) < per_term:
        order += choice.sample(templates, len(templates))
    others = [other for other in terms if other != term]
    return [_filled(template, term, choice.choice(others) if others else "") for template in order[:per_term]]


def _filled(template: str, term: str, other: str) -> CarrierSentence:
    values = {"term": term, "other": other}
    names = _PLACEHOLDER.findall(template)
    text = _PLACEHOLDER.sub(lambda match: values[match[1]], template)
    return CarrierSentence(
        text=text, terms=tuple(values[name] for name in ("term", "other") if name in names)
    )


def _check_templates(templates: Sequence[str]) -> None:
    if not templates:
        raise OptionError("there is no template; write one a line, with {term} in it", field="templates")
    for template in templates:
        names = set(_PLACEHOLDER.findall(template))
        if "term" not in names or names - {"term", "other"}:
            raise OptionError(
                f"the template {template!r} must hold {{term}}, may hold {{other}}, and no other braces",
                field="templates",
            )

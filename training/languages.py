"""In which language a job works: the one asked for, or the one that its rows name; never a guess that nobody is told.

What a language changes in the data is ``training.data``'s, in tokens and contexts ``training.whisper_family``'s.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from asr.errors import InputError, OptionError
from asr.models.checkpoint import WAV2VEC2, check_folder
from asr.models.resolve import ResolvedModel
from asr.text.languages import AUTO, ENGLISH, known_code, language_code, normalizer_for
from training.spec import AdaptationSpec

MAX_FOREIGN_SHARE = (
    0.005  # of letters beyond a to z in English text: names and loans; German has 0.015 to 0.02
)


def base_languages(base: ResolvedModel) -> tuple[str, ...]:
    """The languages that a base can be adapted in."""
    if check_folder(base.transformers_dir) == WAV2VEC2:
        from asr.models.ctc_torch import card_languages

        return card_languages(base.transformers_dir)
    from asr.models.whisper_tokens import WhisperTokenizer

    return WhisperTokenizer(base.transformers_dir / "tokenizer.json").languages


def settled(spec: AdaptationSpec, known: tuple[str, ...]) -> tuple[AdaptationSpec, list[str]]:
    """The spec with its language and its normaliser named, and what a reader of the figures must know of that.

    Args:
        spec: of the job.
        known: of :func:`base_languages`.

    Raises:
        OptionError: the base does not know the language, or nothing says which of several it is.
        InputError: the rows are in several languages.
    """
    language, notes = _language(spec, known)
    if not spec.has_domain and language != ENGLISH:
        raise OptionError(
            f"without --text, --terms or --train only own lengths are taught, and in English alone, not in "
            f"{language!r}; give one of them"
        )
    normalizer = normalizer_for(language) if spec.normalizer == AUTO else spec.normalizer
    return replace(spec, language=language, normalizer=normalizer), notes


def _language(spec: AdaptationSpec, known: tuple[str, ...]) -> tuple[str, list[str]]:
    if spec.language != AUTO:
        return known_code(spec.language, known, spec.base), []
    named = sorted(set(_named_languages(spec)))
    if len(named) > 1:
        raise InputError(
            f"rows are in {', '.join(named)}; a job adapts one language: leave the others out, or give --language if "
            "their key language is wrong"
        )
    if named:
        language = known_code(named[0], known, spec.base)
        return language, [f"language: {language}, as the rows say"] if language != ENGLISH else []
    if len(known) == 1:
        return known[0], []
    share = _foreign_share(spec)
    if share > MAX_FOREIGN_SHARE:
        raise OptionError(
            f"{spec.base} knows {len(known)} languages, and {share:.1%} of the text's letters are not English ones: "
            "name its language with --language, which may be en",
            field="language",
        )
    return ENGLISH, [
        f"language: English is assumed, since neither --language nor a row names one of the {len(known)} that the "
        "base knows"
    ]


def _named_languages(spec: AdaptationSpec) -> Iterator[str]:
    for path in (spec.train, spec.dev, spec.test):
        for row in _rows(path):
            language = row.get("language")
            if isinstance(language, str) and language:
                yield language_code(language)


def _foreign_share(spec: AdaptationSpec) -> float:
    """Share of letters that are not a to z, in everything that is written."""
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in (spec.text, spec.terms) if path]
    texts += [str(row.get("text") or "") for path in (spec.train, spec.dev) for row in _rows(path)]
    letters = [sign for text in texts for sign in text if sign.isalpha()]
    return sum(not sign.isascii() for sign in letters) / max(1, len(letters))


def _rows(path: Path | None) -> Iterator[dict[str, object]]:
    """Rows of a manifest that can be read; what is wrong with the others is said when it is validated."""
    for line in path.read_bytes().splitlines() if path else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row

"""A transcript as words to align: each as it is written, and as the model's characters say it.

Cut rows keep the written form. Numbers and foreign letters, which the characters cannot say, are left to the aligner as
words of unknown sound; spelling them out would be a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from asr.decoding.ctc_tokens import CtcTokens
from training.ctc_text import fold_transcript

_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’»)\]]*$")


@dataclass(frozen=True, kw_only=True, slots=True)
class TranscriptWord:
    """A word of a transcript.

    Attributes:
        text: as it is written, with its punctuation.
        spoken: in the model's characters; "" where they do not suffice.
        missing: letters and digits that the model lacks.
        ends_sentence: by its punctuation, or as the last of a line.
    """

    text: str
    spoken: str
    missing: tuple[str, ...] = ()
    ends_sentence: bool = False


def transcript_words(text: str, tokens: CtcTokens) -> list[TranscriptWord]:
    """The words of ``text``; what holds no letter or digit, such as a dash, goes with the word before it."""
    words: list[TranscriptWord] = []
    for line in text.splitlines():
        start = len(words)
        leading = ""
        for written in line.split():
            folded = fold_transcript(written, tokens)
            if not folded.text and len(words) > start:
                words[-1] = _extended(words[-1], written)
            elif not folded.text:
                leading += f"{written} "
            else:
                words.append(
                    TranscriptWord(
                        text=leading + written,
                        spoken="" if folded.missing else folded.text,
                        missing=folded.missing,
                        ends_sentence=bool(_SENTENCE_END.search(written)),
                    )
                )
                leading = ""
        if len(words) > start:
            words[-1] = replace(words[-1], ends_sentence=True)
    return words


def _extended(word: TranscriptWord, written: str) -> TranscriptWord:
    return replace(
        word,
        text=f"{word.text} {written}",
        ends_sentence=word.ends_sentence or bool(_SENTENCE_END.search(written)),
    )

"""Where a long recording may be cut before it is aligned, so that memory stays bounded: at runs of words that the model
plainly hears, as Moreno et al. 1998 (A recursive algorithm for the forced alignment of very long audio segments).

Forced alignment of E frames to U labels keeps E * (2 U + 1) bytes: 18 GB for an hour of speech in one piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asr.decoding.ctc_alignment import LogProbs, WordSpan, best_path, words_of
from asr.decoding.ctc_tokens import CtcTokens
from asr.errors import InputError
from training.alignment.transcript import TranscriptWord

PIECE_CELLS = 20_000_000  # about two minutes of speech, 0.1 s of alignment
MAX_CELLS = 1_000_000_000  # 1 GB: about 14 minutes in which no run of words is heard
MIN_ANCHOR_WORDS = 4
MIN_ANCHOR_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class Anchor:
    """A cut: ``word`` and those after it lie at ``frame`` and later, those before it earlier."""

    word: int
    frame: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Words ``first_word`` up to ``end_word``, the last excluded, on frames likewise."""

    first_word: int
    end_word: int
    first_frame: int
    end_frame: int


def cut_into_pieces(
    log_probs: LogProbs, words: Sequence[TranscriptWord], tokens: CtcTokens, *, piece_cells: int = PIECE_CELLS
) -> list[Piece]:
    """Pieces of the emissions (E, V) and the words that belong to them, each small enough to align.

    Raises:
        InputError: a stretch over the limit in which the model hears none of the transcript's words in a row.
    """
    sizes = [0]
    for word in words:
        sizes.append(sizes[-1] + len(word.spoken) + 2)  # with separator and wildcard
    whole = Piece(0, len(words), 0, len(log_probs))
    if _cells(whole, sizes) <= piece_cells:
        return [whole]
    waiting, done = [(whole, find_anchors(log_probs, words, tokens))], []
    while waiting:
        piece, anchors = waiting.pop()
        if _cells(piece, sizes) <= piece_cells or not anchors:
            _check_cells(_cells(piece, sizes), piece, words)
            done.append(piece)
            continue
        halves = [(anchor, _halves(piece, anchor)) for anchor in anchors]
        anchor, (left, right) = min(halves, key=lambda pair: max(_cells(half, sizes) for half in pair[1]))
        waiting.append((right, [other for other in anchors if other.word > anchor.word]))
        waiting.append((left, [other for other in anchors if other.word < anchor.word]))
    return done


def find_anchors(log_probs: LogProbs, words: Sequence[TranscriptWord], tokens: CtcTokens) -> list[Anchor]:
    """Cuts within runs of words that the best path has in common with the transcript, in their order."""
    import jiwer

    heard = words_of(best_path(log_probs, tokens), tokens)
    said = [
        (part, number)
        for number, word in enumerate(words)
        for part in (word.spoken.split() if tokens.separator is not None else word.spoken.replace(" ", ""))
    ]
    if not heard or not said:
        return []
    aligned = jiwer.process_words(
        [" ".join(part for part, _ in said)], [" ".join(tokens.fold(span.text) for span in heard)]
    )
    anchors: list[Anchor] = []
    for chunk in aligned.alignments[0]:
        if chunk.type == "equal":
            run = said[chunk.ref_start_idx : chunk.ref_end_idx]
            anchors += _within_run(run, heard[chunk.hyp_start_idx : chunk.hyp_end_idx])
    return anchors


def _within_run(run: Sequence[tuple[str, int]], heard: Sequence[WordSpan]) -> list[Anchor]:
    """The cuts between the words of a run, those at its ends left out; none where it is too short to be trusted."""
    if len(run) < MIN_ANCHOR_WORDS or sum(len(part) for part, _ in run) < MIN_ANCHOR_CHARACTERS:
        return []
    margin = MIN_ANCHOR_WORDS // 2
    return [
        Anchor(run[place][1], (heard[place - 1].end + heard[place].start) // 2)
        for place in range(margin, len(run) - margin + 1)
        if run[place][1] != run[place - 1][1]
    ]


def _halves(piece: Piece, anchor: Anchor) -> tuple[Piece, Piece]:
    return (
        Piece(piece.first_word, anchor.word, piece.first_frame, anchor.frame),
        Piece(anchor.word, piece.end_word, anchor.frame, piece.end_frame),
    )


def _cells(piece: Piece, sizes: Sequence[int]) -> int:
    num_labels = sizes[piece.end_word] - sizes[piece.first_word]
    return (piece.end_frame - piece.first_frame) * (2 * num_labels + 1)


def _check_cells(cells: int, piece: Piece, words: Sequence[TranscriptWord]) -> None:
    if cells > MAX_CELLS:
        begin = " ".join(word.text for word in words[piece.first_word : piece.end_word][:6])
        raise InputError(
            f"{piece.end_word - piece.first_word} words from {begin!r} on take {cells / 1e9:.1f} GB to align, the limit "
            f"is {MAX_CELLS / 1e9:.0f} GB: the model hears no {MIN_ANCHOR_WORDS} of them in a row; check that the "
            "transcript is this recording's and the model its language's, or cut the recording"
        )

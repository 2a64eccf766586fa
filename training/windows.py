"""Several utterances in one window, with timestamp tokens between them: what a model that only hears single utterances
unlearns (transformers#30148).

Serving here asks for no timestamps; an exported checkpoint that is used elsewhere on long recordings needs them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from asr.audio.files import write_audio
from asr.data.manifest import Utterance, load_samples
from asr.units import MAX_UTTERANCE_S, to_samples, to_seconds

SEGMENTS = "segments"  # key of an utterance's extra fields: (start_s, end_s, text) of each part
MAX_PARTS = 4
PAUSE_S = (0.2, 1.0)


def joined_windows(
    rows: Sequence[Utterance], folder: Path, *, count: int, seed: int, on_done: Callable[[], None]
) -> list[Utterance]:
    """``count`` windows of two to four utterances with pauses between them, below ``folder``.

    Args:
        rows: with text; drawn from at random.
        folder: of this job; windows on disk are kept.
        count: windows wanted; none where fewer than two utterances are short enough to share one.
        seed: of everything drawn.
        on_done: called once a window.
    """
    usable = [row for row in rows if row.text and row.duration_s <= MAX_UTTERANCE_S / 2 - PAUSE_S[1]]
    if len(usable) < 2:
        return []
    windows = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        windows.append(_window(usable, folder, number, rng))
        on_done()
    return windows


def _window(rows: Sequence[Utterance], folder: Path, number: int, rng: np.random.Generator) -> Utterance:
    wanted = int(rng.integers(2, MAX_PARTS + 1))
    parts: list[np.ndarray] = []
    segments: list[tuple[float, float, str]] = []
    at_s = 0.0
    ids = []
    for index in rng.choice(len(rows), size=min(wanted, len(rows)), replace=False):
        row = rows[index]
        pause_s = float(rng.uniform(*PAUSE_S)) if parts else 0.0
        if at_s + pause_s + row.duration_s > MAX_UTTERANCE_S:
            break
        samples = load_samples(row)
        parts += [np.zeros(to_samples(pause_s), np.float32), samples]
        start_s = at_s + pause_s
        at_s = to_seconds(sum(map(len, parts)))
        segments.append((start_s, at_s, " ".join((row.text or "").split())))
        ids.append(row.id)
    key = hashlib.sha256("\0".join(ids).encode()).hexdigest()[:12]
    path = folder / f"window-{number:05d}-{key}.flac"
    if not path.is_file():
        write_audio(path, np.concatenate(parts))
    return Utterance(
        id=path.stem, audio_path=path, duration_s=at_s, text=" ".join(text for _, _, text in segments),
        extra={SEGMENTS: tuple(segments)},
    )  # fmt: skip

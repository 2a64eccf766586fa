"""SpecAugment: what is masked follows from seed, step and utterance alone, stays within its limits and in the speech."""

from __future__ import annotations

import numpy as np

from training.spec_augment import MAX_MEL_SHARE, MAX_TIME_SHARE, SpecAugment

FEATURES = np.random.default_rng(0).normal(size=(80, 400)).astype(np.float32)


def _changed(masks: SpecAugment, step: int, num_frames: int = 300, name: str = "a") -> np.ndarray:
    return masks.masked(FEATURES, num_frames, name, step) != FEATURES


def test_the_same_step_masks_the_same_and_another_step_or_utterance_something_else() -> None:
    masks = SpecAugment(num_masks=2, seed=0)
    assert (_changed(masks, 3) == _changed(masks, 3)).all()
    assert (_changed(masks, 3) != _changed(masks, 4)).any()
    assert (_changed(masks, 3) != _changed(masks, 3, name="b")).any()
    assert (_changed(masks, 3) != _changed(SpecAugment(num_masks=2, seed=1), 3)).any()


def test_masks_are_whole_bands_within_their_limits_and_none_is_behind_the_speech() -> None:
    masks = SpecAugment(num_masks=1, seed=0)
    for step in range(200):
        changed = _changed(masks, step)
        bands = changed[:, 300:].all(axis=1)  # behind the speech, only mel bands reach
        assert bands.sum() <= MAX_MEL_SHARE * 80
        frames = changed[~bands].any(axis=0)
        assert frames.sum() <= MAX_TIME_SHARE * 300 and not frames[300:].any()


def test_no_masks_leave_the_features_as_they_are() -> None:
    assert not _changed(SpecAugment(num_masks=0, seed=0), 1).any()
    assert np.array_equal(FEATURES, np.random.default_rng(0).normal(size=(80, 400)).astype(np.float32))

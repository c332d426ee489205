"""Composed films: the picture changes at the cuts of the truth, and a seed always gives the same film."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.studies.cuts.films import composed_film
from jobs.studies.cuts.shots import Pixels
from stages.video.cuts.transitions import CUT, DISSOLVE, FLASH


@pytest.fixture(scope="module")
def photos() -> list[Pixels]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (12, 20, 3)).astype(np.uint8).repeat(20, 0).repeat(20, 1) for _ in range(3)]


def changes(frames: Pixels) -> np.ndarray:
    """Mean absolute difference of each frame to the one before, [frames]."""
    return np.concatenate([[0.0], np.abs(np.diff(frames.astype(np.float32), axis=0)).mean((1, 2, 3))])


def test_the_picture_changes_at_the_cuts(photos: list[Pixels]) -> None:
    film = composed_film("letterbox", 4, photos, shots=4)
    cuts = [truth.start for truth in film.truth]
    assert [truth.kind for truth in film.truth] == [CUT] * 3
    change = changes(film.frames)
    assert change[cuts].min() > 3 * np.median(change)
    assert film.frames[:, :4].max() < 40 or film.frames[:, :, :8].max() < 40  # black bars


def test_a_seed_gives_the_same_film_and_another_seed_another(photos: list[Pixels]) -> None:
    first, again, other = (composed_film("screen", seed, photos, shots=2) for seed in (1, 1, 3))
    np.testing.assert_array_equal(first.frames, again.frames)
    assert first.truth == again.truth
    assert first.frames.shape != other.frames.shape or (first.frames != other.frames).any()


def test_a_dissolve_is_a_mixture_that_ends_with_the_next_shot_alone(photos: list[Pixels]) -> None:
    film = composed_film("dissolves", 2, photos, shots=5)
    gradual = [truth for truth in film.truth if truth.kind == DISSOLVE]
    assert gradual
    assert all(truth.end - truth.start >= 3 for truth in gradual)


def test_a_flash_within_a_shot_is_part_of_the_truth_and_its_first_frame_stands_out(photos: list[Pixels]) -> None:
    film = composed_film("flashes", 6, photos, shots=4)
    flashes = [truth for truth in film.truth if truth.kind == FLASH]
    cuts = [truth.start for truth in film.truth if truth.kind == CUT]
    assert flashes
    assert not any(flash.start <= cut <= flash.end for flash in flashes for cut in cuts)
    change = changes(film.frames)
    assert np.median([change[flash.start] for flash in flashes if flash.start]) > 2 * np.median(change)

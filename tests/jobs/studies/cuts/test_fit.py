"""The fit: what it learns tells cuts from other changes, and the shipped network has the shape of the features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jobs.options import SettingsError
from jobs.studies.cuts.films import WIDTH, Material, Truth
from jobs.studies.cuts.fit import Examples, examples, fit, fit_cuts, half
from stages.video.cuts.hard_cuts import Network, shipped_network
from stages.video.cuts.transitions import CUT


def film_with_one_cut() -> Material:
    rng = np.random.default_rng(0)
    shots = [rng.integers(0, 256, (9, 16, 3)).astype(np.uint8).repeat(10, 0).repeat(WIDTH // 16, 1) for _ in range(2)]
    frames = np.stack([shots[number >= 30] for number in range(60)])
    return Material("plain", frames, 25.0, (Truth(CUT, 30, 30),))


def test_the_true_cut_is_among_the_possible_ones() -> None:
    part = examples(film_with_one_cut())
    assert part.is_cut.sum() == 1
    assert part.missed == 0
    assert part.features.shape == (len(part.is_cut), len(shipped_network().mean))


def test_a_fitted_network_tells_what_it_was_shown() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(0, 1, (400, len(shipped_network().mean))).astype(np.float32)
    is_cut = (features[:, 0] > 0).astype(np.float32)
    weights = fit([Examples(features, is_cut, 0)], steps=300)
    network = Network(**{name: np.array(value, np.float32) for name, value in weights.items()})
    right = (network._forward(features) > 0.5) == (is_cut > 0.5)
    assert right.mean() > 0.85


def test_fitting_and_held_out_films_share_no_photograph() -> None:
    photos = [np.full((2, 2, 3), value, np.uint8) for value in range(5)]
    fitted, held_out = ({int(p[0, 0, 0]) for p in half(photos, seed)} for seed in (4, 7))
    assert fitted | held_out == {0, 1, 2, 3, 4}
    assert not fitted & held_out


def test_a_folder_without_pictures_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no picture")
    with pytest.raises(SettingsError, match=r"has no picture: name a folder with photographs \(png, jpg\)"):
        fit_cuts(tmp_path, tmp_path / "out.json")

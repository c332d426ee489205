"""The study of cuts: how found cuts are counted, and that its tables name every detector."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.options import SettingsError
from jobs.studies.cuts import compare, fit, rivals
from jobs.studies.cuts.compare import Count, compare_cuts, real_film, real_films
from jobs.studies.cuts.films import composed_film
from stages.video.cuts.transitions import CUT, FADE_OUT
from tests.support.videos import write_shots

TIMES = st.lists(st.floats(0, 100), max_size=20)


@given(TIMES, TIMES)
def test_each_found_cut_counts_for_one_true_cut_at_most(true: list[float], found: list[float]) -> None:
    count = Count()
    count.add(true, found, 0.5)
    assert count.right <= min(len(true), len(found))
    assert 0 <= count.f1 <= 1
    assert all(error <= 0.5 for error in count.errors)


def test_recall_precision_and_errors() -> None:
    count = Count()
    count.add([1.0, 2.0, 3.0], [1.05, 2.0, 2.01, 7.0], 0.08)
    assert (count.true, count.found, count.right) == (3, 4, 2)
    assert (count.recall, count.precision) == (pytest.approx(2 / 3), 0.5)
    assert count.errors == pytest.approx([0.05, 0.0])


def test_labels_become_transitions_of_the_decoded_film(tmp_path: Path) -> None:
    red, blue = (np.full((64, 64, 3), color, np.uint8) for color in ((200, 0, 0), (0, 0, 200)))
    path = write_shots(tmp_path / "a.mp4", [(red, 25), (blue, 25)], 25)
    film = real_film(path, {"rate": 25, "cut": [25], "fade out": [[40, 50]]})
    assert [(truth.kind, truth.start, truth.end) for truth in film.truth] == [(CUT, 25, 25), (FADE_OUT, 40, 50)]
    assert film.frames.shape == (50, 90, 160, 3)
    assert film.frames[10, ..., 0].mean() < 60 < film.frames[30, ..., 0].mean()


def test_a_folder_without_labeled_films_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none of the labeled films: expected one of sintel_trailer_52s\.mp4"):
        real_films(tmp_path)


def test_the_table_has_every_detector_and_every_kind_of_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "KINDS", ("plain", "flashes"))
    monkeypatch.setattr(compare, "films", lambda seeds, photos: [composed_film(k, 1, photos, 3) for k in fit.KINDS])
    real = composed_film("plain", 3, [], 3)
    monkeypatch.setattr(compare, "real_films", lambda _: [compare.Material(compare.REAL, *_parts(real))])
    monkeypatch.setattr(rivals.importlib.util, "find_spec", lambda _: None)
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 256, (300, 500, 3)).astype(np.uint8))
    table = compare_cuts(tmp_path, tmp_path, 1, lambda _: None)
    for name in ("ours", "ContentDetector", "AdaptiveDetector", "HashDetector", "HistogramDetector"):
        assert f"| {name}, real films |" in table
        assert f"| {name}, composed films |" in table
    assert "| flashes | cut |" in table


def _parts(film: compare.Material) -> tuple[np.ndarray, float, tuple[compare.Truth, ...]]:
    return film.frames, film.rate, film.truth

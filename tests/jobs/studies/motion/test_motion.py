"""The study of motion: what is measured of dancers, and trainings that differ in the view of the picture alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from jobs.options import SettingsError
from jobs.studies.motion.compare import VARIANTS, compare_views, write_training
from jobs.studies.motion.measures import COLUMNS, HeldOutFilms, format_row, found_beats, measure, table_head
from models.training.config import TrainConfig
from pipeline.evaluation.generator import EvaluatedModel, TargetRhythm
from pipeline.evaluation.held_out import HeldOutClip
from stages.contracts import Row

SECONDS = 12.0
DANCE = np.arange(0.5, 11.5, 0.5)


class Clicker:
    """A model whose music is a click at each kinematic beat and cut that it sees, or `late` seconds after it."""

    def __init__(self, late: float = 0.0) -> None:
        self.late = late

    def target_of_picture(self, row: Row, seed: int = 0) -> TargetRhythm:
        return TargetRhythm(torch.zeros(1), torch.rand(24, generator=torch.Generator().manual_seed(seed)), 2.0)

    def rhythm_of(self, music: torch.Tensor, duration: float) -> torch.Tensor:
        return torch.rand(24, generator=torch.Generator().manual_seed(0))

    def generate(self, rows: Sequence[Row], targets: Sequence[TargetRhythm], seed: int) -> list[torch.Tensor]:
        music = 1e-4 * torch.randn(2, round(44100 * SECONDS), generator=torch.Generator().manual_seed(seed))
        for time in [*rows[0]["kinematic_beats"][:, 0], *rows[0]["cuts"]]:
            start = round(44100 * (time + self.late))
            music[:, start : start + 400] = 0.9
        return [music]


def film(beats: np.ndarray, cuts: Sequence[float]) -> HeldOutClip:
    row: dict[str, Any] = {
        "duration": SECONDS,
        "cuts": np.array(cuts),
        "kinematic_beats": np.stack([beats, np.ones(len(beats))], 1),
    }
    return HeldOutClip(row, np.zeros((10, 2), np.int16), {"kinematic_beats": list(beats), "cuts": list(cuts)})


def test_music_on_a_dancers_beats_scores_and_late_music_does_not() -> None:
    films = HeldOutFilms([film(DANCE, [])] * 2, [film(np.zeros(0), [2.0, 5.3, 9.1])])
    good, late = (measure(cast("EvaluatedModel", Clicker(x)), films, 1) for x in (0.0, 0.25))
    assert len(good) == len(COLUMNS)
    assert good[0].mean > 0.5 > 0 > late[0].mean
    assert good[1].mean > 0.3 > late[1].mean
    assert good[2].mean > 0.5 > late[2].mean
    assert good[3].mean == pytest.approx(1.0)
    assert len(format_row("x", good).split("|")) == len(table_head()[0].split("|"))


def test_found_beats_are_counted_once_and_their_errors_are_signed() -> None:
    late = film(DANCE + 0.02, [])
    late.truth["kinematic_beats"] = list(DANCE)
    found = found_beats([late])
    assert (found.recall, found.precision, found.danced) == (1.0, 1.0, 1.0)
    assert found.error == pytest.approx(0.02)
    double = film(np.sort(np.concatenate([DANCE, DANCE + 0.03])), [])
    double.truth["kinematic_beats"] = list(DANCE)
    assert (found_beats([double]).recall, found_beats([double]).precision) == (1.0, 0.5)
    still = film(np.zeros(0), [])
    still.truth["kinematic_beats"] = [1.0]
    assert (found_beats([still]).recall, found_beats([still]).danced) == (0.0, 0.0)
    assert "recall 1.00, precision 1.00, median error +20 ms" in str(found)


def test_trainings_differ_in_the_pace_alone(tmp_path: Path) -> None:
    configs = {
        pace: TrainConfig.from_file(write_training(tmp_path / str(pace), pace, tmp_path, "tiny", 30))
        for pace in (2, 4, 6)
    }
    curves = {pace: config.network.curve for pace, config in configs.items()}
    assert [curve.pace for curve in curves.values() if curve] == [2, 4, 6]
    assert all(curve and not curve.semantic for curve in curves.values())
    assert len({(c.loop, c.crops, c.diffusion) for c in configs.values()}) == 1


def test_an_unknown_variant_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="unknown variants pose: choose from difference, none, flow, camera"):
        compare_views(tmp_path, tmp_path / "out", only=["pose"])
    assert VARIANTS["none"].blind

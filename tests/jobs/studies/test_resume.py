"""The study of killed trainings: equal losses are told from others, and a process really dies."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.studies.resume import (
    format_report,
    largest_difference,
    losses_of,
    seconds_per_step,
    shortened,
    train_killed,
)
from models.training.checkpoints import TrainingError
from pipeline.training.launch import train
from pipeline.training.viewer import SilentViewer
from tests.support.small_training import RAW, settings

pytestmark = pytest.mark.usefixtures("one_thread")


def rows(*losses: float, seconds: float = 0.5) -> list[dict[str, float]]:
    parts = {"seconds_data": 0.1, "seconds_forward": 0.1, "seconds_backward": 0.2, "seconds_update": 0.1}
    return [{"step": i, "loss": loss, "seconds_per_step": seconds} | parts for i, loss in enumerate(losses, 1)]


def test_the_largest_difference_is_found() -> None:
    assert largest_difference(rows(1, 2, 4), rows(1, 2.5, 4.4)) == pytest.approx(0.25)
    assert largest_difference(rows(1, 2), rows(1, 2)) == 0
    with pytest.raises(TrainingError, match="of the same steps, got 2 and 1 lines"):
        largest_difference(rows(1, 2), rows(1))


def test_the_first_steps_do_not_count_as_time() -> None:
    assert seconds_per_step([*rows(1, 1, 1, seconds=9), *rows(1, 1, 1)]) == 0.5


def test_the_report_has_windows_a_second_and_every_largest_difference(made: Path, tmp_path: Path) -> None:
    config = settings(made, tmp_path)
    lines = format_report(config, rows(1, 2), rows(1, 2), rows(1, 2), rows(1, 2.2, seconds=1.0), killed=1).splitlines()
    assert lines[0] == "|  | over 2 steps |"
    assert lines[2] == "| one worker: windows a second (batch of 3) | 6.00 |"
    assert lines[3].endswith("| data 20%, forward 20%, backward 40%, update 20% |")
    assert lines[5] == "| killed after step 1, gone on with: the same | 0.0e+00 |"
    assert lines[6].endswith("| 1.0e-01 |")
    assert lines[7].endswith("| 3.00 |")


def test_a_killed_training_ends_with_the_same_losses(made: Path, tmp_path: Path) -> None:
    config = settings(made, tmp_path / "unused", loop=RAW["loop"] | {"steps": 400})
    alone, killed = (shortened(config, tmp_path / name, 60) for name in ("alone", "killed"))
    assert (alone.loop.checkpoint_every, alone.loop.log_every) == (15, 1)
    train(alone, SilentViewer())
    logged = train_killed(killed, at=20)
    assert 20 <= logged < 60
    assert largest_difference(losses_of(alone), losses_of(killed)) == 0

"""The `train` command: a run in pieces, what it says, and what it says when a file is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from jobs.commands.train import TrainBars, TrainLines, told_losses, train_command
from tests.support.training_parts import raw_config

app = typer.Typer()
app.command()(train_command)


def write(folder: Path, **entries: object) -> Path:
    (folder / "model_config.json").write_text(json.dumps(raw_config()))
    raw = {
        "stage": "autoencoder", "out": "out", "model": "model_config.json", "clips": 1, "device": "cpu",
        "crops": {"frames": 4}, "loop": {"steps": 2, "batch": 1},
    } | entries  # fmt: skip
    (folder / "train.json").write_text(json.dumps(raw))
    return folder / "train.json"


def test_a_training_from_a_file(tmp_path: Path):
    result = CliRunner().invoke(app, [str(write(tmp_path)), "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["done"], report["step"], report["weights"]) == (True, 2, str(tmp_path / "out" / "weights"))
    again = CliRunner().invoke(app, [str(tmp_path / "train.json")])
    assert again.exit_code == 0
    assert "2 steps done; weights in" in again.stdout


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"loop": {}}, "error: training: the entry 'steps' is missing"),
        ({"stage": "x"}, "error: training: stage is one"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, entries: dict[str, object], says: str):
    result = CliRunner().invoke(app, [str(write(tmp_path, **entries))])
    assert result.exit_code == 2
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_losses_are_told_loss_first():
    assert told_losses({"rhythm": 2.0, "rate": 1.0, "loss": 0.12345}) == "loss 0.1235, rhythm 2"


def test_lines_and_bars(capsys: pytest.CaptureFixture[str]):
    with TrainLines(40).shown() as lines:
        lines.told(20, {"loss": 1.0})
        lines.told(39, {"loss": 0.7})
        lines.told(40, {"loss": 0.5})
    assert capsys.readouterr().err.splitlines() == ["step 20 of 40: loss 1", "step 40 of 40: loss 0.5"]
    with TrainBars(40).shown() as bars:
        bars.composed(1, 2)
        bars.told(40, {"loss": 0.5})
    assert "loss 0.5" in capsys.readouterr().err

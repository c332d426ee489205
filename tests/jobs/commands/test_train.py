"""The `train` command: a run in pieces, what it line, and what it line when a file is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.commands.train import TrainingDisplay, format_losses
from jobs.progress import Bars, Lines
from tests.support.command_line import invoke
from tests.support.training_parts import raw_config


def write(folder: Path, **entries: object) -> Path:
    (folder / "model_config.json").write_text(json.dumps(raw_config()))
    raw = {
        "stage": "autoencoder", "out": "out", "model": "model_config.json", "clips": 1, "device": "cpu",
        "crops": {"frames": 4}, "loop": {"steps": 2, "batch": 1},
    } | entries  # fmt: skip
    (folder / "train.json").write_text(json.dumps(raw))
    return folder / "train.json"


def test_a_training_from_a_file(tmp_path: Path):
    result = invoke("train", write(tmp_path), "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["done"], report["step"], report["weights"]) == (True, 2, str(tmp_path / "out" / "weights"))
    again = invoke("train", tmp_path / "train.json")
    assert again.exit_code == 0
    assert "2 steps done; weights in" in again.stdout


@pytest.mark.parametrize(
    ("entries", "line"),
    [
        ({"loop": {}}, "error: training: the entry 'steps' is missing"),
        ({"stage": "x"}, "error: training: stage is one"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, entries: dict[str, object], line: str):
    result = invoke("train", write(tmp_path, **entries))
    assert result.exit_code == 2
    assert line in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_loss_comes_first():
    assert format_losses({"rhythm": 2.0, "rate": 1.0, "loss": 0.12345}) == "loss 0.1235, rhythm 2"


def test_lines_and_bars(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    display = TrainingDisplay(Lines(), 40)
    display.on_composed(1, 2)
    for step, loss in ((20, 1.0), (39, 0.7), (40, 0.5)):
        display.on_losses(step, {"loss": loss})
    lines = ["pieces composed 1 of 2", "step 20 of 40: loss 1", "step 40 of 40: loss 0.5"]
    assert capsys.readouterr().err.splitlines() == lines
    monkeypatch.setenv("COLUMNS", "160")
    with Bars() as bars:
        TrainingDisplay(bars, 40).on_composed(1, 2)
        TrainingDisplay(bars, 40).on_losses(40, {"loss": 0.5})
    assert "loss 0.5" in capsys.readouterr().err

"""`plan` and `score --dry-run`: what they say, and that they leave nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.planning.cost_model import CostModel
from tests.support.command_line import invoke
from tests.support.videos import gray, write_video


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, frames in enumerate((25, 75)):
        write_video(folder / f"[bold]{number}.mp4", [gray(3 * i + number) for i in range(frames)])
    (folder / "bad\x1b[2J.mp4").write_text("no video")
    (folder / "notes.txt").write_text("no video")
    return folder


def test_a_plan_line_everything_and_writes_nothing(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    out = tmp_path / "out"
    result = invoke("plan", videos, "--out", out, "--price", "2")
    assert result.exit_code == 3, result.stderr
    assert "1 cannot be scored" in result.stdout
    assert "NotAVideo" in result.stdout
    assert "\x1b[2J" not in result.stdout
    for text in ("with one GPU", "without a GPU", "GB of results", "cost 0.00", "about "):
        assert text in result.stdout
    assert not out.exists()
    assert "passed over: 1 .txt" in result.stdout
    as_json = invoke("score", videos, "--out", out, "--dry-run", "--json")
    plan = json.loads(as_json.stdout)
    assert plan["passed_over"] == {".txt": 1}
    assert (plan["total"], plan["todo"], len(plan["unusable"])) == (3, 2, 1)
    assert plan["seconds_of_video"] == pytest.approx(4.0, abs=0.1)
    assert plan["hours"] > 0
    assert not out.exists()


def test_a_quiet_plan_is_one_line(videos: Path, tmp_path: Path) -> None:
    result = invoke("plan", videos, "--out", tmp_path / "out", "-q")
    assert result.exit_code == 3
    assert result.stdout.startswith("2 to score, 0 done before, 1 cannot be scored, about ")
    assert (result.stdout.count("\n"), result.stderr) == (1, "")


def test_a_rehearsal_measures_every_stage(videos: Path, tmp_path: Path) -> None:
    kept = tmp_path / "rates.json"
    arguments = ["plan", videos, "--out", tmp_path / "out", "--steps", "2", "--json"]
    result = invoke(*arguments, "--rehearse", "3", "--save-rates", kept)
    assert result.exit_code == 3, result.stderr
    rates = CostModel.read(kept)
    assert list(rates.stages) == ["decode", "features", "rhythm", "sample", "sound", "mix", "mux"]
    assert all(cost.work(1, 10.0) > 0 for cost in rates.stages.values())
    assert 0 < rates.busy < 64
    again = invoke(*arguments, "--rates", kept)
    assert json.loads(again.stdout)["hours"] == pytest.approx(json.loads(result.stdout)["hours"])


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--save-rates", "x.json"], "--save-rates keeps what --rehearse measures"),
        (["--rates", "missing.json"], "missing.json is no profile of rates"),
        (["--limit", "0"], "limit"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(
    videos: Path, tmp_path: Path, options: list[str], line: str
) -> None:
    result = invoke("plan", videos, "--out", tmp_path / "out", *options)
    assert result.exit_code == 2
    assert line in result.stderr

"""The command `evaluate`: a small run, and options that cannot be met."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import invoke


def test_some_clips_are_measured_and_kept(tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "report"
    arguments = ["evaluate", "--clips", "2", "--seconds", "6", "--seeds", "1", "--steps", "1", "--work", work]
    result = invoke(*arguments, "--only", "vae", "--only", "tune", "--out", out, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads((out / "evaluation.json").read_text())
    assert json.loads(result.stdout)["results"] == report["results"]
    assert "held-out clips 2 of 2" in result.stderr.splitlines()
    assert [row["name"].partition(":")[0] for row in report["results"]] == ["VAE, held-out"] * 3 + ["in tune"] * 2
    assert (report["clips"], report["steps"]) == (2, 1)
    page = (out / "evaluation.md").read_text()
    assert "| VAE, held-out: log-mel L1 |" in page
    assert "leaves out a clip's first and last second" in page
    made = {file.name: file.stat().st_mtime_ns for file in work.rglob("*.*") if file.is_file()}
    assert invoke(*arguments, "--only", "vae", "--out", out).exit_code == 0
    assert {file.name: file.stat().st_mtime_ns for file in work.rglob("*.*") if file.is_file()} == made


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--only", "videos"], "name one"),
        (["--videos", "{tmp}/none"], "does not exist"),
        (["--videos", "{tmp}"], "holds no video"),
        (["--only", "beauty"], "unknown measures beauty: choose from"),
        (["--seconds", "3"], "--seconds must be at least 6"),
        (["--out", "{tmp}/file"], "cannot write to --out"),
        (["--preset", "huge"], "huge"),
        (["--device", "gpu"], "gpu"),
    ],
)
def test_options_that_cannot_be_met_end_at_once(tmp_path: Path, options: list[str], line: str) -> None:
    (tmp_path / "file").write_text("")
    chosen = [option.format(tmp=tmp_path) for option in options]
    out = [] if "--out" in chosen else ["--out", str(tmp_path / "report")]
    result = invoke("evaluate", *chosen, *out, "--work", tmp_path / "work")
    assert result.exit_code == 2
    assert line in result.output
    assert not (tmp_path / "work").exists()

"""The command `prepare`: a small dataset, and options that cannot be met."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.synthetic_clip import write_clip
from tests.support.command_line import invoke


def test_a_dataset_is_made_once(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_clip(1, 8.0, tmp_path / "in")
    arguments = ["prepare", tmp_path / "in", "--out", tmp_path / "set", "--json"]
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["dataset"] == str(tmp_path / "set")
    assert (report["total"], report["done"], report["skipped"], report["segments"]) == (1, 1, 0, 1)
    assert (report["failed"], report["failures"]) == (0, [])
    lines = result.stderr.splitlines()
    assert lines[0] == "1 to prepare; starting Ray"
    assert lines[-1].startswith("1 of 1 done, 0 failed, 0 in flight")
    assert lines[-1].endswith("(decode 1, features 1, listen 1, segments 1)")
    assert len(Dataset.open(str(tmp_path / "set"), tmp_path / "cache")) == 1
    again = invoke(*arguments)
    assert (json.loads(again.stdout)["skipped"], again.stderr) == (1, "0 to prepare\n")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["{tmp}/none"], "none"),
        (["{tmp}", "--address", "127.0.0.1:1"], "no Ray cluster answers at 127.0.0.1:1"),
        (["{tmp}", "--released"], "is no folder in the released layout"),
        (["{tmp}", "--clip-weights", "{tmp}/none.safetensors"], "none.safetensors"),
        (["{tmp}", "--limit", "0"], "--limit"),
    ],
)
def test_options_that_cannot_be_met_are_one_clear_line(tmp_path: Path, options: list[str], line: str) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    chosen = [option.format(tmp=tmp_path) for option in options]
    result = invoke("prepare", *chosen, "--out", tmp_path.with_name(f"{tmp_path.name}-set"))
    assert result.exit_code == 2
    assert line in result.stderr.replace("\n", "")

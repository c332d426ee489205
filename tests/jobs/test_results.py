"""`status` and `failures`: what they print of a destination, and what names from strangers cannot do to a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from pipeline.ledger import Ledger
from pipeline.records import Records
from pipeline.storage import Storage
from tests.pipeline.test_ledger import failed, row
from tests.pipeline.test_standing import manifest


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    storage = Storage.open(tmp_path / "scored")
    Records(storage).begin(manifest("a", "b", "c"), "F", {})
    Ledger(storage).append([row("a"), failed("b", uri="/in/\x1b[2Jb[bold].mp4")])
    return tmp_path / "scored"


def test_status(scored: Path) -> None:
    result = CliRunner().invoke(app, ["status", str(scored)])
    assert result.exit_code == 3
    assert "NotAVideo" in result.stdout
    assert "no run is at work" in result.stdout
    facts = json.loads(CliRunner().invoke(app, ["status", str(scored), "--json"]).stdout)
    assert (facts["total"], facts["done"], facts["failed"], facts["waiting"]) == (3, 1, 1, 1)


def test_failures(scored: Path) -> None:
    result = CliRunner().invoke(app, ["failures", str(scored)])
    assert result.exit_code == 3
    assert "NotAVideo in decode: 1" in result.stdout
    assert "\x1b[2J" not in result.stdout
    assert "b[bold].mp4: no video stream (attempt 1)" in result.stdout.replace("\n", "")
    (found,) = json.loads(CliRunner().invoke(app, ["failures", str(scored), "--json"]).stdout)
    assert (found["output"], found["error_type"]) == ("b.mp4", "NotAVideo")


@pytest.mark.parametrize("command", ["status", "failures"])
def test_a_folder_without_a_run_is_one_line(command: str, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        result = CliRunner().invoke(app, [command, str(folder)])
        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1

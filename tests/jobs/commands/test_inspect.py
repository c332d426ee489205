"""`status`, `failures` and `retry`: what they tell and do, and what names from strangers cannot do to a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from pipeline.destination.ledger import Ledger
from pipeline.destination.run_records import ABOUT, RUNS, Records
from pipeline.discovery import discover, reread
from pipeline.scoring.settings import RunSettings
from pipeline.storage.storage import Storage
from stages.contracts import MANIFEST, rows_of, table_of
from tests.pipeline.destination.test_ledger import failed, row
from tests.pipeline.destination.test_status import manifest
from tests.support.rows import common


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


def test_report(scored: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(scored)])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip() == f"the report is {scored}/report.html"
    assert "NotAVideo in decode" in (scored / "report.html").read_text()
    result = CliRunner().invoke(app, ["report", str(scored), "--out", str(tmp_path / "none" / "page.html")])
    assert result.exit_code == 2
    assert "cannot write the report" in result.stderr


def unreadable(storage: Storage, settings: RunSettings) -> None:
    """A run of one video that could not even be opened, recorded with its failure."""
    error = {"stage": "discover", "type": "Unreadable", "message": "no rights"}
    wanted = table_of([common("a") | {"output": "a.mp4", "error": error}], MANIFEST)
    Records(storage).begin(wanted, settings.fingerprint, settings.record)


def test_retry_runs_what_was_recorded(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path / "scored")
    settings = RunSettings(seed=5, steps=2)
    unreadable(storage, settings)
    for attempt in (1, 2):
        result = CliRunner().invoke(app, ["retry", str(tmp_path / "scored"), "--json"])
        assert result.exit_code == 3, result.stderr
        told = json.loads(result.stdout)
        assert (told["total"], told["failed"], told["settings"]["seed"]) == (1, 1, 5)
        latest = Ledger(storage).latest().to_pylist()
        assert [(row["attempt"], row["fingerprint"]) for row in latest] == [(attempt, settings.fingerprint)]
    assert len(Records(storage).all()) == 1


def test_retry_reads_anew_what_could_not_be_read(tmp_path: Path) -> None:
    storage, clip = Storage.open(tmp_path / "scored"), tmp_path / "in" / "a.mp4"
    clip.parent.mkdir()
    clip.symlink_to(tmp_path / "nowhere")
    found = discover([str(clip.parent)], storage)
    assert rows_of(found)[0]["error"]["type"] == "Unreadable"
    assert rows_of(reread(found)) == rows_of(found)
    clip.unlink()
    clip.write_bytes(b"no video")
    (row,) = rows_of(reread(found))
    assert (row["error"], row["output"]) == (None, "a.mp4")
    assert row["item_id"] == rows_of(discover([str(clip.parent)], storage))[0]["item_id"]


def test_retry_refuses_other_music(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    unreadable(storage, RunSettings())
    (run,) = Records(storage).all()
    about = f"{RUNS}/{run.name}/{ABOUT}"
    for changed, says in (
        (storage.read(about).replace(run.fingerprint.encode(), b"0" * 16), "makes other music than in the run"),
        (storage.read(about).replace(b'"take"', b'"take_number"'), "was recorded by another version"),
    ):
        storage.write(about, changed)
        result = CliRunner().invoke(app, ["retry", str(tmp_path)])
        assert result.exit_code == 2
        assert says in result.stderr


@pytest.mark.parametrize("command", ["status", "failures", "retry", "report"])
def test_a_folder_without_a_run_is_one_line(command: str, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        result = CliRunner().invoke(app, [command, str(folder)])
        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []  # nothing is made where nothing was

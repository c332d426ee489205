"""The command `retry`: it goes on with the latest run as it was recorded."""

from __future__ import annotations

import json
from pathlib import Path

from models.sampling.settings import SamplingSettings
from pipeline.destination.ledger import Ledger
from pipeline.destination.run_records import ABOUT, RUNS, RunRecords
from pipeline.discovery import discover, reread
from pipeline.scoring.settings import RunSettings
from pipeline.storage.storage import Storage
from stages.contracts import MANIFEST, rows_of, table_of
from tests.support.command_line import invoke
from tests.support.rows import common


def unreadable(storage: Storage, settings: RunSettings) -> None:
    """A run of one video that could not even be opened, recorded with its failure."""
    error = {"stage": "discover", "type": "Unreadable", "message": "no rights"}
    wanted = table_of([common("a") | {"output": "a.mp4", "error": error}], MANIFEST)
    RunRecords(storage).begin(wanted, settings.fingerprint, settings.record)


def test_retry_runs_what_was_recorded(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path / "scored")
    settings = RunSettings(seed=5, sampling=SamplingSettings(steps=2))
    unreadable(storage, settings)
    for attempt in (1, 2):
        result = invoke("retry", tmp_path / "scored", "--json")
        assert result.exit_code == 3, result.stderr
        report = json.loads(result.stdout)
        assert (report["total"], report["failed"], report["settings"]["seed"]) == (1, 1, 5)
        latest = Ledger(storage).latest().to_pylist()
        assert [(row["attempt"], row["fingerprint"]) for row in latest] == [(attempt, settings.fingerprint)]
    assert len(RunRecords(storage).all()) == 1


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
    (run,) = RunRecords(storage).all()
    about = f"{RUNS}/{run.name}/{ABOUT}"
    for changed, line in (
        (storage.read(about).replace(run.fingerprint.encode(), b"0" * 16), "makes other music than in the run"),
        (storage.read(about).replace(b'"take"', b'"take_number"'), "was recorded by another version"),
    ):
        storage.write(about, changed)
        result = invoke("retry", tmp_path)
        assert result.exit_code == 2
        assert line in result.stderr

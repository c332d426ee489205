"""`status`, `failures` and `report`: what they show, and what names from strangers cannot do to a terminal."""

from __future__ import annotations

import enum
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jobs import ray_jobs
from pipeline.destination.ledger import Ledger
from pipeline.destination.run_records import RunRecords
from pipeline.storage.storage import Storage
from tests.support.command_line import invoke
from tests.support.ledger import failed, manifest, row


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    storage = Storage.open(tmp_path / "scored")
    RunRecords(storage).begin(manifest("a", "b", "c"), "F", {})
    Ledger(storage).append([row("a"), failed("b", uri="/in/\x1b[2Jb[bold].mp4")])
    return tmp_path / "scored"


def test_status(scored: Path) -> None:
    result = invoke("status", scored)
    assert result.exit_code == 3
    assert "NotAVideo" in result.stdout
    assert "no run is at work" in result.stdout
    status = json.loads(invoke("status", scored, "--json").stdout)
    assert (status["total"], status["done"], status["failed"], status["waiting"]) == (3, 1, 1, 1)


def test_failures(scored: Path) -> None:
    result = invoke("failures", scored)
    assert result.exit_code == 3
    assert "NotAVideo in decode: 1" in result.stdout
    assert "\x1b[2J" not in result.stdout
    assert "b[bold].mp4: no video stream (attempt 1)" in result.stdout.replace("\n", "")
    (found,) = json.loads(invoke("failures", scored, "--json").stdout)
    assert (found["output"], found["error_type"]) == ("b.mp4", "NotAVideo")


def test_report(scored: Path, tmp_path: Path) -> None:
    result = invoke("report", scored)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip() == f"the report is {scored}/report.html"
    assert "NotAVideo in decode" in (scored / "report.html").read_text()
    result = invoke("report", scored, "--out", tmp_path / "none" / "page.html")
    assert result.exit_code == 2
    assert "cannot write the report" in result.stderr


def test_cancel_finds_no_run(scored: Path) -> None:
    result = invoke("cancel", scored)
    assert (result.exit_code, result.stderr) == (2, f"no run is at work in {scored}\n")
    assert json.loads(invoke("cancel", scored, "--json").stdout) == {"asked": []}


class Client:
    """Ray's job client for one job that failed."""

    def get_job_status(self, job: str) -> RayJobStatus:
        if job != "diff-v2m-1":
            raise RuntimeError(f"no job {job}\nat all")
        return RayJobStatus.FAILED

    def get_job_logs(self, job: str) -> str:
        return "x" * 5000 + "\n"

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        for line in ("one\n", "two\n"):
            yield line


class RayJobStatus(enum.Enum):
    FAILED = "FAILED"


def test_the_status_of_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_jobs, "_client", lambda address: Client())
    result = invoke("status", "--job", "diff-v2m-1")
    assert (result.exit_code, result.stdout) == (3, "x" * 3999 + "\ndiff-v2m-1: FAILED\n")
    result = invoke("status", "--job", "diff-v2m-1", "--follow")
    assert (result.exit_code, result.stdout) == (3, "one\ntwo\ndiff-v2m-1: FAILED\n")
    result = invoke("status", "--job", "other", "--address", "http://host")
    assert (result.exit_code, result.stderr) == (2, "error: http://host knows nothing of other: no job other\n")


@pytest.mark.parametrize("command", ["status", "failures", "retry", "report"])
def test_a_folder_without_a_run_is_one_line(command: str, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        result = invoke(command, folder)
        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []  # nothing is made where nothing was

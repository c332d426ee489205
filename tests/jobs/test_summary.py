"""The end of a run, for people and for machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.console import quietly
from jobs.summary import passed_over_text, report_run, show_summary
from models.mixing.settings import MixingSettings
from pipeline.scoring.run import RunSummary
from pipeline.scoring.settings import RunSettings
from pipeline.storage.storage import Storage
from stages.audio.formats import OutputSettings


def failed(number: int) -> dict[str, Any]:
    return {
        "uri": f"/in/[bold]{number}\n.mp4",
        "output": f"{number}.mp4",
        "stage": "decode",
        "error_type": "NotAVideo",
        "error_message": "a text, not a video",
        "state": "failed",
        "seconds": {"decode": 0.5},
    }


def test_summary_counts_and_escapes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    summary = RunSummary(total=30, skipped=3)
    for number in range(25):
        summary.add(failed(number))
    summary.add({"state": "done", "duration": 12.5, "seconds": {"decode": 0.5, "sample": 1.5}})
    show_summary(summary, "s3://bucket/out", 61.0)
    text = capsys.readouterr().out
    assert "/in/[bold]0\\n.mp4" in text
    assert "and 5 more; the ledger lists them all" in text
    assert "25 failed" in text
    assert summary.seconds == {"decode": 13.0, "sample": 1.5}
    assert (summary.done, summary.music) == (1, 12.5)


def test_the_same_as_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    summary = RunSummary(total=3, skipped=1)
    summary.add(failed(0))
    summary.add({"state": "done", "duration": 12.5, "seconds": {"decode": 0.5}})
    passed_over = {".txt": 12, "": 1}
    report_run(summary, RunSettings(seed=7), Storage.open(tmp_path), 2.0, as_json=True, passed_over=passed_over)
    report = json.loads(capsys.readouterr().out)
    assert report.pop("settings")["seed"] == 7
    assert report == {
        "destination": str(tmp_path), "total": 3, "done": 1, "skipped": 1, "failed": 1,
        "passed_over": passed_over,
        "failures": [
            {"uri": "/in/[bold]0\n.mp4", "output": "0.mp4", "stage": "decode", "error_type": "NotAVideo",
             "error_message": "a text, not a video"},
        ],
        "seconds": 2.0, "seconds_of_music": 12.5, "seconds_of_stages": {"decode": 1.0},
        "left_behind": {}, "damaged": 0, "frames_lost": 0,
    }  # fmt: skip


def test_the_summary_says_what_became_of_the_sound(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    summary = RunSummary(total=1)
    report_run(summary, RunSettings(), Storage.open(tmp_path), 2.0, as_json=False)
    assert "new sound" not in capsys.readouterr().out  # nothing was scored
    summary.add({"state": "done", "duration": 12.5, "seconds": {"decode": 0.5}})
    report_run(summary, RunSettings(), Storage.open(tmp_path), 2.0, as_json=False, passed_over={".txt": 2})
    text = capsys.readouterr().out
    assert "new sound: it replaces the original sound, and the source files are left untouched" in text
    assert "passed over: 2 .txt" in text
    ducked = RunSettings(mixing=MixingSettings(original="duck"))
    report_run(summary, ducked, Storage.open(tmp_path), 2.0, as_json=False)
    text = capsys.readouterr().out
    assert "music under their original sound, softer while somebody speaks" in text
    assert "replaces" not in text
    added = RunSettings(outputs=OutputSettings(music_track="add"))
    report_run(summary, added, Storage.open(tmp_path), 2.0, as_json=False)
    assert "keep their own sound and have a further track behind it" in capsys.readouterr().out


def test_the_summary_names_what_is_left_behind_and_what_could_not_be_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    summary = RunSummary(total=3)
    done = {"state": "done", "duration": 12.5, "seconds": {"decode": 0.5}, "frames_lost": 0, "left_behind": ["data"]}
    summary.add(done)
    summary.add(done | {"left_behind": ["data", "subtitle"], "frames_lost": 12})
    summary.add(done | {"left_behind": None, "frames_lost": None})
    report_run(summary, RunSettings(), Storage.open(tmp_path), 2.0, as_json=False)
    text = capsys.readouterr().out
    assert "left behind: data of 2 videos, subtitle of 1 video" in text
    assert "12 frames of 1 video could not be read" in text


def test_a_quiet_summary_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    summary = RunSummary(total=3, skipped=1)
    summary.add(failed(0))
    summary.add({"state": "done", "duration": 12.5, "seconds": {"decode": 0.5}})
    with quietly():
        report_run(summary, RunSettings(), Storage("s3", "b/out"), 2.0, as_json=False, passed_over={".txt": 2})
    assert capsys.readouterr().out == "1 done, 1 done before, 1 failed; results in s3://b/out\n"


def test_files_that_are_passed_over_are_counted() -> None:
    assert passed_over_text({"": 1, ".gif": 3, ".txt": 12}) == "passed over: 12 .txt, 3 .gif, 1 without suffix"
    odd = passed_over_text({".[bold]\x1b[2J": 2} | {f".{i}": 1 for i in range(12)})
    assert odd.startswith("passed over: 2 .\\[bold]\\x1b[2J, 1 .0, ")
    assert odd.endswith(", 3 with other suffixes")

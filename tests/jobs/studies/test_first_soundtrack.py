"""The way to the first soundtrack: what is measured of a command, and the table of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from jobs.studies import first_soundtrack
from jobs.studies.first_soundtrack import Cost, StudyError, costs_table, measure_first_soundtrack, run_measured

CHILD = "import time\nwhile time.process_time() < 1: pass"
PARENT = f"""
import subprocess, sys
held = bytearray(60 << 20)
subprocess.run([sys.executable, "-c", {CHILD!r}])
"""


def test_memory_and_processor_time_of_all_processes_count() -> None:
    cost = run_measured([sys.executable, "-c", PARENT])
    assert 0.3 < cost.processor <= cost.wall * 2
    assert cost.memory > 60


def test_a_command_that_fails_ends_the_study_with_its_last_words() -> None:
    with pytest.raises(StudyError, match=r"ended with 1: no room"):
        run_measured([sys.executable, "-c", "raise SystemExit('no room')"])


def test_checkouts_take_turns_and_are_compared_with_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    walls = iter([10.0, 40.0, 20.0, 60.0, 30.0, 50.0])

    def run(command: list[str]) -> Cost:
        commands.append(command)
        return Cost(next(walls), 5.0, 100.0)

    monkeypatch.setattr(first_soundtrack, "run_measured", run)
    checkouts = [tmp_path / "new", tmp_path / "old"]
    for checkout in checkouts:
        program = checkout / ".venv" / "bin" / "diff-v2m"
        program.parent.mkdir(parents=True)
        program.touch()
    lines: list[str] = []
    table = measure_first_soundtrack(checkouts, ["demo"], 3, lines.append)
    assert [Path(command[0]).parents[2].name for command in commands] == ["new", "old"] * 3
    assert len({command[-1] for command in commands}) == 6  # each run has a destination of its own
    assert len(lines) == 6
    new, old = table.splitlines()[2:]
    assert new.endswith("| 20.0 s (10.0 to 30.0) | 1.00 | 5.0 s | 100 MiB |")
    assert old.endswith("| 50.0 s (40.0 to 60.0) | 2.50 | 5.0 s | 100 MiB |")


def test_a_folder_without_the_program_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"has no .venv/bin/diff-v2m: run `uv sync` there"):
        measure_first_soundtrack([tmp_path], ["demo"], 1, print)
    assert costs_table({}).count("\n") == 1

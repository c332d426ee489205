"""The command line as a whole: what it imports, and that every command explains itself."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from jobs.cli import app
from tests.support.command_line import invoke

HEAVY = {"torch", "ray", "pyarrow", "numpy", "open_clip", "stable_audio_tools", "scipy", "cv2"}
EXPERIMENTS = {
    "cut-hits",
    "cuts",
    "dance",
    "first-soundtrack",
    "fit-cuts",
    "motion",
    "original-sound",
    "ablation", "samplers", "precision", "decode-cost", "resume", "pack-dataset", "plot-results", "plot-losses",
}  # fmt: skip


def commands() -> list[list[str]]:
    """The words of every command and group of commands."""
    found, waiting = [], [([], typer.main.get_command(app))]
    while waiting:
        words, command = waiting.pop()
        found.append(words)
        waiting += [([*words, name], below) for name, below in getattr(command, "commands", {}).items()]
    return sorted(found)


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, jobs.cli; print(' '.join(sorted({m.split('.')[0] for m in sys.modules})))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert HEAVY & set(modules) == set()


def test_closed_standard_streams_are_nothing(tmp_path: Path) -> None:
    """What is printed does not go into the first file that is opened."""
    file = tmp_path / "file"
    code = (
        "import os, sys\n"
        "from jobs.cli import open_standard_streams\n"
        "open_standard_streams()\n"
        f"with open({str(file)!r}, 'w') as file:\n"
        "    file.write(str(file.fileno() > 2))\n"
        "    print('out'); print('error', file=sys.stderr); os.write(2, b'low')\n"
        "    file.write(repr(sys.stdin.read()))\n"
    )
    subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", code], check=True)
    assert file.read_text() == "True''"


def test_help_answers_soon() -> None:
    """In less than a second on an idle machine; here the fastest of three, on one that may be busy."""
    seconds = list[float]()
    for _ in range(3):
        started = time.monotonic()
        subprocess.run([sys.executable, "-m", "jobs.cli", "--help"], capture_output=True, check=True)
        seconds.append(time.monotonic() - started)
    assert min(seconds) < 2


def test_all_commands_are_there() -> None:
    assert {words[0] for words in commands() if words} == {
        "demo", "score", "plan", "submit", "status", "failures", "retry", "report", "cancel", "weights", "corpus",
        "prepare", "train", "evaluate", "experiment", "bench",
    }  # fmt: skip
    assert {words[1] for words in commands() if len(words) > 1} == {"inspect", "pull", "make"} | EXPERIMENTS


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_explains_itself(words: list[str]) -> None:
    result = invoke(*words, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output
    assert not any(odd in result.output for odd in ("tells", "reckon"))


def test_the_help_lists_all_experiments() -> None:
    result = invoke("experiment", "--help")
    assert result.exit_code == 0
    assert all(f" {name} " in result.output for name in EXPERIMENTS)

"""Nothing of the folder that a command is run in is ever imported, neither by the command nor by its workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import C_LOCALE
from tests.support.videos import gray, write_video

COMMAND = Path(sys.executable).with_name("diff-v2m")
HOSTILE = "import pathlib\npathlib.Path({mark!r}).touch()\nraise SystemExit('imported from the current folder')\n"


@pytest.fixture
def hostile_folder(tmp_path: Path) -> Path:
    """A folder with packages that have the names of ours and of a library, and that leave a mark when imported."""
    folder, mark = tmp_path / "research", str(tmp_path / "imported")
    for package in ("models", "stages", "pipeline", "jobs"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text(HOSTILE.format(mark=mark))
    for module in ("numpy", "torch", "json"):
        (folder / f"{module}.py").write_text(HOSTILE.format(mark=mark))
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | C_LOCALE
    return subprocess.run(
        [str(COMMAND), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )


@pytest.mark.skipif(not COMMAND.is_file(), reason="the package is not installed as a command")
def test_score_in_a_folder_of_hostile_packages(hostile_folder: Path) -> None:
    """Relative paths start from the current folder all the same; and no locale makes a name a wrong one."""
    write_video(hostile_folder / "naïve clip.mp4", [gray(30 + 60 * (n // 12)) for n in range(36)], 24)
    result = run(hostile_folder, "score", "naïve clip.mp4", "--out", "scored", "--steps", "1", "--json")
    assert result.returncode == 0, result.stderr[-3000:]
    assert json.loads(result.stdout)["done"] == 1
    assert (hostile_folder / "scored" / "naïve clip.wav").is_file()
    assert not (hostile_folder.parent / "imported").exists()


@pytest.mark.skipif(not COMMAND.is_file(), reason="the package is not installed as a command")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "missing.json"], "cannot read the training"),
        (["evaluate", "--videos", "missing", "--only", "videos", "--out", "report"], "missing does not exist"),
        (["experiment", "decode-cost", "--help"], "Usage"),
    ],
)
def test_other_commands_in_a_folder_of_hostile_packages(
    hostile_folder: Path, arguments: list[str], message: str
) -> None:
    result = run(hostile_folder, *arguments)
    assert message in result.stdout + result.stderr
    assert not (hostile_folder.parent / "imported").exists()

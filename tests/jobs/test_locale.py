"""The locale of the machine: names of files are UTF-8 in every one, and every name can be printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import C_LOCALE
from tests.support.videos import gray, write_video


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a video whose name is not ASCII, and a file whose name is not even UTF-8."""
    folder = tmp_path / "ordner-é"
    folder.mkdir()
    write_video(folder / "naïve 映像.mp4", [gray(3 * i) for i in range(50)])
    (folder / os.fsdecode(b"latin\xe9.mp4")).write_bytes(b"1")
    return folder


def plan(folder: Path, environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs.cli", "plan", folder.name, "--out", "ergebnis-ü", *options]
    return subprocess.run(
        command, cwd=folder.parent, env=os.environ | environment, capture_output=True, encoding="utf-8", check=False
    )


def test_everything_can_be_printed_in_every_locale(folder: Path) -> None:
    result = plan(folder, C_LOCALE | {"PYTHONIOENCODING": "ascii", "COLUMNS": "300"})
    assert result.returncode == 3, result.stderr
    assert "1 cannot be scored" in result.stdout
    assert "not valid UTF-8; rename the file" in result.stdout
    assert "latin" in result.stdout


def test_names_are_utf8_in_every_locale(folder: Path) -> None:
    found = json.loads(plan(folder, C_LOCALE, "--json").stdout)
    assert found["destination"] == str(folder.parent / "ergebnis-ü")
    assert found["todo"] == 1
    assert [Path(video["uri"]).name for video in found["unusable"]] == ["latin\\udce9.mp4"]

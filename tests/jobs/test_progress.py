"""The display of progress: lines now and then, bars on a terminal."""

from __future__ import annotations

import sys

import pytest

from jobs import progress
from jobs.console import quietly
from jobs.progress import Bars, Lines, Part, megabytes_text, progress_display
from tests.support.command_line import run_on_terminal


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_a_line_at_most_every_few_seconds_and_always_the_last(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    display = Lines(interval=10.0)
    for second in range(26):
        clock.now = 1000.0 + second
        display.update("clips", second, 25)
    assert capsys.readouterr().err.splitlines() == [
        "clips 0 of 25",
        "clips 10 of 25",
        "clips 20 of 25",
        "clips 25 of 25",
    ]


def test_nothing_new_is_no_line(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    display = Lines(interval=10.0)
    for _ in range(5):
        clock.now += 60.0
        display.update("clips", 3, 4, "some note")
        display.update("clips", 3, 4, "another note")
    display.update("clips", 4, 4)
    display.update("clips", 4, 4)
    assert capsys.readouterr().err.splitlines() == ["clips 3 of 4: some note", "clips 4 of 4"]


def test_tasks_do_not_silence_each_other(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    display = Lines(interval=10.0)
    display.update("clips", 1, 4)
    clock.now += 1
    display.update("films", 1, 2)
    display.update("clips", 2, 4)
    assert capsys.readouterr().err.splitlines() == ["clips 1 of 4", "films 1 of 2"]


def test_after_an_announcement_tasks_begin_anew(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    display = Lines(interval=60.0)
    for _ in range(2):
        display.announce("2 to score")
        clock.now += 59.0
        display.update("", 1, 2, "1 of 2 done", {"decode": Part(2), "mux": Part(1)})
        display.update("", 2, 2, "2 of 2 done", {"decode": Part(2), "mux": Part(2, "all there")})
    lines = ["2 to score", "2 of 2 done (decode 2, mux 2)"]
    assert capsys.readouterr().err.splitlines() == lines * 2


def test_a_change_of_a_part_is_news(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    display = Lines(interval=0.0)
    for decoded in (1, 1, 2):
        display.update("", 0, 2, "none done", {"decode": Part(decoded)})
    assert capsys.readouterr().err.splitlines() == ["none done (decode 1)", "none done (decode 2)"]


def test_bytes_are_written_in_megabytes(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_display(amount_text=megabytes_text) as display:
        display.update("model.ckpt", 1_500_000, 3_000_000)
    assert isinstance(display, Lines)
    assert capsys.readouterr() == ("", "model.ckpt 1.5 of 3.0 MB\n")


def test_bars_write_names_as_they_are(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    with Bars() as bars:
        bars.announce("[2] to score")
        bars.update("step", 40, 40, "loss [bold] 0.5", {"data": Part(20, "slow")})
    screen = capsys.readouterr().err
    assert screen.startswith("[2] to score\n")
    assert "loss [bold] 0.5" in screen
    assert "40 of 40" in screen
    assert "slow" in screen


def test_a_terminal_gets_bars_and_standard_output_nothing() -> None:
    code = (
        "from jobs.progress import progress_display\n"
        "with progress_display() as display:\n"
        "    print(type(display).__name__)\n"
        "    display.update('clips', 1, 2)\n"
        "    display.announce('again')\n"
        "    display.update('clips', 2, 2)\n"
    )
    exit_code, screen = run_on_terminal([sys.executable, "-c", code])
    assert exit_code == 0
    assert screen.startswith("Bars\r\n")
    assert "2 of 2" in screen
    assert "again" in screen


def test_a_quiet_command_shows_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with quietly(), progress_display() as display:
        display.announce("3 to score")
        display.update("looked at", 1, 3, "note", {"decode": Part(1)})
    assert capsys.readouterr() == ("", "")


def test_bars_go_on_while_standard_error_is_silenced() -> None:
    code = (
        "import os\n"
        "from jobs.progress import progress_display\n"
        "with progress_display() as display:\n"
        "    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)\n"
        "    display.update('', 0, 2, 'starting Ray, 3 s')\n"
    )
    exit_code, screen = run_on_terminal([sys.executable, "-c", code])
    assert exit_code == 0
    assert "starting Ray, 3 s" in screen

"""The display of a run: rates, the time left, and lines about stages."""

from __future__ import annotations

import pytest

from jobs import run_display
from jobs.progress import Lines
from jobs.run_display import RunDisplay, Speed, queued, run_note, stage_note
from pipeline.scoring.progress import RunProgress
from pipeline.scoring.steps import STAGES


def test_lines_have_news_now_and_then_and_always_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    listener = RunDisplay(Lines(interval=3600), STAGES)
    listener.begin(2)
    listener(RunProgress({"decode": 1}), 2)
    listener(RunProgress(dict.fromkeys(STAGES, 2), failed=1, music=3.0), 2)
    listener(RunProgress(dict.fromkeys(STAGES, 2), failed=1, music=3.0), 2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0] == "2 to score; starting Ray"
    assert lines[1].startswith("1 of 2 done, 1 failed, 0 in flight, ")
    assert lines[1].endswith("(decode 2, features 2, rhythm 2, sample 2, sound 2, mix 2, mux 2)")


def test_before_the_first_progress_it_says_what_is_waited_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_display, "gpu_use", lambda: None)
    now = [100.0]
    monkeypatch.setattr(run_display.time, "monotonic", lambda: now[0])
    notes: list[tuple[int, str]] = []
    display = Lines(interval=0)
    monkeypatch.setattr(display, "update", lambda task, done, total, note, parts: notes.append((done, note)))
    listener = RunDisplay(display, STAGES)
    listener.tick()  # nothing has begun
    listener.begin(3)
    for _ in range(2):
        now[0] += 2
        listener.tick()
    listener(RunProgress(), 3)
    now[0] += 8
    listener(RunProgress(ready=frozenset({"decode"})), 3)
    listener.tick()
    listener(RunProgress(ready=frozenset(STAGES)), 3)
    listener.tick()
    listener(RunProgress({"decode": 1}, ready=frozenset(STAGES)), 3)
    assert [note for _, note in notes] == [
        "starting Ray, 2 s",
        "starting Ray, 4 s",
        "loading networks, 8 s",
        "0 of 3 done, 0 failed, 0 in flight",
        "0 of 3 done, 0 failed, 1 in flight",
    ]
    assert capsys.readouterr().err == "3 to score; starting Ray\n"


def test_another_try_begins_anew(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_display, "gpu_use", lambda: None)
    listener = RunDisplay(Lines(interval=0), STAGES)
    listener.begin(2)
    listener(RunProgress(dict.fromkeys(STAGES, 2), failed=1, music=30.0), 2)
    listener.begin(1)
    listener(RunProgress(dict.fromkeys(STAGES, 1), music=3.0), 1)
    first, _, again, last = capsys.readouterr().err.splitlines()
    assert first == "2 to score; starting Ray"
    assert again == "1 failed for a reason that may pass: trying again"
    assert last.startswith("1 of 1 done, 0 failed, 0 in flight (")


def test_other_runs_have_other_stages_and_purposes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_display, "gpu_use", lambda: 97)
    for total in (0, 3):
        RunDisplay(Lines(), ("decode", "segments"), "prepare").begin(total)
    listener = RunDisplay(Lines(interval=0), ("segments",), "prepare", starts_ray=False)
    listener.begin(3)
    listener(RunProgress({"segments": 1}), 3)
    assert capsys.readouterr().err.splitlines() == [
        "0 to prepare",
        "3 to prepare; starting Ray",
        "3 to prepare",
        "1 of 3 done, 0 failed, 0 in flight, GPU 97% (segments 1)",
    ]


def test_the_driver_is_asked_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(run_display, "gpu_use", lambda: asked.append(1) or 50)
    listener = RunDisplay(Lines(), STAGES)
    listener.begin(9)
    for count in range(9):
        listener(RunProgress({"decode": count}), 9)
    assert len(asked) == 1


def test_speed_is_that_of_the_last_minutes() -> None:
    speed = Speed(span=60.0)
    empty = speed.videos_per_minute("mux"), speed.music, speed.seconds_left(RunProgress(), 10, "mux")
    assert empty == (0.0, 0.0, None)
    for second in range(0, 200, 10):  # at first one video every 10 s, then two
        videos = second // 10 if second < 100 else 10 + (second - 100) // 5
        progress = RunProgress({"mux": videos, "decode": videos + 3}, music=30.0 * videos)
        speed.add(progress, now=float(second))
    assert speed.videos_per_minute("mux") == pytest.approx(12.0)
    assert speed.music == pytest.approx(6.0)
    assert speed.seconds_left(RunProgress({"mux": 28}), 40, "mux") == pytest.approx(60.0)
    note = run_note(RunProgress({"decode": 30, "mux": 28}, failed=1), 40, speed, ("decode", "mux"), 88)
    assert note == "27 of 40 done, 1 failed, 2 in flight, 6.0 s of music a second, 0:01:00 left, GPU 88%"


def test_rows_in_line_are_those_between_two_stages() -> None:
    progress = RunProgress({"decode": 7, "features": 5, "rhythm": 5, "sample": 2, "sound": 2, "mix": 2, "mux": 1})
    assert [queued(progress, 10, stage, STAGES) for stage in STAGES] == [3, 2, 0, 3, 0, 0, 1]
    assert run_note(progress, 10, Speed(), STAGES, None) == "1 of 10 done, 0 failed, 6 in flight"


def test_a_stage_shows_that_its_workers_start() -> None:
    progress = RunProgress({"decode": 2, "features": 1}, ready=frozenset({"decode", "features"}))
    notes = [stage_note(stage, progress, 2, Speed(), STAGES) for stage in STAGES[:3]]
    assert notes == ["", "0.0 a minute, 1 in line", "its workers start"]

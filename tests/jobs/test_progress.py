"""What a person reads."""

from __future__ import annotations

import pytest

from jobs.progress import Lines, Speed, printable, show_summary, state_of, waiting, whole
from pipeline.scoring.run import Summary
from pipeline.scoring.steps import STAGES
from pipeline.scoring.workers import Progress


def failed(number: int) -> dict[str, object]:
    return {
        "uri": f"/in/[bold]{number}\n.mp4",
        "stage": "decode",
        "error_type": "NotAVideo",
        "error_message": "a text, not a video",
        "state": "failed",
        "seconds": {"decode": 0.5},
    }


def test_summary_counts_and_escapes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    summary = Summary(total=30, skipped=3)
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


def test_lines_tell_news_now_and_then_and_always_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with Lines(interval=3600).shown() as view:
        view.begin(2)
        view(Progress({"decode": 1}), 2)
        view(Progress(dict.fromkeys(STAGES, 2), failed=1, music=3.0), 2)
        view(Progress(dict.fromkeys(STAGES, 2), failed=1, music=3.0), 2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0] == "2 to score; starting Ray"
    assert lines[1].startswith("1 of 2 done, 1 failed, 0 in flight, ")
    assert lines[1].endswith("(decode 2, features 2, rhythm 2, sample 2, sound 2, mux 2)")


def test_another_try_begins_anew(capsys: pytest.CaptureFixture[str]) -> None:
    with Lines(interval=0).shown() as view:
        view.begin(2)
        view(Progress(dict.fromkeys(STAGES, 2), failed=1, music=30.0), 2)
        view.begin(1)
        view(Progress(dict.fromkeys(STAGES, 1), music=3.0), 1)
    first, _, again, last = capsys.readouterr().err.splitlines()
    assert first == "2 to score; starting Ray"
    assert again == "1 failed for a reason that may pass: trying again"
    assert last.startswith("1 of 1 done, 0 failed, 0 in flight (")


def test_speed_is_that_of_the_last_minutes() -> None:
    speed = Speed(span=60.0)
    assert (speed.videos("mux"), speed.music, speed.left(Progress(), 10)) == (0.0, 0.0, None)
    for second in range(0, 200, 10):  # at first one video every 10 s, then two
        videos = second // 10 if second < 100 else 10 + (second - 100) // 5
        speed.add(Progress({"mux": videos, "decode": videos + 3}, music=30.0 * videos), now=float(second))
    assert speed.videos("mux") == pytest.approx(12.0)
    assert speed.music == pytest.approx(6.0)
    assert speed.left(Progress({"mux": 28}), 40) == pytest.approx(60.0)


def test_rows_in_line_are_those_between_two_stages() -> None:
    progress = Progress({"decode": 7, "features": 5, "rhythm": 5, "sample": 2, "sound": 2, "mux": 1})
    assert [waiting(progress, 10, stage) for stage in STAGES] == [3, 2, 0, 3, 0, 1]
    assert whole(progress, 10, Speed()).startswith("1 of 10 done, 0 failed, 6 in flight")


def test_a_stage_tells_that_its_workers_start() -> None:
    progress = Progress({"decode": 2, "features": 1}, up=frozenset({"decode", "features"}))
    told = [state_of(stage, progress, 2, Speed()) for stage in STAGES[:3]]
    assert told == ["", "0.0 a minute, 1 in line", "its workers start"]


def test_names_cannot_move_the_cursor() -> None:
    assert printable("a\x1b[2Jb\r\n映像") == "a\\x1b[2Jb\\r\\n映像"

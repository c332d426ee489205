"""What a person reads."""

from __future__ import annotations

import pytest

from jobs.view import Lines, printable, show_summary
from pipeline.execution import STAGES
from pipeline.run import Summary


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
        view({"decode": 1}, 2)
        view(dict.fromkeys(STAGES, 2), 2)
        view(dict.fromkeys(STAGES, 2), 2)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "2 to score; starting Ray",
        "of 2: decode 2, features 2, rhythm 2, sample 2, sound 2, mux 2",
    ]


def test_names_cannot_move_the_cursor() -> None:
    assert printable("a\x1b[2Jb\r\n映像") == "a\\x1b[2Jb\\r\\n映像"

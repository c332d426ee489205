"""The ffmpeg child: its bounds hold, and nothing of it is left behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from stages.video.child_process import BoundedLog, DeadlinePassed, Killed, Limits, MemoryExhausted, Pipe
from stages.video.ffmpeg import ffmpeg_binary, run_ffmpeg

WIDE = Limits(deadline=600, memory=4 << 30)
ENDLESS = ("-f", "lavfi", "-i", "testsrc=size=64x48", "-f", "rawvideo")


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.fixture(autouse=True)
def nothing_is_left():
    ffmpeg_binary()
    files, processes = open_files(), children()
    yield
    assert open_files() == files
    assert children() <= processes


def test_the_binary_is_found_without_running_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("subprocess.check_call", lambda *_, **__: pytest.fail("it was run"))
    ffmpeg_binary.cache_clear()
    assert os.access(ffmpeg_binary(), os.X_OK)


def test_all_bytes_of_every_pipe_arrive():
    """Two outputs far larger than a pipe, read at once: an order of reading would block ffmpeg for ever."""
    first, second = bytearray(), bytearray()
    with Pipe(first.extend) as a, Pipe(second.extend) as b:
        source = ["-f", "lavfi", "-i", "color=red:size=200x100:rate=100", "-t", "1"]
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-frames:v", "100"]
        outcome = run_ffmpeg([*source, *raw, a.url, *raw, b.url], WIDE, [a, b])
    assert outcome.code == 0
    assert len(first) == len(second) == 100 * 200 * 100 * 3


def test_a_child_past_its_deadline_is_killed():
    started = time.monotonic()
    with Pipe(lambda _: None) as pipe, pytest.raises(DeadlinePassed, match=r"after 0\.5 s"):
        run_ffmpeg([*ENDLESS, pipe.url], Limits(0.5, 4 << 30), [pipe])
    assert time.monotonic() - started < 5


def test_a_silent_child_past_its_deadline_is_killed():
    """Without any output to wait for, as when ffmpeg hangs."""
    started = time.monotonic()
    with pytest.raises(DeadlinePassed):
        run_ffmpeg([*ENDLESS[:-2], "-f", "null", "-"], Limits(0.5, 4 << 30))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("mebibytes", [256, 512])
def test_a_child_at_the_bound_of_its_memory_is_told(mebibytes: int):
    """A frame of 8192 x 8192 takes 192 MiB; ffmpeg itself ends with code 0 when there is no room for a second one."""
    huge = ["-f", "lavfi", "-i", "testsrc=size=8192x8192", "-frames:v", "3", "-f", "null", "-"]
    with pytest.raises(MemoryExhausted, match=f"{mebibytes} MiB"):
        run_ffmpeg(huge, Limits(60, mebibytes << 20))


def test_a_child_that_others_kill_is_told_from_one_without_memory():
    before = children()

    def kill(_: bytes) -> None:
        for process in children() - before:
            os.kill(int(process), signal.SIGKILL)

    with Pipe(kill) as pipe, pytest.raises(Killed, match="killed by somebody"):
        run_ffmpeg([*ENDLESS, pipe.url], WIDE, [pipe])


def test_what_a_sink_raises_comes_through():
    def refuse(_: bytes) -> None:
        raise KeyError("enough")

    with Pipe(refuse) as pipe, pytest.raises(KeyError, match="enough"):
        run_ffmpeg([*ENDLESS, pipe.url], WIDE, [pipe])


def test_a_failure_is_told_by_code_and_errors(tmp_path: Path):
    outcome = run_ffmpeg(["-i", str(tmp_path / "absent.mp4"), "-f", "null", "-"], WIDE)
    assert outcome.code > 0
    assert any("No such file" in line for line in outcome.errors)


def test_the_child_sees_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch):
    """Credentials stay with us: FFREPORT, which ffmpeg would obey, is not passed on either."""
    report = Path("ffreport-test.log")
    monkeypatch.setenv("FFREPORT", f"file={report}")
    run_ffmpeg(["-f", "lavfi", "-i", "color=red", "-frames:v", "1", "-f", "null", "-"], WIDE)
    assert not report.exists()


def test_the_log_keeps_its_beginning_and_its_end():
    kept = BoundedLog(keep=10)
    for n in range(100):
        kept(f"{n:03d} ".encode())
    assert kept.text.startswith("000 001 00")
    assert kept.text.endswith("098 099 ")
    assert len(kept.text) <= 10 + 20 + 4

"""Probing: what a header tells, and that what Decode refuses for its header is refused here alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.base import ItemError
from stages.decode import decode
from stages.video import probe as probe_module
from stages.video.child_process import Killed
from stages.video.decode_settings import DecodeSettings
from stages.video.probe import probe
from tests.support.videos import cut_in_half, ffmpeg, gray, write_sound, write_video


def test_a_header_tells_size_and_length(tmp_path: Path) -> None:
    path = write_video(tmp_path / "-a b'.mp4", [gray(i) for i in range(50)], sound=True)
    facts = probe(path)
    assert facts.duration == pytest.approx(2.0, abs=0.05)
    assert facts.video is not None
    assert facts.video.codec == "h264"
    assert facts.has_audio


@pytest.mark.parametrize("suffix", ["mov", "mp4"])
def test_a_timecode_track_is_no_hindrance(tmp_path: Path, suffix: str) -> None:
    """Cameras and editing programs write one; the bundled ffmpeg then describes the streams as a group."""
    plain = write_video(tmp_path / "plain.mp4", [gray(i) for i in range(75)])
    path = tmp_path / f"timecode.{suffix}"
    ffmpeg("-i", str(plain), "-c", "copy", "-timecode", "01:02:03:04", str(path))
    info = probe(path)
    assert info.duration == pytest.approx(3.0, abs=0.01)
    assert info.video is not None
    assert (info.video.codec, info.has_audio) == ("h264", False)
    columns = decode(path, DecodeSettings())
    assert columns["duration"] == pytest.approx(3.0, abs=0.001)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("empty.mp4", b"", "EmptyFile"),
        ("text.mp4", b"a text\n" * 100, "NotAVideo"),
        ("list.mp4", b"#EXTM3U\nfile:///etc/passwd\n", "NotAVideo"),
        ("concat.mp4", b"ffconcat version 1.0\nfile /etc/passwd\n", "NotAVideo"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path: Path, name: str, content: bytes, kind: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ItemError) as caught:
        probe(tmp_path / name)
    assert caught.value.kind == kind


def test_headers_that_cannot_be_scored_are_refused(tmp_path: Path) -> None:
    write_sound(tmp_path / "sound.m4a", 1.0)
    short = write_video(tmp_path / "short.mp4", [gray(1)] * 5)
    long = write_video(tmp_path / "long.mp4", [gray(1)] * 50, rate=0.025)
    half = tmp_path / "half.mp4"
    cut_in_half(write_video(tmp_path / "whole.mp4", [gray(4 * i) for i in range(50)]), half)
    kinds = {}
    for path in (tmp_path / "sound.m4a", short, long, half):
        with pytest.raises(ItemError) as caught:
            probe(path)
        kinds[path.stem] = caught.value.kind
    assert kinds == {"sound": "NoVideoStream", "short": "TooShort", "long": "TooLong", "half": "Truncated"}


def test_a_child_that_others_kill_is_the_videos_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise Killed("killed by somebody")

    monkeypatch.setattr(probe_module, "run_child", killed)
    with pytest.raises(ItemError, match="killed by somebody") as caught:
        probe(write_video(tmp_path / "a.mp4", [gray(1)] * 25))
    assert caught.value.kind == "Killed"

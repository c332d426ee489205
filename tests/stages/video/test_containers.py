"""Containers: the one that is chosen holds the pictures, as the bundled ffmpeg itself shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.base import ItemError
from stages.video import containers
from stages.video.containers import CONTAINERS, settle_output
from stages.video.media_info import MediaInfo, VideoStream
from stages.video.probe import read_media_info
from tests.support.awkward_videos import head_hidden
from tests.support.videos import LOSSLESS, ffmpeg, gray, write_video

ENCODERS = {
    "h264": ("libx264", "-pix_fmt", "yuv420p"),
    "hevc": ("libx265", "-x265-params", "log-level=none"),
    "av1": ("libsvtav1", "-preset", "12"),
    "vp8": ("libvpx", "-deadline", "realtime"),
    "vp9": ("libvpx-vp9", "-deadline", "realtime"),
    "mpeg4": ("mpeg4",),
    "mpeg2video": ("mpeg2video",),
    "mpeg1video": ("mpeg1video",),
    "mjpeg": ("mjpeg",),
    "prores": ("prores_ks",),
    "ffv1": ("ffv1",),
    "theora": ("libtheora",),
}


def file_of(codec: str, folder: Path, suffix: str = ".nut") -> Path:
    """Returns a small video of a codec in a container that holds everything."""
    return write_video(folder / f"{codec}{suffix}", [gray(9 * n) for n in range(10)], coding=("-c:v", *ENCODERS[codec]))


@pytest.mark.parametrize("codec", ENCODERS)
def test_what_a_container_is_known_to_hold_ffmpeg_writes(tmp_path: Path, codec: str) -> None:
    source = file_of(codec, tmp_path)
    known = {suffix for suffix, container in CONTAINERS.items() if codec in container.codecs}
    for suffix in known:
        ffmpeg("-i", source, "-c", "copy", "-f", CONTAINERS[suffix].muxer, tmp_path / f"copy{suffix}")
    assert ".mkv" in known


@pytest.mark.parametrize(
    ("wanted", "codec", "suffix", "settled"),
    [
        ("a.webm", "h264", ".mkv", "b.mkv"),
        ("a.mp4", "vp8", ".webm", "b.mkv"),
        ("a.mov", "vp9", ".mp4", "b.mkv"),
        ("a.mp4", "prores", ".mov", "b.mkv"),
        ("a.mp4", "vp9", ".mp4", "a.mp4"),
        ("a.MOV", "prores", ".mov", "a.MOV"),
        ("a.mkv", "mjpeg", ".avi", "a.mkv"),
        ("a.mp4", "ffv1", ".mkv", "a.mp4"),  # not known before: tried
        ("a.webm", "theora", ".mkv", "b.mkv"),
    ],
)
def test_a_codec_that_does_not_fit_goes_to_the_fallback(
    tmp_path: Path, wanted: str, codec: str, suffix: str, settled: str
) -> None:
    source = file_of(codec, tmp_path, suffix)
    assert settle_output(source, read_media_info(source), wanted, "b.mkv", source.name) == settled


def test_a_codec_that_matroska_cannot_hold_goes_to_quicktime(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.avi", [gray(9 * n) for n in range(10)], coding=("-c:v", "qtrle"))
    assert settle_output(source, read_media_info(source), "a.mkv", "a.mkv", source.name) == f"{source.name}.mov"


def test_hidden_frames_stay_in_containers_that_can_hide_them(tmp_path: Path) -> None:
    source = head_hidden(tmp_path / "a.mp4")
    info = read_media_info(source)
    assert settle_output(source, info, "a.mp4", "a.mkv", "a.mp4") == "a.mp4"
    assert settle_output(source, info, "a.mkv", "a.mkv", source.name) == f"{source.name}.mov"


def test_what_no_container_can_show_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_video(tmp_path / "a.mkv", [gray(1)] * 10, coding=LOSSLESS)
    middle = MediaInfo(True, "mov", VideoStream("h264", 64, 48, 25, hidden="middle"))
    with pytest.raises(ItemError, match="hides frames in its middle") as caught:
        settle_output(source, middle, "a.mp4", "a.mkv", "a.mp4")
    assert caught.value.kind == "NoContainer"
    monkeypatch.setattr(containers, "_holds", lambda *_: False)
    with pytest.raises(ItemError, match=r"no container can take its pictures \(codec ffv1\)"):
        settle_output(source, read_media_info(source), "a.mkv", "a.mkv", "a.mkv")

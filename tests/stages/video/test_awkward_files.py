"""Files that people reported: what is planned is what is scored, and what is scored is what a player shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stages.base import ItemError
from stages.decode import decode
from stages.video.decode_settings import DecodeSettings
from stages.video.inspection import inspect_video
from tests.support.awkward_videos import (
    clock_jumps,
    longer_subtitles,
    open_ended,
    slideshow,
    sparse,
    starts_late,
    tail_hidden,
    timecode,
    zeros_inside,
)
from tests.support.rows import common
from tests.support.videos import ffmpeg, gray, write_video

Maker = Callable[[Path], Path]


@pytest.mark.parametrize(
    ("name", "make", "seconds"),
    [
        ("a.mov", timecode, 3.0),
        ("a.mp4", timecode, 3.0),
        ("a.mkv", longer_subtitles, 3.0),
        ("late.mkv", starts_late, 3.0),
        ("late.mp4", starts_late, 3.0),
        ("late.ts", starts_late, 3.0),
        ("screen.mp4", sparse, 25.0),
        ("screen.webm", sparse, 25.0),
        ("screen.mkv", sparse, 25.0),
        ("slides.mp4", slideshow, 18.04),
        ("jump.ts", clock_jumps, 4.0),
        ("recorded.webm", open_ended, 3.0),
        ("recorded.mkv", open_ended, 3.0),
        ("trimmed.mp4", tail_hidden, 2.0),
    ],
)
def test_the_plan_and_the_decoder_tell_the_length_that_a_player_shows(
    tmp_path: Path, name: str, make: Maker, seconds: float
) -> None:
    path = make(tmp_path / name)
    found = inspect_video(path, common(name), DecodeSettings())
    assert found.info.duration == pytest.approx(seconds, abs=0.002)
    columns = decode(path, DecodeSettings(), found.info)
    assert columns["duration"] == pytest.approx(seconds, abs=0.002)
    assert columns["media"]["frames_lost"] == 0


def test_where_only_decoding_tells_the_length_the_header_does_not_guess(tmp_path: Path) -> None:
    """Of a transport stream in a bucket only both ends are read; between them its clock may jump."""
    path = clock_jumps(tmp_path / "jump.ts")
    assert inspect_video(path, common("jump.ts"), DecodeSettings(), is_whole=False).info.duration is None
    whole = write_video(tmp_path / "a.mp4", [gray(i) for i in range(50)])
    assert inspect_video(whole, common("a.mp4"), DecodeSettings(), is_whole=False).info.duration == 2.0


def test_every_second_of_a_sparse_video_is_what_is_on_the_screen(tmp_path: Path) -> None:
    """Frames at 0, 11, 12 and 24 s."""
    columns = decode(sparse(tmp_path / "screen.mp4"), DecodeSettings(clip_size=16))
    for kind in ("clip_frames", "color_frames"):
        changes = np.flatnonzero(np.diff(columns[kind].astype(int), axis=0).any(axis=(1, 2, 3))) + 1
        assert changes.tolist() == [11, 12, 24]


@pytest.mark.parametrize(("suffix", "least"), [("mkv", 20), ("ts", 10), ("mp4", 10), ("mpg", 10), ("webm", 20)])
def test_frames_that_cannot_be_read_are_counted(tmp_path: Path, suffix: str, least: int) -> None:
    path = zeros_inside(tmp_path / f"hole.{suffix}", 0.40, 0.46)
    media = decode(path, DecodeSettings(max_lost=0.3))["media"]
    assert least <= media["frames_lost"] <= 75
    assert media["seconds_held"] == pytest.approx(media["frames_lost"] / 25, rel=0.02)


def test_more_damage_than_is_allowed_fails_the_video(tmp_path: Path) -> None:
    path = zeros_inside(tmp_path / "hole.mkv", 0.3, 0.6)
    with pytest.raises(ItemError, match=r"cannot be read, more than 10% of the video.*--max-lost") as caught:
        decode(path, DecodeSettings())
    assert caught.value.kind == "FramesLost"


def test_subtitles_and_data_are_named_as_left_behind(tmp_path: Path) -> None:
    info = inspect_video(longer_subtitles(tmp_path / "a.mkv"), common("a.mkv"), DecodeSettings()).info
    assert info.left_behind == ["subtitle"]
    info = inspect_video(timecode(tmp_path / "a.mov"), common("a.mov"), DecodeSettings()).info
    assert info.left_behind == []
    assert info.video is not None
    assert info.video.has_timecode
    cover = tmp_path / "cover.png"
    ffmpeg("-f", "lavfi", "-i", "color=red:size=64x64", "-frames:v", "1", cover)
    video = write_video(tmp_path / "plain.mp4", [gray(i) for i in range(25)])
    covered = tmp_path / "covered.mp4"
    ffmpeg(
        "-i", video, "-i", cover, "-map", "0", "-map", "1", "-c", "copy", "-disposition:v:1", "attached_pic", covered
    )
    info = inspect_video(covered, common("covered.mp4"), DecodeSettings()).info
    assert info.left_behind == ["cover art"]

"""Mux keeps what the source has beside its pictures, and shows exactly what a player shows of the source."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from stages.contracts import MANIFEST, MIXED, Row, rows_of, table_of
from stages.decode import Decode
from stages.mux import Mux, MuxSettings
from stages.video.containers import CONTAINERS
from stages.video.decode_settings import DecodeSettings
from stages.video.ffmpeg import ffmpeg_binary
from stages.video.probe import probe
from tests.support.awkward_videos import head_hidden, starts_late, tail_hidden
from tests.support.rows import common, sound_columns
from tests.support.videos import SMALL, ffmpeg

FACTS = """;FFMETADATA1
title=A title
artist=Someone
comment=A comment
[CHAPTER]
TIMEBASE=1/1000
START=0
END=1000
title=One
[CHAPTER]
TIMEBASE=1/1000
START=1000
END=2000
title=Two
"""
HDR = (
    *("-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-tag:v", "hvc1", "-x265-params"),
    "log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:max-cll=1000,400:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)",
)
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")


def rich_source(path: Path, coding: tuple[str, ...]) -> Path:
    """Writes 2 s with everything that a file may have beside its pictures."""
    facts = path.with_name("facts.txt")
    facts.write_text(FACTS)
    plain = path.with_name(f"plain{path.suffix}")
    picture = "testsrc2=size=128x72:rate=25:duration=2,setsar=4/3"
    ffmpeg(
        *("-f", "lavfi", "-i", picture, "-i", facts, "-map", "0:v", "-map_metadata", "1", "-map_chapters", "1"),
        *(*coding, "-metadata:s:v", "language=fra", "-disposition:v", "default+hearing_impaired"),
        *("-timecode", "01:02:03:04", plain),
    )
    created = ("-metadata", "creation_time=2020-02-03T04:05:06Z")
    ffmpeg("-display_rotation", "90", "-i", plain, "-map", "0:v", "-c", "copy", *created, path)
    return path


def scored(path: Path, folder: Path) -> tuple[Row, Path]:
    """Returns a row and its scored video, by way of Decode, which settles the container, and Mux."""
    wanted = path.name if path.suffix in CONTAINERS else f"{path.stem}.mkv"
    row = common(wanted, None, uri=str(path))
    decoded = rows_of(Decode(DecodeSettings(clip_size=16))(table_of([row], MANIFEST)))[0]
    assert decoded["error"] is None, decoded["error"]
    music = decoded | sound_columns(decoded["duration"])
    muxed = rows_of(Mux(MuxSettings(folder))(table_of([music], MIXED)))[0]
    assert muxed["error"] is None, muxed["error"]
    return muxed, Path(muxed["outputs"][0]["path"])


def facts_of(path: Path) -> dict[str, Any]:
    """Returns what a file has beside its pictures."""
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        frame = next(file.decode(video=0))
        tags = {name.lower(): value for name, value in file.metadata.items()}
        own = {name.lower(): value for name, value in stream.metadata.items()}
        return {
            "title": tags["title"],
            "artist": tags["artist"],
            "comment": tags["comment"],
            "created": tags["creation_time"][:19],
            "timecode": own.get("timecode") or tags["timecode"],
            "language": own["language"],
            "is_default": bool(stream.disposition & stream.disposition.default),
            "chapters": [
                (round(c["start"] * Fraction(c["time_base"]), 3), c["metadata"]["title"]) for c in file.chapters()
            ],
            "rotation": frame.rotation,
            "pixel_shape": stream.sample_aspect_ratio,
            "color": (frame.color_primaries, frame.color_trc, frame.colorspace),
            "side_data": sorted(str(data.type) for data in frame.side_data),
        }


def shown(path: Path) -> list[str]:
    """Returns time in milliseconds and checksum of every frame that a player shows."""
    options = ("-map", "0:V:0", "-fps_mode", "passthrough", "-enc_time_base", "1/1000", "-f", "framemd5", "-")
    found = subprocess.run([ffmpeg_binary(), "-v", "error", "-i", path, *options], capture_output=True, check=True)
    lines = [line.split(",") for line in found.stdout.decode().splitlines() if not line.startswith("#")]
    return [f"{line[2].strip()} {line[5].strip()}" for line in lines]


@pytest.mark.parametrize(("suffix", "coding"), [("mp4", HDR), ("mov", HDR), ("mkv", HDR), ("webm", VP9)])
def test_what_the_source_has_beside_its_pictures_survives(tmp_path: Path, suffix: str, coding: tuple[str, ...]) -> None:
    source = rich_source(tmp_path / f"a.{suffix}", coding)
    before, (row, video) = facts_of(source), scored(source, tmp_path / "out")
    assert before["chapters"] == [(0, "One"), (1, "Two")]
    assert before["created"] == "2020-02-03T04:05:06"
    if suffix != "webm":
        assert any("MASTERING" in name for name in before["side_data"])
    assert facts_of(video) == before
    assert row["media"]["left_behind"] == []


@pytest.mark.parametrize(
    ("name", "make", "suffix"),
    [
        ("head.mp4", head_hidden, ".mp4"),
        ("head.mov", head_hidden, ".mov"),
        ("head.3gp", head_hidden, ".mov"),
        ("tail.mp4", tail_hidden, ".mp4"),
        ("tail.mov", tail_hidden, ".mov"),
        ("late.mkv", starts_late, ".mkv"),
        ("late.mp4", starts_late, ".mp4"),
    ],
)
def test_what_a_player_shows_of_the_source_the_scored_video_shows(
    tmp_path: Path, name: str, make: Any, suffix: str
) -> None:
    source = make(tmp_path / name)
    _, video = scored(source, tmp_path / "out")
    assert video.suffix == suffix
    before, after = shown(source), shown(video)
    assert len(before) > 30
    assert after == before


def test_a_picture_that_starts_after_the_sound_keeps_its_place(tmp_path: Path) -> None:
    base, late = tmp_path / "base.mp4", tmp_path / "late.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=128x72:duration=2", "-f", "lavfi", "-i", "sine=duration=2", *SMALL, base)
    ffmpeg("-itsoffset", "0.52", "-i", base, "-i", base, "-map", "0:v", "-map", "1:a", "-c", "copy", late)
    row, video = scored(late, tmp_path / "out")
    assert row["duration"] == pytest.approx(2.52, abs=0.001)
    assert shown(video) == shown(late)
    assert shown(video)[0].startswith("520 ")


@pytest.mark.parametrize(
    ("name", "coding"),
    [
        ("a.avi", ("-c:v", "mpeg4", "-bf", "2")),
        ("b.avi", ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-x264-params", "bframes=2:b-adapt=0")),
        ("c.avi", ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-x264-params", "bframes=5:b-pyramid=normal")),
        ("d.avi", ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "0", "-an")),
        ("e.m2v", ("-c:v", "mpeg2video", "-bf", "2", "-an")),
        ("f.asf", ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-x264-params", "bframes=2:b-adapt=0", "-an")),
        ("g.wmv", ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-x264-params", "bframes=5:b-pyramid=normal")),
    ],
)
def test_frames_that_are_only_counted_are_shown_from_0_on(tmp_path: Path, name: str, coding: tuple[str, ...]) -> None:
    """An AVI file has its frames in the order of decoding, without the times at which they are shown; so has ASF."""
    source, sound = tmp_path / name, ("-f", "lavfi", "-i", "sine=duration=2.12")
    ffmpeg("-f", "lavfi", "-i", "mandelbrot=size=128x72:rate=25", *sound, "-frames:v", "53", *coding, source)
    row, video = scored(source, tmp_path / "out")
    assert probe(source).duration == pytest.approx(53 / 25, abs=1e-6)
    assert row["duration"] == pytest.approx(53 / 25, abs=1e-6)
    assert row["media"]["frames_lost"] == 0
    before, after = ([line.split() for line in shown(path)] for path in (source, video))
    assert [checksum for _, checksum in after] == [checksum for _, checksum in before]
    times, expected = np.array([int(time) for time, _ in after]), 40 * np.arange(53)
    np.testing.assert_array_equal(times[:-2], expected[:-2])
    assert np.abs(times - expected).max() <= (40 if name.endswith((".asf", ".wmv")) else 0)


def test_an_empty_packet_of_an_avi_file_holds_the_frame_before(tmp_path: Path) -> None:
    """So programs of capture write a frame that they dropped. Nothing of the file is damaged."""
    source = tmp_path / "a.avi"
    picture = "testsrc2=size=128x72:rate=25:duration=2,select='not(eq(n,20)+eq(n,21))'"
    ffmpeg("-f", "lavfi", "-i", picture, "-fps_mode", "passthrough", "-c:v", "msmpeg4", source)
    copied = subprocess.run(
        [ffmpeg_binary(), "-v", "error", "-i", source, "-c", "copy", "-f", "framecrc", "-"],
        capture_output=True,
        check=True,
    )
    packets = [line.split(b",") for line in copied.stdout.splitlines() if not line.startswith(b"#")]
    assert [int(packet[1]) for packet in packets if int(packet[4]) == 0] == [20, 21]
    row, video = scored(source, tmp_path / "out")
    assert (row["duration"], row["media"]["frames_lost"]) == (pytest.approx(2.0, abs=1e-6), 0)
    assert shown(video) == shown(source)
    assert len(shown(video)) == 48

"""Decode against videos whose every frame is known."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.lengths import whole_seconds
from stages.contracts import MANIFEST, rows_of, table_of
from stages.decode import Decode
from stages.video.decode_settings import DecodeSettings
from tests.support.rows import media
from tests.support.videos import (
    HEIGHT,
    LOSSLESS,
    SMALL,
    WIDTH,
    cut_in_half,
    ffmpeg,
    gray,
    plain,
    write_shots,
    write_sound,
    write_timed,
    write_video,
)

RED, GREEN, BLUE = (90, 10, 10), (20, 220, 20), (10, 10, 90)  # of clearly different brightness too


def read(path: Path | str, **changes: Any) -> dict[str, Any]:
    """One row of `DECODED`, through the stage as a run calls it."""
    options = {"clip_size": 32} | changes
    row = {"item_id": "x", "content_id": "x", "uri": str(path), "output": "x.mp4", "size": 1}
    return rows_of(Decode(DecodeSettings(**options))(table_of([row], MANIFEST)))[0]


def good(path: Path, **changes: Any) -> dict[str, Any]:
    row = read(path, **changes)
    assert row["error"] is None, row["error"]
    return row


def fails(path: Path | str, kind: str, **changes: Any) -> str:
    error = read(path, **changes)["error"]
    assert error is not None
    assert (error["stage"], error["type"]) == ("decode", kind), error
    assert "\n" not in error["message"]
    return str(error["message"])


def levels(frames: np.ndarray) -> list[int]:
    """The gray level of the middle of each frame."""
    return [int(frame[frame.shape[0] // 2, frame.shape[1] // 2].mean().round()) for frame in frames]


class TestTimes:
    def test_cuts_and_differences_of_a_constant_rate(self, tmp_path: Path):
        """Cuts at 1.2 s and 2.4 s, each a change of one plain picture to another."""
        path = write_shots(tmp_path / "a.mp4", [(plain(RED), 30), (plain(GREEN), 30), (plain(BLUE), 15)], sound=True)
        row = good(path)
        assert row["duration"] == pytest.approx(3.0)
        np.testing.assert_allclose(row["frame_times"], np.arange(75) / 25, atol=1e-9)
        np.testing.assert_allclose(row["cuts"], [1.2, 2.4], atol=1e-9)
        difference = row["difference"]
        assert difference.dtype == np.float32
        assert difference[0] == 0
        weights = np.array([0.299, 0.587, 0.114])  # of RGB in gray
        expected = abs((np.array(RED) - np.array(GREEN)) @ weights), abs((np.array(GREEN) - np.array(BLUE)) @ weights)
        np.testing.assert_allclose(difference[[30, 60]], expected, atol=4)
        assert np.delete(difference, [30, 60]).max() < 1
        assert row["media"] == media(width=WIDTH, height=HEIGHT, has_audio=True)

    @pytest.mark.parametrize("rate", [10, 25, 50])
    def test_a_scene_lasts_at_least_six_tenths_of_a_second(self, tmp_path: Path, rate: int):
        """Whatever the rate: of a shot of 0.4 s only the beginning is a cut, of one of 0.6 s both ends are."""
        for short, expected in ((0.4, [1.6]), (0.6, [1.6, 2.2])):
            shots = [(plain(RED), round(1.6 * rate)), (plain(GREEN), round(short * rate)), (plain(BLUE), rate)]
            cuts = good(write_shots(tmp_path / "a.mp4", shots, rate))["content_cuts"]
            np.testing.assert_allclose(cuts, expected, atol=1e-9)

    def test_variable_rate_uses_the_timestamps(self, tmp_path: Path):
        """40 frames in the first second, then four with gaps of 0.9 s and more; a cut at the first of those."""
        times = [*range(0, 1000, 25), 1900, 2200, 4600, 4700]
        shots = [plain(RED)] * 40 + [plain(BLUE)] * 4
        row = good(write_timed(tmp_path / "a.mkv", shots, times))
        np.testing.assert_allclose(row["frame_times"], np.array(times) / 1000, atol=1e-9)
        np.testing.assert_allclose(row["cuts"], [1.9], atol=1e-9)
        assert row["duration"] == pytest.approx(5.7)  # the file gives its last frame a second

    @pytest.mark.parametrize(
        "times",
        [
            [0, 400, 980, 1020, 1500, 3100, 3200, 4000, 4040],
            [0, 11000, 12000, 24000],
            [0, 500, 6500, 6600, 9000],
            [300, 2999, 3000, 3001, 7999, 8000],
            [0, 999, 1999, 2999, 3999],
            [0, 40, 5960],
            [1200, 4700],
        ],
    )
    def test_a_second_has_the_frame_that_is_on_the_screen_in_it(self, tmp_path: Path, times: list[int]):
        """The first frame that appears in the second; if none does, the one from before."""
        frames = [gray(20 + 25 * n) for n in range(len(times))]
        row = good(write_timed(tmp_path / "a.mkv", frames, times))
        times = [time - times[0] for time in times]  # a container starts where its first frame does
        seconds = whole_seconds(row["duration"])
        expected = []
        for second in range(seconds):
            own = [n for n, time in enumerate(times) if 1000 * second <= time < 1000 * (second + 1)]
            before = [n for n, time in enumerate(times) if time < 1000 * second]
            expected.append(own[0] if own else before[-1])
        for kind in ("clip_frames", "color_frames"):
            np.testing.assert_allclose(levels(row[kind]), [20 + 25 * n for n in expected], atol=2)

    def test_a_frame_held_to_the_end_stands_for_the_last_seconds(self, tmp_path: Path):
        """One frame every two seconds: no frame appears in seconds 1 and 3, so they have the one from before."""
        row = good(write_video(tmp_path / "a.mkv", [gray(50), gray(200)], 0.5, coding=LOSSLESS))
        assert row["duration"] == pytest.approx(4.0)
        np.testing.assert_allclose(levels(row["clip_frames"]), [50, 50, 200, 200], atol=2)
        assert len(row["color_frames"]) == 4

    @pytest.mark.parametrize(("frames", "seconds"), [(12, 1), (13, 1), (25, 1), (31, 1), (32, 2), (56, 2), (57, 3)])
    def test_seconds_of_short_videos(self, tmp_path: Path, frames: int, seconds: int):
        """A tail of up to a quarter second past the last whole second has no frame of its own."""
        row = read(write_video(tmp_path / "a.mp4", [gray(90)] * frames))
        if frames == 12:  # 0.48 s
            assert row["error"]["type"] == "TooShort"
        else:
            assert len(row["clip_frames"]) == len(row["color_frames"]) == seconds

    def test_times_begin_where_the_container_begins(self, tmp_path: Path):
        """A transport stream's clock starts at some 1.4 s; what is copied from it starts at 0."""
        path = write_video(tmp_path / "a.ts", [gray(90)] * 50)
        assert good(path)["frame_times"][0] == 0
        assert good(path)["duration"] == pytest.approx(2.0, abs=1e-3)

    def test_half_an_hour(self, tmp_path: Path):
        path = write_video(tmp_path / "a.mp4", [gray(90, 32, 32)] * 1800, 1)
        assert good(path, clip_size=8)["clip_frames"].shape == (1800, 8, 8, 3)


class TestPictures:
    def test_aspect_is_kept_and_the_middle_taken(self, tmp_path: Path):
        """Of a picture twice as wide as high, the middle half: what lies outside is red."""
        picture = plain(RED, 128, 64)
        picture[:, 32:96] = BLUE
        frames = good(write_video(tmp_path / "a.mkv", [picture] * 25, coding=LOSSLESS))["clip_frames"]
        assert frames.shape == (1, 32, 32, 3)
        np.testing.assert_allclose(frames[0, :, 1:-1].reshape(-1, 3), np.tile(BLUE, (32 * 30, 1)), atol=3)

    def test_resizing_is_that_of_clip(self, tmp_path: Path):
        """Within two levels of Pillow's antialiased cubics on the shorter side, on a picture of smooth noise."""
        from PIL import Image

        noise = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
        image = Image.fromarray(noise).resize((150, 100), Image.Resampling.BICUBIC)
        path = write_video(tmp_path / "a.mkv", [np.asarray(image)] * 25, coding=LOSSLESS)
        expected = np.asarray(image.resize((48, 32), Image.Resampling.BICUBIC)).astype(int)[:, 8:40]
        assert np.abs(good(path)["clip_frames"][0] - expected).mean() < 1

    def test_color_frames_hold_the_whole_picture(self, tmp_path: Path):
        picture = plain(RED)
        picture[:, WIDTH // 2 :] = GREEN
        frame = good(write_video(tmp_path / "a.mkv", [picture] * 25, coding=LOSSLESS))["color_frames"][0]
        assert frame.shape == (150, 150, 3)
        np.testing.assert_allclose(frame[75, 10], RED, atol=2)
        np.testing.assert_allclose(frame[75, 140], GREEN, atol=2)

    @pytest.mark.parametrize("angle", [90, 180, 270])
    def test_rotation_is_applied(self, tmp_path: Path, angle: int):
        """The top half is red before the rotation flag is set."""
        picture = plain(BLUE)
        picture[: HEIGHT // 2] = RED
        flat = write_video(tmp_path / "flat.mp4", [picture] * 25)
        turned = tmp_path / "turned.mp4"
        ffmpeg("-display_rotation", angle, "-i", flat, "-c", "copy", turned)
        row = good(turned)
        sides = (HEIGHT, WIDTH) if angle % 180 else (WIDTH, HEIGHT)
        assert (row["media"]["width"], row["media"]["height"]) == sides
        frame = row["color_frames"][0].astype(int)
        edges = {"top": frame[5, 75], "left": frame[75, 5], "bottom": frame[-5, 75], "right": frame[75, -5]}
        red = {90: "left", 180: "bottom", 270: "right"}[angle]  # the flag turns against the clock
        assert max(edges, key=lambda edge: edges[edge][0]) == red

    @pytest.mark.parametrize(
        ("name", "size", "coding"),
        [
            ("odd.mkv", (65, 47), LOSSLESS),
            ("ten.mp4", (64, 48), ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le")),
            ("vp9.webm", (64, 48), ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime")),
            ("film.mov", (64, 48), ("-c:v", "mpeg4", "-q:v", "2")),
            ("full.avi", (64, 48), ("-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p")),
            ("strip.mkv", (640, 6), LOSSLESS),
        ],
    )
    def test_kinds_of_video(self, tmp_path: Path, name: str, size: tuple[int, int], coding: tuple[str, ...]):
        path = write_shots(tmp_path / name, [(gray(60, *size), 30), (gray(180, *size), 20)], coding=coding)
        row = good(path)
        assert (row["media"]["width"], row["media"]["height"]) == size
        assert row["duration"] == pytest.approx(2.0, abs=0.01)
        assert not row["media"]["has_audio"]
        assert row["cuts"] == pytest.approx([1.2], abs=0.002)
        np.testing.assert_allclose(levels(row["clip_frames"]), [60, 60], atol=4)
        assert row["difference"][30] == pytest.approx(120, abs=5)

    def test_a_change_of_size_on_the_way(self, tmp_path: Path):
        """Two resolutions in one transport stream: every frame still comes out at its own size."""
        parts = [write_video(tmp_path / f"{n}.ts", [gray(90, *s)] * 25) for n, s in enumerate([(64, 48), (48, 80)])]
        joined = tmp_path / "joined.ts"
        joined.write_bytes(b"".join(part.read_bytes() for part in parts))
        row = read(joined)
        assert row["error"] is None or row["error"]["type"] in ("DecodeFailed", "Truncated")
        if row["error"] is None:
            assert len(row["difference"]) == len(row["frame_times"])
            assert row["difference"].max() < 5

    def test_the_first_real_video_stream_is_taken(self, tmp_path: Path):
        """Cover art comes first in the file, then a gray film, then a white one."""
        art, film, other = (tmp_path / name for name in ("art.png", "film.mp4", "other.mp4"))
        ffmpeg("-f", "lavfi", "-i", "color=black:size=64x64", "-frames:v", "1", art)
        write_video(film, [gray(90)] * 30)
        write_video(other, [gray(250)] * 60)
        maps = ("-map", "0", "-map", "1", "-map", "2", "-c", "copy", "-disposition:v:0", "attached_pic")
        ffmpeg("-i", art, "-i", film, "-i", other, *maps, tmp_path / "both.mp4")
        row = good(tmp_path / "both.mp4")
        assert levels(row["clip_frames"]) == pytest.approx([90], abs=3)
        assert len(row["frame_times"]) == 30


class TestBadInput:
    @pytest.fixture(scope="class")
    def film(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Six seconds of noise with sound: large enough that its half is cut within the pictures."""
        noise = np.random.default_rng(0).integers(0, 256, (150, HEIGHT, WIDTH, 3), dtype=np.uint8)
        return write_video(tmp_path_factory.mktemp("film") / "film.mp4", noise, sound=True)

    def test_empty(self, tmp_path: Path):
        (tmp_path / "a.mp4").touch()
        assert "0 bytes" in fails(tmp_path / "a.mp4", "EmptyFile")

    @pytest.mark.parametrize("content", [b"hello, this is a letter\n" * 50, bytes(range(256)) * 40, b"\0" * 5000, b"x"])
    def test_not_a_video(self, tmp_path: Path, content: bytes):
        (tmp_path / "a.mp4").write_bytes(content)
        fails(tmp_path / "a.mp4", "NotAVideo")

    @pytest.mark.parametrize("suffix", [".mp4", ".mp3", ".wav"])
    def test_sound_alone(self, tmp_path: Path, suffix: str):
        fails(write_sound(tmp_path / f"a{suffix}"), "NoVideoStream")

    def test_sound_with_cover_art(self, tmp_path: Path):
        ffmpeg("-f", "lavfi", "-i", "color=black:size=64x64", "-frames:v", "1", tmp_path / "art.png")
        song = write_sound(tmp_path / "song.mp3")
        maps = ("-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic")
        ffmpeg("-i", song, "-i", tmp_path / "art.png", *maps, tmp_path / "a.mp3")
        fails(tmp_path / "a.mp3", "NoVideoStream")

    @pytest.mark.parametrize("layout", ["moov last", "moov first", "a.mkv", "a.avi", "a.webm"])
    def test_cut_in_half(self, tmp_path: Path, film: Path, layout: str):
        whole = tmp_path / (layout if "." in layout else "a.mp4")
        coding = (
            ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus") if layout == "a.webm" else ("-c", "copy")
        )
        ffmpeg("-i", film, *coding, *(("-movflags", "+faststart") if layout == "moov first" else ()), whole)
        good(whole)
        fails(cut_in_half(whole, tmp_path / f"half{whole.suffix}"), "Truncated")

    def test_a_picture_shorter_than_its_sound_is_whole(self, tmp_path: Path):
        film = write_video(tmp_path / "film.mp4", [gray(90)] * 25)
        ffmpeg("-i", film, "-i", write_sound(tmp_path / "a.m4a", 6), "-c", "copy", tmp_path / "both.mp4")
        assert good(tmp_path / "both.mp4")["duration"] == pytest.approx(1.0, abs=0.01)

    def test_lost_pictures(self, tmp_path: Path, film: Path):
        """The second half of the file is overwritten, its index is whole: the sound's packets still reach the end."""
        ffmpeg("-i", film, "-c", "copy", "-movflags", "+faststart", tmp_path / "a.mp4")
        data = bytearray((tmp_path / "a.mp4").read_bytes())
        data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
        (tmp_path / "a.mp4").write_bytes(data)
        assert "damaged" in fails(tmp_path / "a.mp4", "Truncated")

    def test_no_frames(self, tmp_path: Path):
        film = write_video(tmp_path / "film.mp4", [gray(90)] * 25)
        ffmpeg("-i", film, "-c", "copy", "-t", "0", "-movflags", "+empty_moov", tmp_path / "none.mp4")
        fails(tmp_path / "none.mp4", "NoFrames")

    def test_too_short(self, tmp_path: Path):
        assert "0.40 s" in fails(write_video(tmp_path / "a.mp4", [gray(90)] * 10), "TooShort")

    def test_too_long(self, tmp_path: Path):
        path = write_video(tmp_path / "a.mp4", [gray(90)] * 150)
        fails(path, "TooLong", longest=5.0)
        fails(path, "TooLong", longest=2.0)  # known from the header alone
        good(path, longest=6.0)

    def test_unreadable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        (tmp_path / "folder.mp4").mkdir()
        os.mkfifo(tmp_path / "fifo.mp4")
        fails(tmp_path / "folder.mp4", "Unreadable")
        fails(tmp_path / "fifo.mp4", "Unreadable")
        assert "No such file" in fails(tmp_path / "absent.mp4", "Unreadable")
        locked = write_video(tmp_path / "a.mp4", [gray(90)] * 25)

        def refuse(*_: Any, **__: Any) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
        assert "Permission denied" in fails(locked, "Unreadable")

    def test_deadline(self, film: Path):
        assert "0.01 s" in fails(film, "DecodeTimeout", deadline=0.01)

    def test_memory(self, tmp_path: Path):
        path = write_video(tmp_path / "a.mp4", [gray(90, 2560, 1440)] * 15)
        fails(path, "DecodeMemory", memory=240 << 20)

    def test_too_large(self, film: Path, tmp_path: Path):
        fails(film, "TooLarge", max_pixels=WIDTH * HEIGHT - 1)

    @pytest.mark.parametrize(
        "script",
        ["ffconcat version 1.0\nfile '{}'\n", "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n{}\n#EXT-X-ENDLIST\n"],
        ids=["concat", "playlist"],
    )
    def test_a_file_cannot_have_another_one_opened(self, tmp_path: Path, film: Path, script: str):
        (tmp_path / "film.mp4").write_bytes(film.read_bytes())
        (tmp_path / "a.mp4").write_text(script.format("film.mp4"))
        fails(tmp_path / "a.mp4", "NotAVideo")

    @pytest.mark.parametrize(
        "name",
        ["-i.mp4", "a b.mp4", 'it\'s "q".mp4', "new\nline.mp4", "http:x.mp4", "%03d.mp4", "concat:a|b.mp4", "é雪.mp4"],
    )
    def test_names(self, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch):
        write_video(tmp_path / "plain.mp4", [gray(90)] * 25).rename(tmp_path / name)
        good(tmp_path / name)
        monkeypatch.chdir(tmp_path)
        good(Path(name))

    def test_one_bad_row_leaves_the_others(self, tmp_path: Path, film: Path):
        (tmp_path / "bad.mp4").write_text("no")
        uris = [str(tmp_path / "bad.mp4"), str(film)]
        rows = [{"item_id": uri, "content_id": uri, "uri": uri, "output": "", "size": 1} for uri in uris]
        bad, whole = rows_of(Decode(DecodeSettings(clip_size=32))(table_of(rows, MANIFEST)))
        assert bad["error"]["type"] == "NotAVideo"
        assert whole["error"] is None

    def test_a_path_is_localized_for_as_long_as_it_is_read(self, film: Path):
        state = []

        @contextlib.contextmanager
        def fetch(uri: str):
            state.append(f"open {uri}")
            yield film
            state.append("closed")

        row = {"item_id": "x", "content_id": "x", "uri": "s3://bucket/key", "output": "", "size": 1}
        decoded = rows_of(Decode(DecodeSettings(clip_size=32), fetch)(table_of([row], MANIFEST)))[0]
        assert decoded["duration"] == pytest.approx(6.0, abs=0.01)
        assert state == ["open s3://bucket/key", "closed"]

    def test_nothing_is_left_behind(self, film: Path, tmp_path: Path):
        """No descriptor and no child, whether decoding ends well, is refused on the way, or is killed."""
        (tmp_path / "bad.mp4").write_text("no")
        good(film)
        before = sorted(os.listdir("/proc/self/fd"))
        children = Path(f"/proc/self/task/{os.getpid()}/children")
        processes = set(children.read_text().split())
        for path, changes in (
            (film, {}),
            (film, {"longest": 1.0}),
            (film, {"deadline": 0.01}),
            (tmp_path / "bad.mp4", {}),
        ):
            read(path, **changes)
        assert sorted(os.listdir("/proc/self/fd")) == before
        assert set(children.read_text().split()) <= processes


def test_the_same_file_gives_the_same_numbers(tmp_path: Path):
    noise = np.random.default_rng(1).integers(0, 256, (50, HEIGHT, WIDTH, 3), dtype=np.uint8)
    path = write_video(tmp_path / "a.mp4", noise, coding=SMALL)
    first, second = good(path), good(path)
    for name in ("clip_frames", "color_frames", "frame_times", "difference", "cuts"):
        np.testing.assert_array_equal(first[name], second[name])

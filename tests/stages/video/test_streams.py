"""What a container declares, read from ffmpeg's log."""

from __future__ import annotations

from stages.video.streams import VideoStream, parse_media_info

HEAD = "[info] Input #0, mov,mp4, from 'file:a.mp4':\n[info]   Metadata:\n[info]     title : x\n"
END = "[info] Stream mapping:\n[info]   Stream #0:0: Video: fake, 1x1\n"


def log(*lines: str) -> str:
    return HEAD + "".join(f"[info]   {line}\n" for line in lines) + END


def test_a_film_with_sound():
    facts = parse_media_info(
        log(
            "Duration: 01:02:03.50, start: 0.000000, bitrate: 1103 kb/s",
            "Stream #0:0[0x1](und): Video: h264 (High) (avc1 / 0x31637661), yuv420p, 854x480 [SAR 1:1 DAR 427:240], "
            "906 kb/s, 23.98 fps, 24 tbr, 12288 tbn (default)",
            "Stream #0:1[0x2](und): Audio: aac (LC), 48000 Hz",
        )
    )
    assert facts.video == VideoStream("h264", 854, 480, 23.98)
    assert facts.has_audio
    assert facts.duration == 3723.5


def test_rotation_and_pixel_shape_count_as_displayed():
    turned = log(
        "Stream #0:0: Video: hevc, yuv420p, 720x576 [SAR 16:15 DAR 4:3], 25 fps, 25 tbr, 1k tbn",
        "  Side data:",
        "    Display Matrix: rotation of -90.00 degrees",
    )
    assert parse_media_info(turned).video == VideoStream("hevc", 576, 768, 25.0)


def test_streams_of_a_group_are_found():
    """ffmpeg indents them once more; side data ends where the next stream or group begins."""
    grouped = log(
        "Duration: 00:00:03.00, start: 0.000000, bitrate: 269 kb/s",
        "Stream group #0:0[0x2]: Track Reference:",
        "  Stream #0:0[0x1]: Video: h264, yuv420p, 192x108 [SAR 1:1 DAR 16:9], 265 kb/s, 25 fps, 25 tbr, 12800 tbn",
        "    Metadata:",
        "      timecode        : 01:02:03:04",
        "  Stream #0:1[0x2](eng): Data: none (tmcd / 0x64636D74), 0 kb/s",
        "Stream #0:2: Audio: aac (LC), 48000 Hz",
    )
    info = parse_media_info(grouped)
    assert info.video == VideoStream("h264", 192, 108, 25.0)
    assert info.has_audio
    assert info.duration == 3.0


def test_cover_art_is_no_film():
    facts = parse_media_info(
        log(
            "Duration: N/A, start: 0.0",
            "Stream #0:0: Video: mjpeg, yuvj420p, 500x500, 90k tbr, 90k tbn (attached pic)",
            "Stream #0:1: Audio: mp3, 44100 Hz",
        )
    )
    assert facts.video is None
    assert facts.has_audio
    assert facts.duration is None


def test_a_clock_is_not_taken_for_a_frame_rate():
    assert parse_media_info(
        log("Stream #0:0: Video: h264, yuv420p, 320x240, 600 fps, 25 tbr, 600 tbn")
    ).video == VideoStream("h264", 320, 240, 25.0)


def test_a_log_without_input():
    facts = parse_media_info("[error] Invalid data found when processing input\n")
    assert not facts.opened
    assert facts.video is None


def test_a_guessed_duration_is_none():
    guessed = "[mp3] [warning] Estimating duration from bitrate, this may be inaccurate\n"
    assert parse_media_info(guessed + log("Duration: 00:00:10.00, start: 0.0")).duration is None

"""Files that attackers might send: broken ones, huge ones, and scripts that make players read other files or URLs."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np

from tests.support.videos import HEIGHT, WIDTH, cut_in_half, ffmpeg, gray, write_sound, write_video

SECRET = "file:///etc/passwd"
SCRIPTS = {
    "playlist.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n{SECRET}\n#EXT-X-ENDLIST\n",
    "concat.mp4": f"ffconcat version 1.0\nfile '{SECRET}'\n",
    "session.mov": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "manifest.mp4": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
    "<BaseURL>http://127.0.0.1:9/</BaseURL></Period></MPD>",
    "picture.webm": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{SECRET}"/></svg>',
    "letter.mp4": "this is a text\n" * 100,
}
"""Texts that make some players open other files or addresses."""


def write_hostile(folder: Path) -> dict[str, str]:
    """Writes about twenty files into a folder and returns the error kind that each must end with, by name.

    There are also a pipe without a writer and a link to an endless device: they are no regular files, and reading them
    would never end.
    """
    folder.mkdir(exist_ok=True)
    for name, text in SCRIPTS.items():
        (folder / name).write_text(text)
    (folder / "empty.mp4").touch()
    (folder / "noise.mov").write_bytes(bytes(range(256)) * 400)
    os.mkfifo(folder / "pipe.mp4")
    (folder / "zero.mp4").symlink_to("/dev/zero")
    (folder / "gone.mp4").symlink_to(folder / "nowhere.mp4")
    return dict.fromkeys(SCRIPTS, "NotAVideo") | {
        "empty.mp4": "EmptyFile",
        "noise.mov": "NotAVideo",
        "gone.mp4": "Unreadable",
        **_damaged(folder),
        **_without_usable_video(folder),
    }


def _damaged(folder: Path) -> dict[str, str]:
    """Writes videos that are truncated, or whose bytes are changed."""
    noise = np.random.default_rng(0).integers(0, 256, (100, HEIGHT, WIDTH, 3), dtype=np.uint8)
    film = write_video(folder / "film.mp4", noise, sound=True)
    cut_in_half(film, folder / "half.mp4")
    ffmpeg("-i", film, "-c:v", "libvpx", "-deadline", "realtime", "-an", folder / "film.webm")
    cut_in_half(folder / "film.webm", folder / "part.webm")
    ffmpeg("-i", film, "-c", "copy", "-movflags", "+faststart", folder / "fast.mp4")
    data = (folder / "fast.mp4").read_bytes()
    half = len(data) // 2
    (folder / "holes.mp4").write_bytes(data[:half] + bytes(len(data) - half))
    (folder / "secret.mp4").write_bytes(data.replace(b"avc1", b"zzzz"))
    ffmpeg("-i", film, "-c", "copy", folder / "film.avi")
    (folder / "header.avi").write_bytes((folder / "film.avi").read_bytes()[:2000])
    for name in ("film.mp4", "film.webm", "fast.mp4", "film.avi"):
        (folder / name).unlink()
    return {
        "half.mp4": "Truncated",
        "part.webm": "Truncated",
        "holes.mp4": "Truncated",
        "header.avi": "Truncated",
        "secret.mp4": "UnsupportedCodec",
    }


def _without_usable_video(folder: Path) -> dict[str, str]:
    """Writes complete containers whose contents cannot be scored."""
    sound = write_sound(folder / "sound.m4a")
    ffmpeg("-i", sound, "-c", "copy", folder / "audio.mp4")
    (folder / "evil.ttf").write_bytes(struct.pack(">IHHHH", 0x00010000, 0xFFFF, 0, 0, 0) * 1000)
    attached = ("-attach", folder / "evil.ttf", "-metadata:s:t", "mimetype=application/x-truetype-font")
    ffmpeg("-i", sound, *attached, "-c", "copy", folder / "font.mkv")
    write_video(folder / "blink.mp4", [gray(90)] * 10)
    ffmpeg("-i", folder / "blink.mp4", "-c", "copy", "-t", "0", "-movflags", "+empty_moov", folder / "still.mp4")
    write_video(folder / "years.mp4", [gray(90)] * 50, rate=0.0001)
    giant = ("-f", "lavfi", "-i", "color=black:size=16000x9000:rate=1", "-frames:v", "1")
    ffmpeg(*giant, "-c:v", "png", "-pred", "none", folder / "giant.mov")
    for name in ("sound.m4a", "evil.ttf"):
        (folder / name).unlink()
    return {
        "audio.mp4": "NoVideoStream",
        "font.mkv": "NoVideoStream",
        "blink.mp4": "TooShort",
        "still.mp4": "NoFrames",
        "years.mp4": "TooLong",
        "giant.mov": "TooLarge",
    }

"""Scored videos as a player sees them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from stages.audio.formats import OutputSettings
from stages.contracts import MIXED, Row, rows_of, table_of
from stages.mux import Mux, MuxSettings
from tests.support.rows import common, media, sound_columns
from tests.support.videos import ffmpeg, gray, write_video

VP8 = ("-c:v", "libvpx", "-deadline", "realtime", "-pix_fmt", "yuv420p")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def score(
    tmp_path: Path,
    video: Path,
    duration: float,
    output: str | None = None,
    outputs: OutputSettings | None = None,
    **values: Any,
) -> Row:
    row = common(
        output or video.name,
        duration,
        uri=str(video),
        **(sound_columns(duration) | {"seconds": {"decode": 0.5}, "media": media()} | values),
    )
    mux = Mux(MuxSettings(tmp_path / "out", outputs or OutputSettings(), "kept", {"seed": 7}))
    return rows_of(mux(table_of([row], MIXED)))[0]


def paths(row: Row) -> dict[str, Path]:
    return {Path(output["name"]).suffix: Path(output["path"]) for output in row["outputs"]}


def shades(seconds: float, rate: float = 25) -> list[np.ndarray]:
    return [gray(10 + 3 * (i % 80)) for i in range(round(seconds * rate))]


def pictures(path: Path) -> list[bytes]:
    """The encoded packets of the video stream: equal if the picture was copied."""
    with av.open(str(path)) as file:
        return [bytes(packet) for packet in file.demux(video=0) if packet.size]


@pytest.mark.parametrize(
    ("suffix", "coding", "codec"),
    [
        (".mp4", H264, "aac"),
        (".m4v", H264, "aac"),
        (".mov", H264, "aac"),
        (".webm", VP8, "opus"),
        (".mkv", H264, "opus"),
    ],
)
@pytest.mark.parametrize("sound", [False, True])
def test_picture_is_copied_and_sound_is_as_long(
    tmp_path: Path, suffix: str, coding: tuple[str, ...], codec: str, sound: bool
) -> None:
    video = write_video(tmp_path / f"clip{suffix}", shades(2.4), coding=coding, sound=sound)
    files = paths(score(tmp_path, video, 2.4))
    with av.open(str(files[suffix])) as file:
        assert [s.type for s in file.streams] == ["video", "audio"]
        stream = file.streams.audio[0]
        assert stream.codec_context.name in (codec, f"lib{codec}")
        seconds = sum(frame.samples for frame in file.decode(audio=0)) / stream.codec_context.sample_rate
        assert stream.codec_context.channels == 2
    frame = 1 / 25
    assert seconds == pytest.approx(2.4, abs=frame)
    assert float(av.open(str(files[suffix])).duration) / 1e6 == pytest.approx(2.4, abs=frame)
    assert pictures(files[suffix]) == pictures(video)


def test_a_kept_sound_is_heard_with_the_names_of_its_track(tmp_path: Path) -> None:
    """The video has the mix, the .wav the music alone; language and title are those of the second track."""
    silent, video = write_video(tmp_path / "silent.mkv", shades(2)), tmp_path / "clip.mkv"
    tones = [o for hertz in (300, 500) for o in ("-f", "lavfi", "-i", f"sine={hertz}:d=2")]
    names = ("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu", "-metadata:s:a:1", "title=Kommentar")
    ffmpeg("-i", silent, *tones, "-map", "0", "-map", "1", "-map", "2", "-c:v", "copy", *names, video)
    mix = (sound_columns(2.0)["waveform"] / 4).astype(np.int16)
    values = {"mix": mix, "original": "kept", "original_track": 2, "speech": np.array([[0.5, 1.2504]])}
    row = score(tmp_path, video, 2.0, **values)
    files = paths(row)
    with av.open(str(files[".mkv"])) as file:
        stream = file.streams.audio[0]
        assert (stream.metadata["language"], stream.metadata["title"]) == ("deu", "Kommentar")
        heard = np.concatenate([frame.to_ndarray() for frame in file.decode(audio=0)], axis=1)
    assert np.abs(heard).max() == pytest.approx(8000 / 4 / 32768, rel=0.1)
    assert soundfile.read(files[".wav"], dtype="int16")[0].max() == 7999
    sidecar = json.loads(files[".json"].read_text())
    assert (sidecar["original"], sidecar["speech"]) == ("kept", [[0.5, 1.25]])


def test_wav_and_sidecar(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4", shades(2))
    files = paths(score(tmp_path, video, 2.0, output="deep/er/clip.mp4"))
    info = soundfile.info(files[".wav"])
    assert (info.samplerate, info.channels, info.subtype, info.frames) == (44100, 2, "PCM_16", 88200)
    sidecar = json.loads(files[".json"].read_text())
    assert sidecar["seed"] == 7
    assert sidecar["source"] == "clip.mp4"
    assert (sidecar["duration"], sidecar["samples"], sidecar["cuts"]) == (2.0, 88200, [0.5])
    assert sidecar["kinematic_beats"] == [[0.25, 0.75]]
    assert sidecar["transitions"] == [{"kind": "cut", "start": 0.5, "end": 0.5, "confidence": 0.988}]
    assert sidecar["rhythm"] == [1.0, 1.0]
    assert sidecar["seconds"] == {"decode": 0.5}


def test_outputs_are_named_below_the_destination_and_measured(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4", shades(1))
    outputs = score(tmp_path, video, 1.0, output="a/b.mov")["outputs"]
    assert [output["name"] for output in outputs] == ["a/b.mov", "a/b.wav", "a/b.json"]
    assert all(Path(output["path"]).stat().st_size == output["size"] > 0 for output in outputs)
    assert all(len(output["sha256"]) == 64 for output in outputs)


def test_files_beside_the_video_are_named_after_the_stem(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4", shades(1))
    outputs = score(tmp_path, video, 1.0, output="a/b.mov", stem="a/b.mov")["outputs"]
    assert [output["name"] for output in outputs] == ["a/b.mov", "a/b.mov.wav", "a/b.mov.json"]


def test_rotation_and_extra_streams(tmp_path: Path) -> None:
    plain = write_video(tmp_path / "plain.mp4", shades(1), sound=True)
    turned = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", "90", "-i", plain, "-map", "0", "-map", "0:a", "-c", "copy", turned)
    files = paths(score(tmp_path, turned, 1.0))
    with av.open(str(files[".mp4"])) as file:
        assert [s.type for s in file.streams] == ["video", "audio"]
        assert abs(next(file.decode(video=0)).rotation) == 90


@pytest.mark.parametrize(
    "name", ["-dash.mp4", "sp ace 'quote\" .mp4", "new\nline.mp4", "naïve 映像.mp4", "a:b%20?#.mp4"]
)
def test_names_from_strangers(tmp_path: Path, name: str) -> None:
    video = write_video(tmp_path / "plain.mp4", shades(1)).rename(tmp_path / name)
    row = score(tmp_path, video, 1.0)
    assert row["error"] is None
    assert row["outputs"][0]["name"] == name


def test_a_picture_that_does_not_fit_the_container_is_one_clear_line(tmp_path: Path) -> None:
    """Decode settles the container before; what comes here all the same says what ffmpeg said first."""
    video = write_video(tmp_path / "clip.mkv", shades(1))
    error = score(tmp_path, video, 1.0, output="clip.webm")["error"]
    assert (error["stage"], error["type"]) == ("mux", "MuxFailed")
    assert "cannot be written to a .webm file: Only VP8 or VP9 or AV1" in error["message"]


@pytest.mark.parametrize(
    ("name", "coding"),
    [
        ("a.avi", ("-c:v", "mpeg4", "-bf", "2")),
        ("b.mpg", ("-c:v", "mpeg2video", "-bf", "2")),
        ("c.mov", ("-c:v", "prores")),
    ],
)
def test_pictures_of_older_and_finer_kinds_are_copied(tmp_path: Path, name: str, coding: tuple[str, ...]) -> None:
    """B-frames without timestamps, and codecs that only their own container takes."""
    video = write_video(tmp_path / name, shades(2), coding=coding)
    output = "c.mov" if name == "c.mov" else "a.mkv"
    row = score(tmp_path, video, 2.0, output=output)
    assert row["error"] is None
    with av.open(row["outputs"][0]["path"]) as file:
        assert sum(1 for _ in file.decode(video=0)) in (50, 51)

"""Suffixes of videos: a file of each that a folder's search takes is decoded, and its picture fits the container.

A .gif is taken only if it is named itself.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import av
import numpy as np
import pytest

from pipeline.sources.explore import VIDEO_SUFFIXES
from pipeline.sources.naming import usual_names
from stages.contracts import MANIFEST, MIXED, rows_of, table_of
from stages.decode import Decode
from stages.mux import Mux, MuxSettings
from tests.support.rows import MIX_COLUMNS, common
from tests.support.videos import ffmpeg

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
MPEG2 = ("-c:v", "mpeg2video", "-b:v", "3M")
ENCODINGS = {  # codec and muxer of suffixes that are not H.264 with a muxer of the suffix's own
    "qt": (*H264, "-f", "mov"),
    "m4v": (*H264, "-f", "mp4"),
    "f4v": (*H264, "-f", "f4v"),
    "mk3d": (*H264, "-f", "matroska"),
    "webm": ("-c:v", "libvpx", "-deadline", "realtime", "-f", "webm"),
    "avi": ("-c:v", "mpeg4", "-f", "avi"),
    "divx": ("-c:v", "mpeg4", "-f", "avi"),
    "flv": ("-c:v", "flv", "-f", "flv"),
    "wmv": ("-c:v", "wmv2", "-f", "asf"),
    "asf": ("-c:v", "wmv2", "-f", "asf"),
    "ogv": ("-c:v", "libtheora", "-f", "ogg"),
    "ogm": ("-c:v", "libtheora", "-f", "ogg"),
    "mxf": (*MPEG2, "-f", "mxf"),
    "wtv": (*MPEG2, "-f", "wtv"),
    "m2v": (*MPEG2, "-f", "mpeg2video"),
    "dv": ("-s", "720x576", "-pix_fmt", "yuv420p", "-c:v", "dvvideo", "-f", "dv"),
    "y4m": ("-pix_fmt", "yuv420p", "-f", "yuv4mpegpipe"),
    "gif": ("-f", "gif"),
    **dict.fromkeys(("mpg", "mpeg", "mpe", "m2p", "vob"), (*MPEG2, "-f", "vob")),
    **dict.fromkeys(("ts", "mts", "m2ts", "m2t", "tp", "trp"), (*H264, "-f", "mpegts")),
}


@pytest.mark.parametrize("suffix", [*VIDEO_SUFFIXES, "gif"])
def test_a_file_of_every_suffix_is_scored(tmp_path: Path, suffix: str) -> None:
    video = tmp_path / f"clip.{suffix}"
    source = "testsrc2=size=320x180:rate=25:duration=2"
    ffmpeg("-f", "lavfi", "-i", source, *ENCODINGS.get(suffix, H264), video)
    output = usual_names(video.name).output
    row = {"item_id": "1", "content_id": "1", "uri": str(video), "output": output, "size": video.stat().st_size}
    (decoded,) = rows_of(Decode()(table_of([row], MANIFEST)))
    assert decoded["error"] is None, decoded["error"]
    assert decoded["duration"] == pytest.approx(2.0, abs=0.1)
    music = {
        "uri": str(video),
        "media": decoded["media"],
        "cuts": np.zeros(0),
        "rhythm": np.zeros((1, 30, 1), np.float32),
        "waveform": np.zeros((round(44100 * decoded["duration"]), 2), np.int16),
    }
    row = common(output, decoded["duration"], **music, **MIX_COLUMNS)
    (muxed,) = rows_of(Mux(MuxSettings(tmp_path / "out"))(table_of([row], MIXED)))
    assert muxed["error"] is None, muxed["error"]
    assert PurePosixPath(muxed["outputs"][0]["name"]).suffix == PurePosixPath(output).suffix
    with av.open(muxed["outputs"][0]["path"]) as scored:
        assert (scored.duration or 0) / 1e6 == pytest.approx(2.0, abs=0.1)

"""The ffmpeg command that decodes a video in one pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.video.decode_settings import DecodeSettings
from stages.video.ffmpeg import media_input
from stages.video.frame_reader import COLOR_SIZE, MOTION_SIZE

TICK = 1e-6
"""Seconds by which two times may differ and still count as equal."""
ALMOST_A_SECOND = 0.99999
"""Seconds after the beginning of a second at which the frame comes that is still on the screen from before."""
# Expression for ffmpeg's `select` filter: the first frame of each second. `t` is the time in seconds in the output.
FIRST_OF_SECOND = f"isnan(prev_selected_t)+gte(t+{TICK:.6f},floor(prev_selected_t+{TICK:.6f})+1)"


def decode_command(
    path: Path, settings: DecodeSettings, *, stores_times: bool, times: str, motion: str, clip: str, color: str
) -> list[str]:
    """Returns ffmpeg's arguments: one input, one graph, and an output for each of the four urls.

    Args:
        path: the video.
        settings: settings for reading videos.
        stores_times: whether the container stores when each frame is shown; if not, the first is shown at 0.
        times: gets a line for every frame (stream 0 of this output), every packet of the video stream (stream 1) and
            every packet of all streams (the rest).
        motion: gets every frame as a small BGR frame.
        clip: gets the RGB frame of each second for the image encoder.
        color: gets the RGB frame of each second for the color histogram.
    """
    import ffmpeg

    source = media_input(str(path), threads=settings.threads, max_pixels=settings.max_pixels)
    shown = source["V:0"] if stores_times else source["V:0"].filter("setpts", "PTS-STARTPTS")
    every, some = (branch := shown.filter_multi_output("split"))[0], branch[1]
    small = every.filter("scale", *MOTION_SIZE, flags="fast_bilinear").filter("format", "bgr24")
    small = small.filter_multi_output("split")
    # The last frame is repeated at least up to the next whole second, so that a second that begins after it has one.
    some = some.filter("tpad", stop_mode="clone", stop_duration=1.1).filter("tpad", stop_mode="clone", stop=1)
    some = _frame_of_each_second(some).filter_multi_output("split")
    side = settings.clip_size
    # As in CLIP's own preprocessing: the shorter side is scaled to the size by Catmull-Rom cubics, then the middle is
    # taken. What lies far outside the middle is cropped first, or a narrow strip would be scaled to a huge frame.
    shape = "iw*sar/ih"
    square = (
        some[0]
        .filter("crop", "min(iw,8*ih)", "min(ih,8*iw)")
        .filter(
            "scale",
            f"if(gte({shape},1),trunc({side}*{shape}+{TICK:.6f}),{side})",
            f"if(gte({shape},1),{side},trunc({side}/({shape})+{TICK:.6f}))",
            flags="bicubic+accurate_rnd+full_chroma_int+full_chroma_inp",
            param0=0,
            param1=0.5,
        )
        .filter("format", "rgb24")
        .filter("crop", side, side)
    )
    tiny = some[1].filter("scale", COLOR_SIZE, COLOR_SIZE, flags="bilinear+accurate_rnd+full_chroma_int")
    raw: dict[str, Any] = {"f": "rawvideo", "fps_mode": "passthrough", "threads": 1}
    clock = {"f": "framecrc", "fps_mode:v:0": "passthrough", "enc_time_base:v:0": "filter", "c:v:0": "wrapped_avframe"}
    # Each line is written at once; streams do not wait for each other.
    copied = {"c": "copy", "flush_packets": 1, "max_interleave_delta": 1}
    packets = [source["V:0"], source["v?"], source["a?"], source["s?"]]
    outputs = ffmpeg.merge_outputs(
        ffmpeg.output(small[0], *packets, times, **clock, **copied),
        ffmpeg.output(small[1], motion, **raw),
        ffmpeg.output(square, clip, **raw),
        ffmpeg.output(tiny.filter("format", "rgb24"), color, **raw),
    )
    return [*map(str, ffmpeg.get_args(outputs.global_args("-filter_complex_threads", "1")))]


def _frame_of_each_second(frames: Any) -> Any:
    """Returns one frame for each second from 0 on: the first that appears in it, else the one that is on the screen.

    In a branch of its own, the frame that is on the screen when a second begins is repeated almost at the second's end,
    so that it comes after the first frame that appears in that second, if there is one. The first frame of both
    branches in a second is the wanted one.
    """
    import ffmpeg

    own, held = (branch := frames.filter_multi_output("split"))[0], branch[1]
    own = own.filter("select", FIRST_OF_SECOND)
    held = held.filter("fps", 1, round="up", start_time=0).filter("settb", "1/1000000")
    held = held.filter("setpts", f"PTS+{round(ALMOST_A_SECOND * 1e6)}")
    return ffmpeg.filter([own, held], "interleave").filter("select", FIRST_OF_SECOND)

"""The command that decodes one video with ffmpeg, in one pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.video import ffmpeg as child
from stages.video.frame_reader import COLOR_SIZE, FIRST_OF_SECOND, PACE_SIZE, TICK
from stages.video.validation import DecodeSettings


def command(path: Path, settings: DecodeSettings, *, times: str, pace: str, clip: str, color: str) -> list[str]:
    """ffmpeg's arguments: one input, one graph, and an output for each of the four urls.

    `times` gets a line for every frame (its stream 0), every packet of the film (1) and of all streams (the rest);
    `pace` gets small BGR frames of every frame, `clip` and `color` the RGB frames of each second.
    """
    import ffmpeg

    source = child.media_input(str(path), threads=settings.threads, max_pixels=settings.max_pixels)
    every, some = (branch := source["V:0"].filter_multi_output("split"))[0], branch[1]
    small = every.filter("scale", *PACE_SIZE, flags="fast_bilinear").filter("format", "bgr24")
    small = small.filter_multi_output("split")
    # Copies of the last frame, up to the next second at least, so that it comes out even if it is late.
    some = some.filter("tpad", stop_mode="clone", stop_duration=1.1).filter("tpad", stop_mode="clone", stop=1)
    some = some.filter("select", FIRST_OF_SECOND).filter_multi_output("split")
    side = settings.clip_size
    # As CLIP's own preprocessing: the shorter side to the size by Catmull-Rom cubics, then the middle. What lies far
    # outside the middle goes first, or a strip of a picture would be scaled to a huge one.
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
    copied = {"c": "copy", "flush_packets": 1, "max_interleave_delta": 1}  # each line at once, in no order of streams
    packets = [source["V:0"], source["v?"], source["a?"]]
    outputs = ffmpeg.merge_outputs(
        ffmpeg.output(small[0], *packets, times, **clock, **copied),
        ffmpeg.output(small[1], pace, **raw),
        ffmpeg.output(square, clip, **raw),
        ffmpeg.output(tiny.filter("format", "rgb24"), color, **raw),
    )
    return [*map(str, ffmpeg.get_args(outputs.global_args("-filter_complex_threads", "1")))]

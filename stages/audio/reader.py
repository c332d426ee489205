"""Reads one audio stream of a stranger's file, on the time axis of its picture, in a bounded child process."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from stages.base import ItemError
from stages.video.child_process import DeadlinePassed, Limits, MemoryExhausted, Pipe, Sink
from stages.video.ffmpeg import media_input, run_ffmpeg
from stages.video.media_info import MediaInfo
from stages.video.probe import read_media_info

CHANNELS = 2
LOUDEST_SUM = 100
"""Bound of the factors of a downmix; above 1, so that ffmpeg does not make the whole sound softer instead."""


def read_sound(
    path: Path, duration: float, sink: Sink, limits: Limits, sample_rate: int, *, track: int = 1, is_float: bool = False
) -> MediaInfo:
    """Decodes an audio stream of a local file to stereo and gives its samples to a sink while they come.

    Sample 0 is at time 0 of the picture. Where the stream starts later or has a gap, there is silence; what lies after
    the picture is cut off.

    Args:
        path: a local file.
        duration: seconds that the picture lasts.
        sink: takes the raw samples: interleaved stereo, little-endian.
        limits: bounds of the decoder.
        sample_rate: samples per second of the result.
        track: number of the audio stream, from 1.
        is_float: whether samples are float32 and the channels are summed as ITU-R BS.775 says; else they are int16,
            and a sum of more than two channels is made softer so that it cannot be clipped.

    Returns:
        The description of the file.

    Raises:
        ItemError: NoAudio, NoTrack, AudioTimeout, AudioMemory or AudioFailed.
    """
    try:
        with Pipe(sink) as pcm:
            command = sound_command(path, duration, pcm.url, sample_rate, track, is_float)
            result = run_ffmpeg(command, limits, [pcm])
    except DeadlinePassed:
        raise ItemError("AudioTimeout", f"decoding the sound took more than {limits.deadline:g} s") from None
    except MemoryExhausted:
        most = f"{limits.memory >> 20} MiB"
        raise ItemError("AudioMemory", f"decoding the sound needs more than {most} of memory") from None
    info = read_media_info(path)
    if result.code:
        if info.opened and not info.has_audio:
            raise no_audio()
        if info.opened and track > len(info.tracks):
            raise ItemError(
                "NoTrack", f"there is no audio track {track}, the file has {len(info.tracks)}: choose another"
            )
        why = result.errors[-1] if result.errors else f"exit code {result.code}"
        raise ItemError("AudioFailed", f"the sound cannot be decoded ({why}): export the video again with AAC sound")
    return info


def no_audio() -> ItemError:
    """Returns the error of a video without sound."""
    return ItemError("NoAudio", "the video has no sound to learn from: add its music, or leave it out")


def gain_of_track(info: MediaInfo, track: int = 1) -> float:
    """Returns the factor that gives a decoded track its level: ffmpeg gives each side of one channel half its power."""
    return math.sqrt(2) if info.tracks[track - 1 : track] == (1,) else 1.0


def sound_command(
    path: Path, duration: float, pcm: str, sample_rate: int, track: int = 1, is_float: bool = False
) -> list[str]:
    """Returns ffmpeg's arguments: an audio stream as raw samples, from the start of the container.

    Args:
        pcm: url of the output; the others are those of `read_sound`.
    """
    import ffmpeg

    sound = media_input(str(path))[f"a:{track - 1}"]
    options: dict[str, Any] = {"f": "s16le", "ac": CHANNELS, "t": f"{duration:.6f}"}
    downmix: dict[str, Any] = {}
    if is_float:
        options["f"] = "f32le"
        downmix = {"out_chlayout": "stereo", "rematrix_maxval": LOUDEST_SUM}
        sound = sound.filter("aformat", sample_fmts="fltp")
    resampled = sound.filter("aresample", sample_rate, **{"async": 1, "first_pts": 0}, **downmix)
    return [*map(str, ffmpeg.get_args(ffmpeg.output(resampled, pcm, **options)))]

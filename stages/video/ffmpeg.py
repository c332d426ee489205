"""Runs the bundled ffmpeg as a bounded child process, and names the containers that it may open."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.video.child_process import BoundedLog, Limits, MemoryExhausted, Pipe, run_child

# Containers whose demuxer opens no second file. Playlists, globs, concat scripts and devices are not among them.
# Containers of sound alone are, so that a song gets the error of a file without pictures.
FORMATS = (
    "mov,matroska,avi,flv,asf,mpeg,mpegts,mpegvideo,mxf,ogg,wtv,dv,yuv4mpegpipe,gif,"  # with pictures
    "wav,mp3,flac,aac"
)
FLAGS = ("-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info", "-y")
# After a failed allocation ffmpeg may continue, lose frames and still exit with 0, so its messages count. The second
# message is what it says when there is no memory for the stack of a thread.
NO_MEMORY = ("Cannot allocate memory", "Resource temporarily unavailable")


@dataclass(frozen=True)
class FfmpegResult:
    """The result of a child: its exit `code` (negative: the signal that ended it), and its `log` with levels."""

    code: int
    log: str

    @property
    def errors(self) -> list[str]:
        """The lines logged as errors or worse, without prefixes, oldest first."""
        marks = ("[error] ", "[fatal] ", "[panic] ")
        return [line.split(m, 1)[1].strip() for line in self.log.splitlines() for m in marks if m in line]


@functools.cache
def ffmpeg_binary() -> str:
    """Returns the path of the ffmpeg that comes with imageio-ffmpeg.

    It is looked up here because that library would run it first, to see whether it works, and remember a failure
    forever, even if somebody just killed that child.
    """
    import imageio_ffmpeg

    own = sorted(Path(imageio_ffmpeg.__file__).with_name("binaries").glob("ffmpeg-*"))
    return os.environ.get("IMAGEIO_FFMPEG_EXE") or str(own[0] if own else imageio_ffmpeg.get_ffmpeg_exe())


def media_input(path: str | os.PathLike[str], **options: Any) -> Any:
    """Returns the ffmpeg-python input for one local media file that came from a stranger.

    The `file:` prefix makes every name harmless (leading dashes, colons, quotes, newlines). The whitelists prevent that
    the file makes ffmpeg open another file or the network.
    """
    import ffmpeg

    return ffmpeg.input("file:" + os.fspath(path), protocol_whitelist="file", format_whitelist=FORMATS, **options)


def run_ffmpeg(
    arguments: Sequence[str], limits: Limits, pipes: Sequence[Pipe] = (), child_log: BoundedLog | None = None
) -> FfmpegResult:
    """Runs ffmpeg to its end and gives what it writes to each pipe to the pipe's sink.

    Args:
        arguments: the command without its binary, as ffmpeg-python's `get_args` returns it.
        limits: bounds of time and memory.
        pipes, child_log: as for `run_child`.

    Returns:
        Exit code and log. The caller decides what a code other than 0 means.

    Raises:
        DeadlinePassed, MemoryExhausted: a bound was reached.
        Killed: somebody else ended the child.
        Exception: whatever a sink raises. In every case the child is gone and nothing is left behind.
    """
    command = [ffmpeg_binary(), *FLAGS, *arguments]
    child_log = child_log if child_log is not None else BoundedLog()
    done = run_child(command, limits, pipes, child_log, {"AV_LOG_FORCE_NOCOLOR": "1"})
    result = FfmpegResult(done.code, done.log)
    if any(message in line for line in result.errors for message in NO_MEMORY):
        raise MemoryExhausted(f"ffmpeg needed more than {limits.memory / 2**20:.0f} MiB of memory")
    return result

"""The cost of reading videos: processor time of `Decode` and of the features, against bare decoding.

The image encoder is left out. It is the command `diff-v2m experiment decode-cost`.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from jobs.options import SettingsError
from stages.contracts import MANIFEST, rows_of, table_of
from stages.decode import Decode
from stages.extract_features import plain_features
from stages.video.decode_settings import DecodeSettings
from stages.video.ffmpeg import ffmpeg_binary
from stages.video.motion.flow import FlowMeter

CLIP_SIZE = 224
"""Side of the frames for the image encoder in pixels: that of the released ViT-B/32."""


@dataclass(frozen=True)
class DecodeCost:
    """Processor seconds of this process and its children.

    Attributes:
        ours: seconds of decoding with features, one value for each repeat.
        without_flow: the same without optical flow, measured right after `ours`.
        bare: seconds of bare decoding, measured right after that.
        cold: seconds of ours in a fresh interpreter, imports included.
    """

    ours: list[float]
    without_flow: list[float]
    bare: list[float]
    cold: float

    @property
    def ratios(self) -> list[float]:
        """Ours over bare decoding, for each pair."""
        return [ours / bare for ours, bare in zip(self.ours, self.bare, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def flow_ratio(self) -> float:
        """The median of the ratios of ours to ours without flow."""
        return statistics.median(ours / other for ours, other in zip(self.ours, self.without_flow, strict=True))

    @property
    def cold_ratio(self) -> float:
        """The ratio for a process that reads one video and ends."""
        return self.cold / statistics.median(self.bare)

    def __str__(self) -> str:
        ours, bare, ratios = statistics.median(self.ours), statistics.median(self.bare), self.ratios
        return (
            f"decode and features: {ours:.2f} s, bare decode: {bare:.2f} s (medians of {len(self.ours)})\n"
            f"ratio {self.ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f}), imports included {self.cold_ratio:.2f}\n"
            f"with flow over without: {self.flow_ratio:.2f}"
        )


def read_once(video: Path) -> None:
    """Decodes one video and computes the features that need no network, through the stages' own tables.

    Raises:
        SettingsError: the video cannot be read.
    """
    if not video.is_file():
        raise SettingsError(f"{video} is no file: name a video")
    row = {"item_id": "cost", "content_id": "cost", "uri": str(video), "output": "", "size": video.stat().st_size}
    decoded = rows_of(Decode(DecodeSettings(clip_size=CLIP_SIZE))(table_of([row], MANIFEST)))[0]
    if decoded["error"]:
        raise SettingsError(f"{video}: {decoded['error']['message']}")
    plain_features(decoded)


def bare_decode(video: Path) -> None:
    """Lets the bundled ffmpeg decode to nothing, with its own defaults: `-i VIDEO -f null -`."""
    subprocess.run([ffmpeg_binary(), "-v", "error", "-nostdin", "-i", str(video), "-f", "null", "-"], check=True)


def measure(video: Path, repeats: int = 7) -> DecodeCost:
    """Measures all three in turn, after one call of each to warm up.

    Raises:
        SettingsError: the video cannot be read.
    """
    read_once(video)
    bare_decode(video)
    calls = (read_once, _read_without_flow, bare_decode)
    rounds = [[_processor_seconds(call, video) for call in calls] for _ in range(repeats)]
    ours, without_flow, bare = (list(times) for times in zip(*rounds, strict=True))
    return DecodeCost(ours, without_flow, bare, _processor_seconds(_read_in_new_process, video))


def _read_without_flow(video: Path) -> None:
    with mock.patch.object(FlowMeter, "add", return_value=None):
        read_once(video)


def _read_in_new_process(video: Path) -> None:
    code = (
        "import sys, pathlib, jobs.studies.decode_cost; jobs.studies.decode_cost.read_once(pathlib.Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, str(video)], check=True)


def _processor_seconds(call: Callable[[Path], None], video: Path) -> float:
    """Processor seconds that a call takes in this process and in the children that end in it."""

    def now() -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    before = now()
    call(video)
    return now() - before

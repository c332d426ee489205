"""What reading videos costs: processor time of Decode and Features, image encoder apart, against bare decoding.

Run as `python -m jobs.studies.decode_cost VIDEO [--repeats 7]`.
"""

from __future__ import annotations

import argparse
import logging
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stages.contracts import MANIFEST, rows_of, table_of
from stages.decode import Decode
from stages.extract_features import plain_features
from stages.video import ffmpeg as child

log = logging.getLogger("jobs.studies.decode_cost")


@dataclass(frozen=True)
class Cost:
    """Processor seconds, own and of children: lists hold one number for each repeat, taken in pairs."""

    ours: list[float]
    bare: list[float]
    cold: float  # ours in a fresh interpreter, imports included

    @property
    def ratio(self) -> float:
        """Median over the pairs of ours over bare."""
        return statistics.median(a / b for a, b in zip(self.ours, self.bare, strict=True))

    @property
    def cold_ratio(self) -> float:
        """The same for a process that reads one video and ends."""
        return self.cold / statistics.median(self.bare)


def read_once(video: Path) -> None:
    """Decode one video and compute the features that need no network, through the stages' own tables."""
    row = {"item_id": "cost", "content_id": "cost", "uri": str(video), "output": "", "size": video.stat().st_size}
    decoded = rows_of(Decode()(table_of([row], MANIFEST)))[0]
    if decoded["error"]:
        raise SystemExit(f"{video}: {decoded['error']['message']}")
    plain_features(decoded)


def bare_decode(video: Path) -> None:
    """The bundled ffmpeg decoding to nothing, with its own defaults: `-i VIDEO -f null -`."""
    subprocess.run([child.binary(), "-v", "error", "-nostdin", "-i", str(video), "-f", "null", "-"], check=True)


def measure(video: Path, repeats: int = 7) -> Cost:
    """Measure in pairs, after one call of each to warm up."""
    read_once(video)
    bare_decode(video)
    pairs = [(_processor_seconds(read_once, video), _processor_seconds(bare_decode, video)) for _ in range(repeats)]
    return Cost([a for a, _ in pairs], [b for _, b in pairs], _processor_seconds(_read_in_new_process, video))


def _read_in_new_process(video: Path) -> None:
    code = (
        "import sys, pathlib, jobs.studies.decode_cost; jobs.studies.decode_cost.read_once(pathlib.Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, str(video)], check=True)


def _processor_seconds(call: Callable[[Path], None], video: Path) -> float:
    def now() -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    before = now()
    call(video)
    return now() - before


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.studies.decode_cost", description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    cost = measure(arguments.video, arguments.repeats)
    ours, bare = statistics.median(cost.ours), statistics.median(cost.bare)
    log.info("decode and features: %.2f s, bare decode: %.2f s (medians of %d)", ours, bare, arguments.repeats)
    ratios = sorted(a / b for a, b in zip(cost.ours, cost.bare, strict=True))
    log.info("ratio %.2f (%.2f to %.2f), imports included %.2f", cost.ratio, ratios[0], ratios[-1], cost.cold_ratio)


if __name__ == "__main__":
    main()

"""Rates: what the work of each stage costs, fitted to what was measured, or read from a recorded profile."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pipeline.cluster.resources import Layout
from stages.contracts import Row

RECORDED = Path(__file__).with_name("rates.json")
"""Of the tiny preset on a small machine without a GPU; says so itself."""


class RatesError(ValueError):
    """Rates that cannot be read, in one line."""


@dataclass(frozen=True)
class Cost:
    """Seconds of one worker of a stage: for every video, and for every second of it."""

    fixed: float
    per_second: float

    def of(self, videos: int, seconds: float) -> float:
        """Seconds for so many videos that last so many seconds together."""
        return self.fixed * videos + self.per_second * seconds


@dataclass(frozen=True)
class Rates:
    """What stages cost.

    Attributes:
        source: where the numbers come from, for a person.
        busy: processors that a second of a stage's work keeps busy, where no GPU does it.
        gpus: GPUs that it was measured with.
        stages: of each stage, in the order of a video's way.
    """

    source: str
    busy: float
    gpus: float
    stages: Mapping[str, Cost]

    @classmethod
    def read(cls, path: Path) -> Rates:
        """Raises RatesError: it cannot be read, or is no profile."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            stages = {name: Cost(**cost) for name, cost in raw.pop("stages").items()}
            return cls(stages=stages, **raw)
        except (OSError, ValueError, TypeError, AttributeError, KeyError) as fault:
            raise RatesError(f"{path} is no profile of rates ({' '.join(str(fault).split())[:200]})") from fault

    def write(self, path: Path) -> None:
        """Keep as a profile. Raises OSError."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def seconds(self, videos: int, seconds: float, layout: Layout, cores: float) -> float:
        """Wall time of a run, its start apart: of the stage that takes longest, or of all processors together.

        Args:
            videos, seconds: how many, and how long all of them are.
            layout: workers of each stage.
            cores: processors.
        """
        work = {stage: cost.of(videos, seconds) for stage, cost in self.stages.items()}
        alone = max((total / layout[stage].workers for stage, total in work.items()), default=0.0)
        shared = sum(total for stage, total in work.items() if not layout[stage].num_gpus)
        return max(alone, shared * self.busy / cores)


def fitted(rows: Iterable[Row], source: str, busy: float, gpus: float) -> Rates:
    """Rates from rows with the `duration` of a video and the `seconds` of its stages.

    A line with no negative part is fitted to each stage by least squares; lengths that are all alike are taken as
    proportional.

    Raises:
        RatesError: there is no row.
    """
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for stage, seconds in dict(row["seconds"] or {}).items():
            if row["duration"]:
                points.setdefault(stage, []).append((row["duration"], seconds))
    if not points:
        raise RatesError(f"{source}: nothing was measured there")
    return Rates(source, busy, gpus, {stage: _line(found) for stage, found in points.items()})


def _line(points: list[tuple[float, float]]) -> Cost:
    from scipy.optimize import nnls

    lengths, seconds = np.array(points).T
    if np.ptp(lengths) < 1e-3:
        return Cost(0.0, float(seconds.mean() / lengths.mean()))
    (fixed, per_second), _ = nnls(np.stack((np.ones_like(lengths), lengths), 1), seconds)
    return Cost(float(fixed), float(per_second))

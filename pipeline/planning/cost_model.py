"""The cost model: how long each stage works on a video, fitted to measurements or read from a file of rates."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from models.errors import UserError
from pipeline.cluster.resources import Layout
from stages.contracts import Row

RECORDED_RATES = Path(__file__).with_name("rates.json")
"""Rates of the tiny preset on a small machine without a GPU, as the file itself says."""


class CostModelError(UserError):
    """Rates cannot be read, measured or written."""


@dataclass(frozen=True)
class StageCost:
    """The work of one worker of a stage: a line over the length of a video.

    Attributes:
        fixed: seconds of work for every video, however short.
        per_second: seconds of work for every second of a video.
    """

    fixed: float
    per_second: float

    def work(self, videos: int, seconds: float) -> float:
        """Returns the seconds of work for a number of videos that last `seconds` together."""
        return self.fixed * videos + self.per_second * seconds


@dataclass(frozen=True)
class CostModel:
    """The costs of all stages, as a file of rates holds them.

    Attributes:
        source: origin of the numbers, for people.
        busy: number of processors that a second of a stage's work keeps busy, if no GPU does it.
        gpus: number of GPUs that the costs were measured with.
        stages: cost of each stage, in the order of the stages.
    """

    source: str
    busy: float
    gpus: float
    stages: Mapping[str, StageCost]

    @classmethod
    def read(cls, path: Path) -> CostModel:
        """Reads a file of rates.

        Raises:
            CostModelError: it cannot be read, or holds no rates.
        """
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            stages = {name: StageCost(**cost) for name, cost in raw.pop("stages").items()}
            return cls(stages=stages, **raw)
        except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise CostModelError(f"{path} is no profile of rates ({' '.join(str(error).split())[:200]})") from error

    def write(self, path: Path) -> None:
        """Writes a file of rates.

        Raises:
            OSError: it cannot be written.
        """
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def wall_seconds(self, videos: int, seconds: float, layout: Layout, cores: float) -> float:
        """Returns the wall time of a run without its start, in seconds.

        It is the time of the stage that takes longest, or the time of all processors together if that is longer.

        Args:
            videos: number of videos.
            seconds: seconds that all videos last together.
            layout: workers of each stage.
            cores: number of processors.
        """
        work = {stage: cost.work(videos, seconds) for stage, cost in self.stages.items()}
        slowest_stage = max((total / layout[stage].workers for stage, total in work.items()), default=0.0)
        on_processors = sum(total for stage, total in work.items() if not layout[stage].num_gpus)
        return max(slowest_stage, on_processors * self.busy / cores)


def fit_cost_model(rows: Iterable[Row], source: str, busy: float, gpus: float) -> CostModel:
    """Fits a line to each stage's measurements by least squares, with neither part negative.

    If all videos are equally long, the work is taken to be proportional to the length.

    Args:
        rows: rows with the `duration` of a video and the `seconds` that each stage worked on it.
        source: see `CostModel`; so for `busy` and `gpus`.

    Raises:
        CostModelError: no row has measurements.
    """
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for stage, seconds in dict(row["seconds"] or {}).items():
            if row["duration"]:
                points.setdefault(stage, []).append((row["duration"], seconds))
    if not points:
        raise CostModelError(f"{source}: nothing was measured there")
    return CostModel(source, busy, gpus, {stage: _fit_line(measured) for stage, measured in points.items()})


def _fit_line(points: list[tuple[float, float]]) -> StageCost:
    """Fits the cost of one stage to points (seconds of a video, seconds of work)."""
    from scipy.optimize import nnls

    lengths, seconds = np.array(points).T
    if np.ptp(lengths) < 1e-3:
        return StageCost(0.0, float(seconds.mean() / lengths.mean()))
    (fixed, per_second), _ = nnls(np.stack((np.ones_like(lengths), lengths), 1), seconds)
    return StageCost(float(fixed), float(per_second))

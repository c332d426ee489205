"""The bars that a model is held to: what each asks for, whether a measured value clears it, and the table of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from models.metrics.metrics import Interval

RESAMPLES = 10_000


class Kind(StrEnum):
    """Which values are good: high ones, low ones, or those near a target."""

    LEAST = "at least"
    MOST = "at most"
    NEAR = "near"


class Verdict(StrEnum):
    """How a value stands to its bar."""

    BELOW = "below floor"
    FLOOR = "floor"
    AIM = "aim"
    NONE = "for information"


@dataclass(frozen=True)
class Bar:
    """What is asked of one measure.

    Attributes:
        floor: the value that must be reached; of a bar that is near a target, the most that it may be off.
        aim: the value that is hoped for; None where the floor is all that is asked.
        kind: whether values must be at least that, at most that, or near the target.
        target: of a bar that is near one.
        percent: whether values are shown as percentages.
        signed: whether values are shown with their sign, as differences are.
    """

    floor: float
    aim: float | None = None
    kind: Kind = Kind.LEAST
    target: float = 0.0
    percent: bool = False
    signed: bool = False

    def verdict(self, value: float) -> Verdict:
        """How a value stands; one that is not a number is below every floor."""
        if self._clears(value, self.floor):
            return Verdict.AIM if self.aim is None or self._clears(value, self.aim) else Verdict.FLOOR
        return Verdict.BELOW

    def _clears(self, value: float, bound: float) -> bool:
        if self.kind is Kind.LEAST:
            return value >= bound
        return (abs(value - self.target) if self.kind is Kind.NEAR else value) <= bound

    def bounds(self) -> tuple[str, str]:
        """Floor and aim as a person reads them."""
        if self.kind is Kind.NEAR:
            what = f"abs(x - {self.target:g})" if self.target else "abs(x)"
            return f"{what} <= {self.floor:.2f}", "" if self.aim is None else f"{what} <= {self.aim:.2f}"
        return self.shown(self.floor), "" if self.aim is None else self.shown(self.aim)

    def shown(self, value: float) -> str:
        """A value in the bar's form."""
        if self.percent:
            return f"{value:.0%}"
        return f"{value:+.2f}" if self.signed else f"{value:.2f}"


BARS: dict[str, Bar] = {
    "VAE, held-out: log-mel L1": Bar(0.50, 0.30, Kind.MOST),
    "VAE, held-out: onset-strength correlation": Bar(0.93, 0.97),
    "VAE, held-out: chroma correlation per frame": Bar(0.80, 0.95),
    "in tune: key clarity over that of held-out music": Bar(0.80, 1.0),
    "pulse: beat autocorrelation over that of held-out music": Bar(0.50, 0.90),
    "given curve: r per second": Bar(0.80, 0.90),
    "given curve: strong accents within 0.1 s minus chance": Bar(0.60, 0.75, signed=True),
    "picture: r per second with the predicted curve": Bar(0.55, 0.75),
    "picture: cuts hit within 0.1 s minus chance": Bar(0.40, 0.60, signed=True),
    "pictures shuffled among clips: r per second": Bar(0.10, kind=Kind.NEAR, signed=True),
    "mood: mode and tempo right": Bar(0.75, 0.90, percent=True),
    "spectrum: Frechet distance over that of VAE reconstructions": Bar(3.0, 1.5, Kind.MOST),
    "long video: onset strength at joins over elsewhere": Bar(0.10, kind=Kind.NEAR, target=1.0),
    "long video: spectral flux at joins over elsewhere": Bar(0.10, kind=Kind.NEAR, target=1.0),
    "real videos: cuts hit within 0.1 s minus chance": Bar(0.25, 0.40, signed=True),
}
"""The bars of `diff-v2m evaluate`, by the name of what is measured."""


@dataclass(frozen=True)
class Result:
    """What was measured.

    Attributes:
        name: of the measure, a key of `BARS` if it has a bar.
        value: with its interval of 95%.
        clips: over which it was taken.
        bar: what is asked of it; None for what is told beside.
        details: more numbers.
    """

    name: str
    value: Interval
    clips: int
    bar: Bar | None = None
    details: Mapping[str, float] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        return Verdict.NONE if self.bar is None else self.bar.verdict(self.value.mean)

    @property
    def facts(self) -> dict[str, Any]:
        """For machines."""
        bar = (
            None if self.bar is None else {n: v for n, v in asdict(self.bar).items() if n not in ("percent", "signed")}
        )
        return {
            "name": self.name,
            "value": self.value.mean,
            "low": self.value.low,
            "high": self.value.high,
            "clips": self.clips,
            "bar": bar,
            "verdict": str(self.verdict),
            "details": dict(self.details),
        }

    @property
    def cells(self) -> tuple[str, ...]:
        """Name, value, interval, floor, aim, verdict, clips: as a person reads them."""
        shown = (self.bar or Bar(0.0)).shown
        low, high = shown(self.value.low), shown(self.value.high)
        floor, aim = self.bar.bounds() if self.bar is not None else ("", "")
        verdict = "" if self.bar is None else str(self.verdict)
        return self.name, shown(self.value.mean), f"{low} .. {high}", floor, aim, verdict, str(self.clips)


def barred(name: str, value: Interval, clips: int, **details: float) -> Result:
    """The result of a measure that has a bar."""
    return Result(name, value, clips, BARS[name], details)


HEAD = ("", "measured", "95%", "floor", "aim", "verdict", "clips")


def markdown(results: Sequence[Result]) -> str:
    """Two tables: what has a bar, and what is told beside it."""
    judged = [result for result in results if result.bar is not None]
    beside = [result for result in results if result.bar is None]
    parts = [_table(HEAD, [result.cells for result in judged])] if judged else []
    if beside:
        rows = [(*result.cells[:3], result.cells[-1]) for result in beside]
        parts.append(_table(("for information", "measured", "95%", "clips"), rows))
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def resampled(
    statistic: Callable[[np.ndarray], float], clips: int, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """A statistic of a set of clips with its 95% bootstrap interval (percentiles).

    Args:
        statistic: of the clips of these indices [clips], some of them repeated; it must be finite.
        clips: how many there are, at least one.
        seed: of the draws.
        resamples: how often the set is drawn again.
    """
    if clips < 1:
        raise ValueError("a statistic takes at least one clip, got none")
    rng = np.random.default_rng(seed)
    values = [statistic(rng.integers(clips, size=clips)) for _ in range(resamples)]
    low, high = np.percentile(values, (2.5, 97.5))
    return Interval(statistic(np.arange(clips)), float(low), float(high))


def ratio_of_means(upper: Sequence[float], lower: Sequence[float], seed: int = 0) -> Interval:
    """Mean of `upper` over mean of `lower`, a pair for each clip, with its interval; `lower` is above 0."""
    above, below = np.asarray(upper, np.float64), np.asarray(lower, np.float64)
    if above.shape != below.shape or not np.isfinite(above).all() or not (below > 0).all():
        raise ValueError("a ratio takes two finite numbers for each clip, the lower above 0")
    return resampled(lambda index: float(above[index].mean() / below[index].mean()), len(above), seed)

"""The thresholds that a model is measured against, the verdict on a measured value, and the table of all results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from models.metrics.metrics import Interval

RESAMPLES = 10_000


class ThresholdKind(StrEnum):
    """The kind of a threshold: high values are good, low values are good, or values near a given one."""

    AT_LEAST = "at least"
    AT_MOST = "at most"
    NEAR = "near"


class Verdict(StrEnum):
    """The verdict on a value: the part of its threshold that it reaches."""

    BELOW = "below floor"
    MINIMUM = "floor"
    TARGET = "aim"
    NONE = "for information"


@dataclass(frozen=True)
class Threshold:
    """The values that a measure must reach and should reach.

    Attributes:
        minimum: the value that must be reached: a lower bound, for `AT_MOST` an upper bound, and for `NEAR` the largest
            allowed distance from `center`. Tables and files call it the floor.
        target: the value that should be reached; None where the minimum is all that is asked for. Tables and files call
            it the aim.
        kind: whether values must be at least the bounds, at most the bounds, or near `center`.
        center: the best value of a `NEAR` threshold.
        percent: whether values are shown as percentages.
        signed: whether values are shown with a sign, as differences are.
    """

    minimum: float
    target: float | None = None
    kind: ThresholdKind = ThresholdKind.AT_LEAST
    center: float = 0.0
    percent: bool = False
    signed: bool = False

    def verdict(self, value: float) -> Verdict:
        """Returns what a value reaches; a value that is not a number reaches nothing."""
        if self._reaches(value, self.minimum):
            return Verdict.TARGET if self.target is None or self._reaches(value, self.target) else Verdict.MINIMUM
        return Verdict.BELOW

    def _reaches(self, value: float, bound: float) -> bool:
        if self.kind is ThresholdKind.AT_LEAST:
            return value >= bound
        return (abs(value - self.center) if self.kind is ThresholdKind.NEAR else value) <= bound

    def format_bounds(self) -> tuple[str, str]:
        """Returns minimum and target as text for the table."""
        if self.kind is ThresholdKind.NEAR:
            distance = f"abs(x - {self.center:g})" if self.center else "abs(x)"
            return (
                f"{distance} <= {self.minimum:.2f}",
                "" if self.target is None else f"{distance} <= {self.target:.2f}",
            )
        return self.format(self.minimum), "" if self.target is None else self.format(self.target)

    def format(self, value: float) -> str:
        """Returns a value as text for the table."""
        if self.percent:
            return f"{value:.0%}"
        return f"{value:+.2f}" if self.signed else f"{value:.2f}"

    def to_dict(self) -> dict[str, Any]:
        """Returns the entry `bar` of a result in `evaluation.json`."""
        return {"floor": self.minimum, "aim": self.target, "kind": self.kind, "target": self.center}


THRESHOLDS: dict[str, Threshold] = {
    "VAE, held-out: log-mel L1": Threshold(0.50, 0.30, ThresholdKind.AT_MOST),
    "VAE, held-out: onset-strength correlation": Threshold(0.93, 0.97),
    "VAE, held-out: chroma correlation per frame": Threshold(0.80, 0.95),
    "in tune: key clarity over that of held-out music": Threshold(0.80, 1.0),
    "pulse: beat autocorrelation over that of held-out music": Threshold(0.50, 0.90),
    "given curve: r per second": Threshold(0.80, 0.90),
    "given curve: strong accents within 0.1 s minus chance": Threshold(0.60, 0.75, signed=True),
    "picture: r per second with the predicted curve": Threshold(0.55, 0.75),
    "picture: cuts hit within 0.1 s minus chance": Threshold(0.40, 0.60, signed=True),
    "pictures shuffled among clips: r per second": Threshold(0.10, kind=ThresholdKind.NEAR, signed=True),
    "mood: mode and tempo right": Threshold(0.75, 0.90, percent=True),
    "spectrum: Frechet distance over that of VAE reconstructions": Threshold(3.0, 1.5, ThresholdKind.AT_MOST),
    "long video: onset strength at joins over elsewhere": Threshold(0.10, kind=ThresholdKind.NEAR, center=1.0),
    "long video: spectral flux at joins over elsewhere": Threshold(0.10, kind=ThresholdKind.NEAR, center=1.0),
    "real videos: cuts hit within 0.1 s minus chance": Threshold(0.25, 0.40, signed=True),
}
"""The thresholds of `diff-v2m evaluate`, by the name of the measure."""


@dataclass(frozen=True)
class Result:
    """A measured value.

    Attributes:
        name: name of the measure, a key of `THRESHOLDS` if it has a threshold.
        value: the value with its 95% interval.
        clips: number of clips that it was measured on.
        threshold: the threshold of the measure; None for a measure that is shown for information.
        details: further numbers by name.
    """

    name: str
    value: Interval
    clips: int
    threshold: Threshold | None = None
    details: Mapping[str, float] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        return Verdict.NONE if self.threshold is None else self.threshold.verdict(self.value.mean)

    def to_dict(self) -> dict[str, Any]:
        """Returns the entry of the result in `evaluation.json`."""
        return {
            "name": self.name,
            "value": self.value.mean,
            "low": self.value.low,
            "high": self.value.high,
            "clips": self.clips,
            "bar": None if self.threshold is None else self.threshold.to_dict(),
            "verdict": str(self.verdict),
            "details": dict(self.details),
        }

    @property
    def cells(self) -> tuple[str, ...]:
        """The table cells of the result, in the order of `HEAD`."""
        format_value = (self.threshold or Threshold(0.0)).format
        low, high = format_value(self.value.low), format_value(self.value.high)
        minimum, target = self.threshold.format_bounds() if self.threshold is not None else ("", "")
        verdict = "" if self.threshold is None else str(self.verdict)
        return self.name, format_value(self.value.mean), f"{low} .. {high}", minimum, target, verdict, str(self.clips)


def with_threshold(name: str, value: Interval, clips: int, **details: float) -> Result:
    """Returns the result of a measure that has a threshold."""
    return Result(name, value, clips, THRESHOLDS[name], details)


HEAD = ("", "measured", "95%", "floor", "aim", "verdict", "clips")


def markdown(results: Sequence[Result]) -> str:
    """Returns two Markdown tables: the results with a threshold, and those for information."""
    with_verdict = [result for result in results if result.threshold is not None]
    for_information = [result for result in results if result.threshold is None]
    parts = [_table(HEAD, [result.cells for result in with_verdict])] if with_verdict else []
    if for_information:
        rows = [(*result.cells[:3], result.cells[-1]) for result in for_information]
        parts.append(_table(("for information", "measured", "95%", "clips"), rows))
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def resampled(
    statistic: Callable[[np.ndarray], float], clips: int, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """Returns a statistic of a set of clips with its 95% bootstrap interval (percentiles).

    Args:
        statistic: function of the indices of clips, [clips], some of them repeated; its value must be finite.
        clips: number of clips, at least one.
        seed: seed of the draws.
        resamples: how often the set is drawn again.
    """
    if clips < 1:
        raise ValueError("a statistic takes at least one clip, got none")
    rng = np.random.default_rng(seed)
    values = [statistic(rng.integers(clips, size=clips)) for _ in range(resamples)]
    low, high = np.percentile(values, (2.5, 97.5))
    return Interval(statistic(np.arange(clips)), float(low), float(high))


def ratio_of_means(numerators: Sequence[float], denominators: Sequence[float], seed: int = 0) -> Interval:
    """Returns the mean of `numerators` over that of `denominators` (above 0), a pair per clip, with its interval."""
    above, below = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    if above.shape != below.shape or not np.isfinite(above).all() or not (below > 0).all():
        raise ValueError("a ratio takes two finite numbers for each clip, the lower above 0")
    return resampled(lambda index: float(above[index].mean() / below[index].mean()), len(above), seed)

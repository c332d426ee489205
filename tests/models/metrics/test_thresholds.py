"""Thresholds and verdicts, on values with known verdicts."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from models.metrics.metrics import Interval, interval
from models.metrics.thresholds import (
    THRESHOLDS,
    Result,
    Threshold,
    ThresholdKind,
    Verdict,
    markdown,
    ratio_of_means,
    resampled,
    with_threshold,
)


@pytest.mark.parametrize(
    ("threshold", "value", "verdict"),
    [
        (Threshold(0.8, 0.9), 0.79, Verdict.BELOW),
        (Threshold(0.8, 0.9), 0.8, Verdict.MINIMUM),
        (Threshold(0.8, 0.9), 0.9, Verdict.TARGET),
        (Threshold(0.5, 0.3, ThresholdKind.AT_MOST), 0.51, Verdict.BELOW),
        (Threshold(0.5, 0.3, ThresholdKind.AT_MOST), 0.4, Verdict.MINIMUM),
        (Threshold(0.5, 0.3, ThresholdKind.AT_MOST), 0.1, Verdict.TARGET),
        (Threshold(0.1, kind=ThresholdKind.NEAR), -0.11, Verdict.BELOW),
        (Threshold(0.1, kind=ThresholdKind.NEAR), -0.09, Verdict.TARGET),
        (Threshold(0.1, kind=ThresholdKind.NEAR, center=1.0), 1.2, Verdict.BELOW),
        (Threshold(0.1, kind=ThresholdKind.NEAR, center=1.0), 0.95, Verdict.TARGET),
        (Threshold(0.8, 0.9), math.nan, Verdict.BELOW),
        (Threshold(0.5, 0.3, ThresholdKind.AT_MOST), math.nan, Verdict.BELOW),
    ],
)
def test_verdicts(threshold: Threshold, value: float, verdict: Verdict) -> None:
    assert threshold.verdict(value) is verdict


def test_targets_are_no_easier_than_minimums() -> None:
    for name, threshold in THRESHOLDS.items():
        if threshold.target is not None:
            assert (threshold.target < threshold.minimum) == (threshold.kind is ThresholdKind.AT_MOST), name
            assert threshold.verdict(threshold.target) is Verdict.TARGET
            assert threshold.verdict(threshold.minimum) is Verdict.MINIMUM


def test_table() -> None:
    results = [
        with_threshold("mood: mode and tempo right", Interval(0.8, 0.7, 0.9), 32),
        with_threshold("picture: cuts hit within 0.1 s minus chance", Interval(0.61, 0.5, 0.7), 64, more=1.0),
        with_threshold("pictures shuffled among clips: r per second", Interval(-0.2, -0.3, -0.1), 64),
        Result("held-out music itself", Interval(0.5, 0.4, 0.6), 64),
    ]
    page = markdown(results)
    assert "| mood: mode and tempo right | 80% | 70% .. 90% | 75% | 90% | floor | 32 |" in page
    assert "+0.61 | +0.50 .. +0.70 | +0.40 | +0.60 | aim | 64 |" in page
    assert "-0.20 | -0.30 .. -0.10 | abs(x) <= 0.10 |  | below floor | 64 |" in page
    assert "| held-out music itself | 0.50 | 0.40 .. 0.60 | 64 |" in page
    facts = json.loads(json.dumps([result.to_dict() for result in results]))
    assert facts[0]["bar"] == {"floor": 0.75, "aim": 0.9, "kind": "at least", "target": 0.0}
    assert facts[1]["details"] == {"more": 1.0}
    assert [fact["verdict"] for fact in facts] == ["floor", "aim", "below floor", "for information"]


def test_ratio_of_means() -> None:
    lower = [1.0, 2.0, 3.0, 2.0]
    found = ratio_of_means([0.5 * x for x in lower], lower)
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    spread = ratio_of_means([0.5, 1.5, 0.5, 1.5], lower)
    assert spread.mean == pytest.approx(0.5)
    assert spread.low < spread.mean < spread.high
    with pytest.raises(ValueError, match="two finite numbers"):
        ratio_of_means([1.0], [0.0])


def test_resampled_is_the_bootstrap_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=30)
    ours, theirs = resampled(lambda i: float(values[i].mean()), 30, resamples=4000), interval(values.tolist())
    assert ours.mean == pytest.approx(theirs.mean)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)
    with pytest.raises(ValueError, match="at least one clip"):
        resampled(lambda i: 0.0, 0)

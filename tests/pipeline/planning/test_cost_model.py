"""Rates: lines through what was measured, profiles, and the reckoning of a run's time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cluster.resources import Layout
from pipeline.planning.cost_model import RECORDED, Cost, Rates, RatesError, fitted


def rows(cost: Cost, *lengths: float) -> list[dict[str, object]]:
    return [{"duration": n, "seconds": {"decode": cost.of(1, n), "sample": 2 * cost.of(1, n)}} for n in lengths]


@given(st.floats(0, 5), st.floats(0.01, 5))
def test_a_line_is_found_again(fixed: float, per_second: float) -> None:
    cost = Cost(fixed, per_second)
    found = fitted(rows(cost, 1.0, 5.0, 20.0, 30.0), "here", 2.0, 0.0)
    assert list(found.stages) == ["decode", "sample"]
    assert found.stages["decode"].of(3, 50.0) == pytest.approx(cost.of(3, 50.0), rel=1e-6)
    assert found.stages["sample"].of(1, 7.0) == pytest.approx(2 * cost.of(1, 7.0), rel=1e-6)


def test_lengths_that_are_alike_are_taken_as_proportional() -> None:
    found = fitted(rows(Cost(1.0, 0.0), 10.0, 10.0), "here", 1.0, 0.0)
    assert found.stages["decode"] == Cost(0.0, pytest.approx(0.1))  # type: ignore[arg-type]


def test_nothing_measured_is_said() -> None:
    with pytest.raises(RatesError, match="there: nothing was measured"):
        fitted([{"duration": None, "seconds": {}}], "there", 1.0, 0.0)


def test_the_slowest_part_decides() -> None:
    stages = dict.fromkeys(("decode", "features", "rhythm", "sound", "mux"), Cost(0.0, 0.1)) | {
        "sample": Cost(0.0, 2.0)
    }
    rates = Rates("x", 1.0, 0.0, stages)
    small = Layout.of(cpus=2)
    assert rates.seconds(10, 100.0, small, 2.0) == pytest.approx(200.0)  # sampling, in its one worker
    busy = Rates("x", 2.0, 0.0, stages)
    assert busy.seconds(10, 100.0, small, 2.0) == pytest.approx(250.0)  # every second of work fills both processors
    large = Layout.of(cpus=64)
    assert rates.seconds(10, 100.0, large, 64.0) < 20


def test_a_profile_comes_back(tmp_path: Path) -> None:
    rates = Rates("x", 1.5, 1.0, {"decode": Cost(0.5, 0.25)})
    rates.write(tmp_path / "rates.json")
    assert Rates.read(tmp_path / "rates.json") == rates
    for text in ("", "[]", '{"stages": {"a": 1}}', '{"stages": {}, "other": 1}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(RatesError, match="is no profile of rates"):
            Rates.read(tmp_path / "bad.json")


def test_the_recorded_profile_knows_every_stage() -> None:
    recorded = Rates.read(RECORDED)
    assert set(recorded.stages) == set(Layout.of(cpus=2).pools)
    assert recorded.source

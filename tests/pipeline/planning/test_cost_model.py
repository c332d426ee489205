"""The cost model: lines fitted to measurements, files of rates, and the estimate of a run's time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cluster.resources import Layout
from pipeline.planning.cost_model import RECORDED_RATES, CostModel, CostModelError, StageCost, fit_cost_model
from pipeline.scoring.steps import STAGE_SHARES, STAGES


def rows(cost: StageCost, *lengths: float) -> list[dict[str, object]]:
    return [{"duration": n, "seconds": {"decode": cost.work(1, n), "sample": 2 * cost.work(1, n)}} for n in lengths]


@given(st.floats(0, 5), st.floats(0.01, 5))
def test_a_line_is_found_again(fixed: float, per_second: float) -> None:
    cost = StageCost(fixed, per_second)
    found = fit_cost_model(rows(cost, 1.0, 5.0, 20.0, 30.0), "here", 2.0, 0.0)
    assert list(found.stages) == ["decode", "sample"]
    assert found.stages["decode"].work(3, 50.0) == pytest.approx(cost.work(3, 50.0), rel=1e-6)
    assert found.stages["sample"].work(1, 7.0) == pytest.approx(2 * cost.work(1, 7.0), rel=1e-6)


def test_lengths_that_are_alike_are_taken_as_proportional() -> None:
    found = fit_cost_model(rows(StageCost(1.0, 0.0), 10.0, 10.0), "here", 1.0, 0.0)
    assert found.stages["decode"] == StageCost(0.0, pytest.approx(0.1))  # type: ignore[arg-type]


def test_nothing_measured_is_said() -> None:
    with pytest.raises(CostModelError, match="there: nothing was measured"):
        fit_cost_model([{"duration": None, "seconds": {}}], "there", 1.0, 0.0)


def test_the_slowest_part_decides() -> None:
    stages = dict.fromkeys(("decode", "features", "rhythm", "sound", "mux"), StageCost(0.0, 0.1)) | {
        "sample": StageCost(0.0, 2.0)
    }
    rates = CostModel("x", 1.0, 0.0, stages)
    small = Layout.of(STAGE_SHARES, cpus=2)
    assert rates.wall_seconds(10, 100.0, small, 2.0) == pytest.approx(200.0)  # sampling, in its one worker
    busy = CostModel("x", 2.0, 0.0, stages)
    # Every second of work fills both processors.
    assert busy.wall_seconds(10, 100.0, small, 2.0) == pytest.approx(250.0)
    large = Layout.of(STAGE_SHARES, cpus=64)
    assert rates.wall_seconds(10, 100.0, large, 64.0) < 20


def test_a_profile_comes_back(tmp_path: Path) -> None:
    rates = CostModel("x", 1.5, 1.0, {"decode": StageCost(0.5, 0.25)})
    rates.write(tmp_path / "rates.json")
    assert CostModel.read(tmp_path / "rates.json") == rates
    for text in ("", "[]", '{"stages": {"a": 1}}', '{"stages": {}, "other": 1}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(CostModelError, match="is no profile of rates"):
            CostModel.read(tmp_path / "bad.json")


def test_the_recorded_profile_knows_every_stage() -> None:
    recorded = CostModel.read(RECORDED_RATES)
    assert set(recorded.stages) == set(STAGES)
    assert recorded.source

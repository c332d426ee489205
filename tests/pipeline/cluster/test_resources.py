"""Layouts of machines of every size: workers, processors, GPUs and threads of each stage."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cluster.resources import Layout
from pipeline.scoring.steps import STAGE_SHARES, STAGES


@given(st.integers(1, 512), st.integers(0, 16), st.booleans())
def test_shares_leave_room_and_never_fuse(cpus: int, gpus: int, large: bool) -> None:
    layout = Layout.of(STAGE_SHARES, cpus, gpus, large_model=large)
    assert set(layout.pools) == set(STAGES)
    taken = sum(pool.workers * pool.num_cpus for pool in layout.pools.values())
    assert taken <= (cpus - 1 if cpus > 1 else 0.5) + 1e-9
    assert all(pool.num_cpus <= max(cpus / 2, cpus - 1) for pool in layout.pools.values())
    neighbors = [(layout[stage].num_cpus, layout[stage].num_gpus) for stage in STAGES]
    assert all(a != b for a, b in pairwise(neighbors))
    if gpus:
        assert sum(layout[stage].workers * layout[stage].num_gpus for stage in STAGES) <= gpus + 1e-9


def test_two_cores_run_every_stage() -> None:
    layout = Layout.of(STAGE_SHARES, 2)
    assert [layout[stage].workers for stage in STAGES] == [1] * 6
    assert layout["sample"].threads == 2


def test_one_gpu_is_shared() -> None:
    layout = Layout.of(STAGE_SHARES, 16, 1)
    assert sum(share.gpu for share in STAGE_SHARES.values()) == pytest.approx(1.0)
    assert [layout[stage].num_gpus for stage in STAGES] == [0, 0.1, 0.05, 0.6, 0.25, 0]
    assert layout["decode"].workers > 4


def test_a_large_model_is_held_once_where_there_is_no_gpu() -> None:
    layout = Layout.of(STAGE_SHARES, 64, large_model=True)
    assert [layout[stage].workers for stage in ("rhythm", "sample", "sound")] == [1, 1, 1]
    assert layout["sample"].threads > 16
    assert layout["decode"].workers > 8


def test_no_worker_is_larger_than_a_node() -> None:
    layout = Layout.of(STAGE_SHARES, 32, largest_node=4, large_model=True)
    assert max(pool.num_cpus for pool in layout.pools.values()) <= 3
    assert layout["sample"].threads == 4

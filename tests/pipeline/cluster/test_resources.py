"""Layouts of machines of every size: workers, processors, GPUs and threads of each stage."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cluster.resources import ONE_WORKER_CPUS, Layout, Pool
from pipeline.scoring.steps import STAGE_SHARES, STAGES


@given(st.integers(1, 512), st.integers(0, 16), st.booleans())
def test_shares_leave_room_and_only_one_worker_for_all_is_shared(cpus: int, gpus: int, large: bool) -> None:
    layout = Layout.of(STAGE_SHARES, cpus, gpus, large_model=large)
    assert set(layout.pools) == set(STAGES)
    pools = [layout[group[0]] for group in layout.groups]
    assert sum(pool.workers * pool.num_cpus for pool in pools) <= (cpus - 1 if cpus > 1 else 0.5) + 1e-9
    assert all(pool.num_cpus <= max(cpus / 2, cpus - 1) for pool in pools)
    small = cpus <= ONE_WORKER_CPUS and not gpus and not large
    assert layout.groups == ([STAGES] if small else [(stage,) for stage in STAGES])
    # Ray would fuse neighbors of equal needs.
    assert all((a.num_cpus, a.num_gpus) != (b.num_cpus, b.num_gpus) for a, b in pairwise(pools))
    if gpus:
        assert sum(pool.workers * pool.num_gpus for pool in pools) <= gpus + 1e-9


def test_on_two_cores_one_worker_has_all_stages() -> None:
    layout = Layout.of(STAGE_SHARES, 2)
    assert layout.groups == [STAGES]
    assert {layout[stage] for stage in STAGES} == {Pool(workers=1, num_cpus=1.0, num_gpus=0.0, threads=2)}


def test_small_machines_of_a_cluster_share_its_stages() -> None:
    layout = Layout.of(STAGE_SHARES, 4, largest_node=2)
    assert len(layout.groups) == len(STAGES)


def test_one_gpu_is_shared() -> None:
    layout = Layout.of(STAGE_SHARES, 16, 1)
    assert sum(share.gpu for share in STAGE_SHARES.values()) == pytest.approx(1.0)
    assert [layout[stage].num_gpus for stage in STAGES] == [0, 0.1, 0.05, 0.6, 0.25, 0, 0]
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

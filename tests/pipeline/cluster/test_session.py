"""The session with Ray: its messages do not reach standard output, and helpers that nobody asks for do not start."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.cluster.helpers import few_actors, few_processes
from pipeline.cluster.session import cluster


@pytest.fixture(scope="module")
def session() -> Iterator[None]:
    with cluster(num_cpus=1):
        yield


def test_messages_of_raylets_go_to_the_log(
    session: None, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    import ray

    with caplog.at_level(logging.INFO, "pipeline.cluster.session"):
        message = {"lines": ["A worker died\n", "of age"], "pid": "raylet", "is_err": False}
        ray._private.worker.print_to_stdstream(message, ignore_prefix=False)
    assert capsys.readouterr().out == ""
    assert caplog.messages == ["raylet: A worker died of age"]


def test_a_dataset_runs_with_few_helpers(session: None) -> None:
    """Each Python process costs a second of processor time and 50 MB or more; a run needs five beside its workers."""
    import ray

    table = pa.table({"number": [1, 2, 3]})
    found = ray.data.from_blocks([table]).map_batches(Twice, batch_format="pyarrow", concurrency=1).take_all()
    assert [row["number"] for row in found] == [2, 4, 6]
    scripts = {Path(part).name for process in psutil.Process().children(recursive=True) for part in command(process)}
    assert not scripts & {"monitor.py", "log_monitor.py", "dashboard.py"}
    actors = {name for name in scripts if name.startswith("ray::")}
    assert any("MapWorker" in name for name in actors)
    assert not any("Stats" in name or "Coordinator" in name for name in actors)


def test_what_was_replaced_in_ray_comes_back() -> None:
    from ray._private.node import Node
    from ray.data._internal import stats

    before = Node.start_monitor, stats.get_or_create_stats_actor, stats._StatsManager.gen_dataset_id_from_stats_actor
    with few_processes(), few_actors():
        assert Node.start_monitor is not before[0]
    after = Node.start_monitor, stats.get_or_create_stats_actor, stats._StatsManager.gen_dataset_id_from_stats_actor
    assert after == before


class Twice:
    """Doubles numbers, in a worker."""

    def __call__(self, table: pa.Table) -> pa.Table:
        return pa.table({"number": pc.multiply(table["number"], 2)})


def command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []

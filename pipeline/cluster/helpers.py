"""Ray's helper processes: a cluster of this machine alone starts without those that nobody there asks for.

Each of them is a Python process of 50 to 130 MB that imports Ray, and most also Ray Data: together they would take two
thirds of the processor time of a start. Clusters that are joined by their address keep all of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any
from uuid import uuid4


@contextmanager
def few_processes() -> Iterator[None]:
    """Keeps `ray.init` from starting the monitors and the dashboard of a cluster, within the block.

    The autoscaler's monitor adds and removes machines, the log monitor prints what workers write, and the dashboard's
    server answers to browsers and the job API.
    """
    from ray._private.node import Node

    def no_server(node: Any, **options: Any) -> None:
        node._webui_url = ""

    with ExitStack() as stack:
        stack.enter_context(_replaced(Node, "start_monitor", lambda node: None))
        stack.enter_context(_replaced(Node, "start_log_monitor", lambda node: None))
        stack.enter_context(_replaced(Node, "start_api_server", no_server))
        yield


@contextmanager
def few_actors() -> Iterator[None]:
    """Keeps Ray Data from starting actors that serve the dashboard and the autoscaler, within the block."""
    from ray.data._internal import stats
    from ray.data._internal.cluster_autoscaler import rate_based_cluster_autoscaler as autoscaler

    with ExitStack() as stack:
        stack.enter_context(_replaced(stats, "get_or_create_stats_actor", _NoStatistics))
        stack.enter_context(
            _replaced(stats._StatsManager, "gen_dataset_id_from_stats_actor", staticmethod(lambda: uuid4().hex))
        )
        stack.enter_context(_replaced(autoscaler, "DefaultAutoscalingCoordinator", WholeCluster))
        yield


class WholeCluster:
    """Gives a dataset all that the cluster has; it takes the place of Ray Data's coordinator.

    The coordinator shares a cluster among several datasets and asks an autoscaler for more machines. Here there is one
    dataset at a time, and one machine.
    """

    def __init__(self, requester_id: str, subcluster_selector: object = None) -> None:
        """Takes the arguments of Ray Data's coordinator, which do not matter here."""

    def request_resources(self, resources: Sequence[Mapping[str, float]], **options: Any) -> None:
        """Does nothing: there is no more than there is."""

    def cancel_request(self) -> None:
        """Does nothing."""

    def get_reserved_resources(self) -> dict[str, dict[str, float]]:
        """Returns the resources of each node, by the node's id."""
        return self._resources

    @cached_property
    def _resources(self) -> dict[str, dict[str, float]]:
        import ray

        return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


class _NoStatistics:
    """An actor handle whose every method can be called and does nothing."""

    def __getattr__(self, name: str) -> _NoStatistics:
        return self

    def remote(self, *arguments: Any, **options: Any) -> None:
        """Does nothing."""


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Replaces an attribute of a module or class within the block."""
    before = vars(owner)[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)

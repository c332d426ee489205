"""A session with a Ray cluster: start or join one quietly, ask what machines it has, and leave it at the end.

Ray itself prints to the terminal and waits for minutes at a dead address. This module and `pipeline.cluster.start`
prevent both.
"""

from __future__ import annotations

import logging
import socket
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from models.errors import INTERNAL_ERROR, WRONG_USAGE, UserError
from pipeline.cluster.resources import Machine
from pipeline.cluster.start import local_cluster, undisturbed

log = logging.getLogger(__name__)


class RunError(UserError):
    """A run cannot go on. The message is one line that says what to do."""

    exit_code = INTERNAL_ERROR


class ClusterError(RunError):
    """No Ray cluster answers at the address."""

    exit_code = WRONG_USAGE


@contextmanager
def cluster(address: str | None = None, **options: Any) -> Iterator[None]:
    """Connects to a Ray cluster, or starts one on this machine, and disconnects at the end.

    Nothing is done, at the end either, if this process is connected already.

    Args:
        address: a Ray cluster; one is started if left out.
        options: further arguments of `ray.init`.

    Raises:
        ClusterError: there is no cluster at the address.
        StartError: Ray does not start on this machine.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    options |= {"log_to_driver": False, "logging_level": logging.ERROR}
    with _joined(address, options) if address else local_cluster(**options):
        _silence(ray)
        yield


@contextmanager
def _joined(address: str, options: Mapping[str, Any]) -> Iterator[None]:
    """Connects to the cluster at an address, and disconnects at the end.

    Raises:
        ClusterError: there is none.
    """
    import ray

    try:
        with undisturbed():
            ray.init(address=address, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ClusterError(f"cannot reach a Ray cluster at {address}: {' '.join(str(error).split())[:300]}") from error
    try:
        yield
    finally:
        ray.shutdown()


def machine_of_cluster() -> Machine:
    """Returns the processors, GPUs and nodes of the connected cluster."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return Machine(
        cores=sum(node.get("CPU", 0) for node in nodes),
        gpus=sum(node.get("GPU", 0) for node in nodes),
        largest_node=max(node.get("CPU", 0) for node in nodes),
        nodes=len(nodes),
    )


def check_address(address: str) -> None:
    """Checks that something answers at a `host:port` or `ray://host:port`; any other form is left to Ray.

    Ray itself would wait there for minutes, and could not be interrupted.

    Raises:
        ClusterError: nothing answers within 5 seconds.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"no Ray cluster answers at {address} ({error}); start one with `ray start --head`, or leave out --address"
        ) from error


def _silence(ray: Any) -> None:
    """Switches off Ray's own progress bars and log lines, which would break into this program's lines."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    # What a raylet reports about dead processes would go to standard output, whatever `log_to_driver` says.
    ray._private.worker.print_to_stdstream = _log_raylet
    # Ray 2.60 offers no other way to bound restarts.
    warnings.filterwarnings("ignore", message=".*ray_remote_args.*")


def _log_raylet(data: Mapping[str, Any], ignore_prefix: bool) -> None:
    """Writes the beginning of a raylet's message to the log; it replaces Ray's function of the same arguments."""
    log.info("%s: %s", data.get("pid"), " ".join(" ".join(map(str, data.get("lines", ()))).split())[:300])

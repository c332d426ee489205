"""A session with a Ray cluster: connecting to it, and what it has."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipeline.cluster.resources import Layout, Machine

log = logging.getLogger(__name__)


class RunError(Exception):
    """A run that cannot go on, in one line that says what to do."""


class ClusterError(RunError):
    """There is no Ray cluster at the address."""


@contextmanager
def cluster(address: str | None = None, **options: Any) -> Iterator[None]:
    """Connect to a Ray cluster, or start one in this process, unless connected already; leave it again at the end.

    Raises:
        ClusterError: there is none at the address.
    """
    # Under `uv run` Ray would start its workers through `uv run` again, and they never come up.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its notes would tear our lines
    import ray

    if ray.is_initialized():
        yield
        return
    local: dict[str, Any] = {} if address else {"include_dashboard": False}
    asked_to_stop = signal.getsignal(signal.SIGTERM)
    try:
        with _hushed():
            ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **local, **options)
    except (ConnectionError, ValueError, RuntimeError) as fault:
        raise ClusterError(f"cannot reach a Ray cluster at {address}: {' '.join(str(fault).split())[:300]}") from fault
    _quiet(ray)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, asked_to_stop)  # Ray's own handler ends the process at once
    try:
        yield
    finally:
        ray.shutdown()


def layout_of_cluster(*, large_model: bool) -> Layout:
    """How the connected cluster is shared among the stages."""
    return machine_of_cluster().layout(large_model=large_model)


def machine_of_cluster() -> Machine:
    """What the connected cluster has."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return Machine(
        cores=sum(node.get("CPU", 0) for node in nodes),
        gpus=sum(node.get("GPU", 0) for node in nodes),
        largest_node=max(node.get("CPU", 0) for node in nodes),
        nodes=len(nodes),
    )


def check_address(address: str) -> None:
    """Knock at a `host:port` or `ray://host:port`: Ray itself would wait there for minutes, deaf to interrupts.

    Raises:
        ClusterError: nothing answers.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as fault:
        raise ClusterError(
            f"no Ray cluster answers at {address} ({fault}); start one with `ray start --head`, or leave out --address"
        ) from fault


@contextmanager
def _hushed() -> Iterator[None]:
    """Drop what Ray's native part prints while it starts; what goes wrong comes as an exception."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _quiet(ray: Any) -> None:
    """Ray Data's own bars and log lines would tear ours."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    # What a raylet says of the death of others would go to standard output, whatever `log_to_driver` is.
    ray._private.worker.print_to_stdstream = _log_raylet
    # Ray 2.60 offers no other way to bound restarts.
    warnings.filterwarnings("ignore", message=".*ray_remote_args.*")


def _log_raylet(data: Mapping[str, Any], ignore_prefix: bool) -> None:
    """In place of Ray's function of the same arguments: the first lines of what a raylet says, to the log."""
    log.info("%s: %s", data.get("pid"), " ".join(" ".join(map(str, data.get("lines", ()))).split())[:300])

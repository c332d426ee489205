"""Starting Ray: with patience on a busy machine, in a short folder, and without importing from the current folder.

A machine that is busy, a long TMPDIR or a folder with packages of our names must not end a run before it begins.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from models.errors import INTERNAL_ERROR, UserError
from pipeline.cluster.helpers import few_actors, few_processes

log = logging.getLogger(__name__)

WAITS_S = (0.0, 2.0, 10.0, 30.0, 60.0)
"""Seconds before each try to start Ray. On a busy machine its own processes miss deadlines that cannot be set."""
LONGEST_SOCKET_FOLDER = 40
"""Bytes of a folder for Ray's files. Ray adds up to 66 bytes to it, and a socket's path has at most 107."""
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")
"""Folders that may take Ray's files where TMPDIR is too long."""
ENVIRONMENT = {
    # Under `uv run` Ray would start its workers through `uv run` again, and they never come up.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # its messages would break into this program's lines
    # Deadlines for Ray's processes to come up.
    "RAY_gcs_server_port_wait_time_s": "180",
    "RAY_raylet_start_wait_time_s": "180",
    "RAY_agent_register_timeout_ms": "180000",
    "RAY_worker_register_timeout_seconds": "180",
}
"""Variables that Ray reads, some of them when it is imported; those that are set already stay."""
for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

PACKAGE_FOLDER = Path(__file__).resolve().parents[2]
"""The folder that this package is imported from."""


class StartError(UserError):
    """Ray does not start on this machine. The message is one line that says what to do."""

    exit_code = INTERNAL_ERROR


@contextmanager
def local_cluster(**options: Any) -> Iterator[None]:
    """Starts a Ray cluster of this machine, and stops it at the end.

    Args:
        options: further arguments of `ray.init`.

    Raises:
        StartError: every try failed, or no folder is short enough for Ray's sockets.
    """
    import ray

    with _socket_folder() as folder:
        if folder is not None:
            options["_temp_dir"] = str(folder)
        data_imported = threading.Thread(target=import_module, args=("ray.data",))
        data_imported.start()  # takes seconds, which Ray's processes need to come up
        try:
            _start(options)
            data_imported.join()
            with few_actors():
                yield
        finally:
            ray.shutdown()


def _start(options: dict[str, Any]) -> None:
    """Starts Ray, and tries again while that fails.

    Raises:
        StartError: every try failed.
    """
    import ray

    reason = ""
    for number, wait in enumerate(WAITS_S, 1):
        time.sleep(wait)
        try:
            with undisturbed(), few_processes():
                ray.init(address="local", include_dashboard=False, **options)
        except Exception as error:  # Ray raises bare exceptions of many kinds for processes that come up late
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            log.warning("Ray did not start in try %d of %d: %s", number, len(WAITS_S), reason)
            with suppress(Exception):  # what is left of a start that failed half way
                ray.shutdown()
        else:
            return
    raise StartError(
        f"Ray does not start on this machine, {len(WAITS_S)} tries failed ({reason}): close programs that keep the "
        "processors busy, check that there is free memory and disk space, and run the command again"
    )


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keeps `ray.init` from changing this program: its import path, its handling of SIGTERM, and its standard error.

    - Ray puts the folder that is current then first on the import path of every worker. A user's folder may hold
      packages with the names of ours, or harmful code, and must never be imported from.
    - Ray's own handler of SIGTERM ends the process at once; this program ends in good order.
    - Ray's native part prints while it starts; what goes wrong comes as an exception.
    """
    import ray

    folder, stderr, set_handler = current_folder(), os.dup(2), ray._private.utils.set_sigterm_handler
    sigterm_handler = signal.getsignal(signal.SIGTERM)
    try:
        os.chdir(PACKAGE_FOLDER)
        ray._private.utils.set_sigterm_handler = lambda handler: None
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        ray._private.utils.set_sigterm_handler = set_handler
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, sigterm_handler)  # in place of the one that Ray's native part installs
        if folder is not None:
            os.chdir(folder)


def current_folder() -> str | None:
    """Returns the current folder; None if somebody has removed it, which no absolute path needs to care about."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


@contextmanager
def _socket_folder() -> Iterator[Path | None]:
    """Gives a short folder for Ray's files where its usual one is too long for sockets; None where it is not.

    Raises:
        StartError: there is no short folder that can be written to.
    """
    usual = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    if len(os.fsencode(os.path.join(usual, "ray"))) <= LONGEST_SOCKET_FOLDER:
        yield None
        return
    for parent in (*SHORT_FOLDERS, str(Path.home())):
        try:
            folder = Path(tempfile.mkdtemp(prefix="ray-", dir=parent))
        except OSError:
            continue
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    raise StartError(f"{usual} is too long for the paths of sockets: set TMPDIR to a short folder")

"""Installations of their own: environments made from nothing, and a Ray cluster that has nothing but Ray."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("diff-v2m")
"""The command of the installation that the tests run in."""
LONGEST_S = 1800
"""Most seconds of one command; a first installation downloads about 3 GB."""


def commands_of_readme(start: str) -> list[str]:
    """Lines of the README's shell blocks that start with some words, without their comments."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    lines = (line.partition("  #")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line.startswith(start)]


def tracked_files() -> list[Path]:
    """The repository's files as git knows them, relative to its root. The test is skipped where there is no git."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout, so there is no telling which files belong to the repository")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()]


def copy_repository(folder: Path) -> Path:
    """Copies the repository's own files, and nothing else of its folder, such as uv.lock."""
    for file in tracked_files():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / file, folder / file)
    return folder


def environment(binaries: Path | None = None, **variables: str) -> dict[str, str]:
    """The environment without what points to this installation, and with the programs of another one first."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "UV_RUN_RECURSION_DEPTH")
    ours = {name: value for name, value in os.environ.items() if name not in dropped and not name.startswith("RAY_")}
    path = [part for part in ours["PATH"].split(os.pathsep) if Path(part) != COMMAND.parent]
    return ours | {"PATH": os.pathsep.join([str(binaries)] * (binaries is not None) + path)} | variables


def run(command: Sequence[str | Path], folder: Path, variables: Mapping[str, str]) -> str:
    """Standard output of a command that must go well."""
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=dict(variables), capture_output=True, text=True, timeout=LONGEST_S
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def make_environment(folder: Path) -> Path:
    """Makes an empty virtual environment with pip, and returns the folder of its programs.

    The test is skipped where that is not possible, or where pip reaches no package registry.
    """
    made = subprocess.run([os.path.realpath(sys.executable), "-m", "venv", str(folder)], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"this Python makes no environment with pip: {(made.stdout + made.stderr).strip()[-200:]}")
    with tempfile.TemporaryDirectory() as empty:
        probe = [folder / "bin" / "pip", "download", "--quiet", "--no-deps", "--dest", empty, "--retries", "1", "six"]
        answer = subprocess.run(probe, env=environment(), capture_output=True, text=True, check=False)
    if answer.returncode:
        pytest.skip(f"pip reaches no package registry: {answer.stderr.strip().splitlines()[-1:]}")
    return folder / "bin"


@dataclass
class BareCluster:
    """A Ray cluster of one node, in an environment that holds nothing but Ray.

    Attributes:
        address: its dashboard.
        token: what its clients must send.
    """

    address: str
    token: str = field(repr=False)

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a client."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}


@contextmanager
def bare_cluster(binaries: Path, folder: Path) -> Iterator[BareCluster]:
    """Starts such a cluster with the programs of an environment, from a current folder, and stops it at the end."""
    port, dashboard = free_ports(2)
    cluster = BareCluster(f"http://127.0.0.1:{dashboard}", secrets.token_hex(32))
    command = ["ray", "start", "--head", "--block", "--disable-usage-stats", "--num-cpus=2", f"--port={port}"]
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as short, open(folder.parent / "ray.log", "wb") as log:
        process = subprocess.Popen(
            [*command, f"--dashboard-port={dashboard}", f"--temp-dir={short}"],
            cwd=folder,
            env=environment(binaries, **cluster.variables),
            stdout=log,
            stderr=log,
        )
        try:
            wait_for_port(dashboard)
            yield cluster
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and everything that it started."""
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs([*children, psutil.Process(process.pid)], timeout=60)
    for one in alive:
        one.kill()
    process.wait()


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nothing listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for_port(port: int, seconds: float = 180) -> None:
    """Waits until something listens on a port."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < end, f"nothing listens on port {port}"
            time.sleep(0.5)
        else:
            return

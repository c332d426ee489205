"""Starting Ray: tried again on a busy machine, and in a short folder where TMPDIR is too long for sockets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models.errors import INTERNAL_ERROR
from pipeline.cluster import start
from pipeline.cluster.start import StartError, local_cluster

BUSY = "while True: pass"


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[Exception | None]:
    """What happens at each call of `ray.init`: an error, or None for a start; without waits between the tries."""
    import ray

    found: list[Exception | None] = []

    def init(**options: Any) -> None:
        if (error := found.pop(0)) is not None:
            raise error

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(start, "WAITS_S", (0.0, 0.0, 0.0))
    return found


def test_a_start_that_fails_is_tried_again(tries: list[Exception | None]) -> None:
    tries += [Exception("The current node timed out during startup."), OSError("no port"), None]
    with local_cluster():
        assert tries == []


def test_after_the_last_try_it_is_one_line(tries: list[Exception | None]) -> None:
    tries += [RuntimeError("late"), TimeoutError("late"), Exception("the raylet\nis late")]
    with (
        pytest.raises(StartError, match=r"3 tries failed \(the raylet is late\): close programs") as error,
        local_cluster(),
    ):
        pass
    assert error.value.exit_code == INTERNAL_ERROR


def test_an_interrupt_is_no_failed_try(tries: list[Exception | None]) -> None:
    tries += [KeyboardInterrupt(), None]  # type: ignore[list-item]
    with pytest.raises(KeyboardInterrupt), local_cluster():
        pass
    assert tries == [None]


def test_a_long_folder_for_temporary_files_is_replaced_by_a_short_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    long = tmp_path / ("a" * 60) / ("b" * 60)
    long.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(long))
    with start._socket_folder() as folder:
        assert folder is not None
        assert folder.is_dir()
        assert len(str(folder)) <= start.LONGEST_SOCKET_FOLDER
    assert not folder.exists()
    monkeypatch.setenv("TMPDIR", "/tmp")
    with start._socket_folder() as folder:
        assert folder is None


def test_ray_starts_in_a_long_folder_for_temporary_files(tmp_path: Path) -> None:
    long = tmp_path / ("a" * 60) / ("b" * 60)
    long.mkdir(parents=True)
    code = (
        f"import os; os.environ['TMPDIR'] = {str(long)!r}\n"
        "from pipeline.cluster.session import cluster, machine_of_cluster\n"
        "with cluster(num_cpus=1):\n    print(machine_of_cluster().nodes)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False)
    assert result.stdout.strip() == "1", result.stderr[-2000:]


def test_a_current_folder_that_was_removed_does_not_matter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert start.current_folder() is None
    with start.undisturbed():
        assert start.current_folder() == str(start.PACKAGE_FOLDER)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_starts_under_load(capsys: pytest.CaptureFixture[str]) -> None:
    """20 starts while 8 processes keep the processors busy; prints how many succeeded, and how long they took."""
    code = (
        "import time; began = time.monotonic()\n"
        "from pipeline.cluster.session import cluster\n"
        "with cluster(num_cpus=2):\n    print(round(time.monotonic() - began, 1))"
    )
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(8)]
    try:
        results = [
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False) for _ in range(20)
        ]
    finally:
        for process in busy:
            process.kill()
            process.wait()
    seconds = [float(result.stdout) for result in results if result.returncode == 0]
    with capsys.disabled():
        print(f"\n{len(seconds)} of 20 starts succeeded, in {min(seconds):.0f} to {max(seconds):.0f} s")
        print(*{result.stderr.strip()[-200:] for result in results if result.returncode}, sep="\n")
    assert len(seconds) == 20

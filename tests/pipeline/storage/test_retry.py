"""Transient errors: throttled, reset, cut and slow requests over HTTP end well, refusals end at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from pipeline.storage import retry
from pipeline.storage.errors import StorageError
from pipeline.storage.retry import WAITS, retry_transient
from pipeline.storage.storage import Storage
from tests.support.faulty import FAULTS, Faults, faulty
from tests.support.s3 import Bucket


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits that were asked for; nobody really waits."""
    waits: list[float] = []
    monkeypatch.setattr(retry.time, "sleep", waits.append)
    return waits


@dataclass
class Failing:
    """A storage whose first reads fail."""

    kind: str
    failures: int
    local: bool = False
    calls: int = 0

    @retry_transient
    def read(self, name: str) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise StorageError(self.kind, "no")
        return name


def test_transient_errors_are_waited_out_ever_longer(slept: list[float]) -> None:
    remote = Failing("Unavailable", len(WAITS))
    assert remote.read("a") == "a"
    assert remote.calls == len(WAITS) + 1
    assert all(wait / 2 <= waited <= wait for wait, waited in zip(WAITS, slept, strict=True))


def test_retries_end(slept: list[float]) -> None:
    remote = Failing("Unreachable", 100)
    with pytest.raises(StorageError):
        remote.read("a")
    assert remote.calls == len(WAITS) + 1
    assert 30 < sum(WAITS) < 120


@pytest.mark.parametrize("kind", ["NotFound", "AccessDenied", "Credentials", "NoBucket", "DiskFull", "BadName"])
def test_permanent_errors_are_not_tried_again(kind: str, slept: list[float]) -> None:
    remote = Failing(kind, 1)
    with pytest.raises(StorageError):
        remote.read("a")
    assert (remote.calls, slept) == (1, [])


def test_a_local_disk_is_not_tried_again() -> None:
    near = Failing("CutShort", 1, local=True)
    with pytest.raises(StorageError):
        near.read("a")


USES: dict[str, Callable[[Storage], object]] = {
    "read": lambda s: s.read("a"),
    "ranges": lambda s: s.ranges("a", [(0, 5), (100_000, 7)]),
    "size": lambda s: s.size("a"),
    "write": lambda s: s.write("b", b"x" * 70_000),
    "files": lambda s: [(e.name, e.size) for e in s.files()],
    "delete": lambda s: s.delete("b"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_way_survives_every_fault(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    data = os.urandom(200_000)
    storage = Storage.open(f"{bucket.url}/in")
    bucket.put("in/a", data)
    expected = {name: use(storage) for name, use in USES.items()}
    faults = Faults()
    with faulty(bucket.s3.endpoint, faults) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        for name, use in USES.items():
            faults.first[:] = [fault]
            assert use(storage) == expected[name], name
        faults.first[:] = [fault]
        with storage.localize("a") as path:
            assert path.read_bytes() == data
    assert faults.done[fault] == len(USES) + 1
    assert not any(name.endswith(".tmp") for name in tuple(bucket.keys()))


def test_an_outage_that_outlasts_the_client_is_waited_out(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    storage, faults = Storage.open(bucket.url), Faults()
    with faulty(bucket.s3.endpoint, faults) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        faults.first[:] = ["reset"] * 6
        storage.write("a", b"whole")
        assert slept
        faults.first[:] = ["cut"] * 3
        assert storage.read("a") == b"whole"
    assert list(bucket.keys().values()).count(5) == 1


def test_many_files_through_a_bad_network_arrive_whole_and_leave_nothing(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage.open(f"{bucket.url}/out")
    contents = {f"{i}.bin": os.urandom(50_000 + i) for i in range(25)}
    faults = Faults(shares=dict.fromkeys(FAULTS, 0.04), seed=3)
    with faulty(bucket.s3.endpoint, faults) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        for name, data in contents.items():
            storage.write(name, data)
        assert {name: storage.read(name) for name in contents} == contents
    assert sum(faults.done[fault] for fault in FAULTS) >= 10
    sizes = {name.removeprefix("out/"): size for name, size in bucket.keys().items() if not name.endswith("/")}
    assert {name: size for name, size in sizes.items() if ".tmp" not in name} == {
        k: len(v) for k, v in contents.items()
    }


def test_a_missing_file_is_said_at_once_through_the_proxy(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with faulty(bucket.s3.endpoint, Faults()) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        began = time.perf_counter()
        with pytest.raises(StorageError, match="no such file"):
            Storage.open(bucket.url).read("none")
        assert time.perf_counter() - began < 5

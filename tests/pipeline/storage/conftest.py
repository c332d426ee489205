"""Fixtures of the tests of storages."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.storage import retry
from pipeline.storage.storage import Storage


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A remote storage is tried once only."""
    monkeypatch.setattr(retry, "WAITS", ())


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty storage: a folder, then a prefix of a bucket."""
    if request.param == "local":
        return Storage.open(tmp_path / "out")
    return Storage.open(f"{request.getfixturevalue('bucket').url}/some/out")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A file of 9 MiB of noise."""
    path = tmp_path / "clip.bin"
    path.write_bytes(os.urandom(9 << 20))  # more than one chunk, and more than one part of an upload
    return path

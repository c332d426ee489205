"""Fixtures that several folders of tests share."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import hub as hub_server
from tests.support import s3
from tests.support.s3 import S3, Bucket

settings.register_profile("shared machine", deadline=None)  # a slow machine must not make tests fail
settings.load_profile("shared machine")

_numbers = count()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Limits torch to one thread, on which small networks are fastest and bit-identical."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `small_training.make` fills it; tests leave it as it is."""
    from tests.support.small_training import make

    folder = tmp_path_factory.mktemp("made")
    make(folder)
    return folder


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[S3]:
    """A running S3 endpoint."""
    with s3.serve() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(s3_endpoint: S3, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket of an endpoint that the environment points to."""
    for name, value in s3_endpoint.environment.items():
        monkeypatch.setenv(name, value)
    name = f"bucket{next(_numbers)}"
    s3_endpoint.client().create_bucket(Bucket=name)
    return Bucket(s3_endpoint, name)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[hub_server.Hub]:
    """A server of small files in place of the released weights, which the environment points to."""
    monkeypatch.setattr("models.weights.hub.time.sleep", lambda seconds: None)
    with hub_server.serve(hub_server.released_hub()) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub

"""Fixtures that several folders of tests share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import pytest
from hypothesis import settings

from tests.support.s3 import S3, serve

settings.register_profile("shared machine", deadline=None)  # a slow machine is no wrong answer
settings.load_profile("shared machine")

_numbers = count()


@dataclass(frozen=True)
class Bucket:
    """A fresh bucket of a running endpoint that the environment points to."""

    s3: S3
    name: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    def keys(self) -> dict[str, int]:
        return self.s3.keys(self.name)

    def put(self, key: str, data: bytes) -> None:
        self.s3.client().put_object(Bucket=self.name, Key=key, Body=data)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small networks are fastest, and the same bit for bit, on one thread."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[S3]:
    with serve() as s3:
        yield s3


@pytest.fixture
def bucket(s3_endpoint: S3, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in s3_endpoint.environment.items():
        monkeypatch.setenv(name, value)
    name = f"bucket{next(_numbers)}"
    s3_endpoint.client().create_bucket(Bucket=name)
    return Bucket(s3_endpoint, name)

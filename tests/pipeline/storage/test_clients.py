"""Connections to object stores: wrong buckets, credentials and servers are named within seconds."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path

import pytest

from pipeline.storage.storage import Storage, StorageError
from tests.support.s3 import Bucket

pytestmark = pytest.mark.usefixtures("no_waits")


def test_a_missing_bucket_is_said_fast_and_never_created(bucket: Bucket) -> None:
    missing = Storage.open("s3://no-such-bucket/x")
    started = time.perf_counter()
    for use in (missing.check, missing.files, lambda: missing.write("a", b"x"), lambda: missing.check(write=True)):
        with pytest.raises(StorageError, match=r"s3://no-such-bucket.*no such bucket") as caught:
            use()
        assert caught.value.kind == "NoBucket"
        assert not caught.value.transient
    assert time.perf_counter() - started < 5
    assert "no-such-bucket" not in [b["Name"] for b in bucket.s3.client().list_buckets()["Buckets"]]


@pytest.mark.parametrize(
    ("who", "kind", "words"),
    [
        ("right", None, ""),
        ("unknown key", "Credentials", "wrong or have expired"),
        ("wrong secret", "Credentials", "wrong or have expired"),
        ("no rights", "AccessDenied", "access denied"),
        ("nobody", "Credentials", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_credentials(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, who: str, kind: str | None, words: str
) -> None:
    key, secret = bucket.s3.user(allowed=who != "no rights")
    key = "AKIDUNKNOWN" if who == "unknown key" else key
    secret = "wrong-secret-value" if who == "wrong secret" else secret
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    if who == "nobody":
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    else:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    storage = Storage.open(f"{bucket.url}/out")
    with bucket.s3.guarded():
        if kind is None:
            storage.check(write=True)
            assert storage.read(".diff-v2m/README.txt").startswith(b"This folder")
            return
        for use in (storage.check, storage.files, lambda: storage.check(write=True)):
            started = time.perf_counter()
            with pytest.raises(StorageError, match=re.escape(bucket.url)) as caught:
                use()
            assert time.perf_counter() - started < 10
            assert caught.value.kind == kind
            assert words in str(caught.value)
            shown = f"{caught.value!r} {caught.value.__cause__} {storage!r}"
            assert secret not in shown
            assert caught.value.__suppress_context__


def test_a_server_that_is_not_there_or_never_answers(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        for listening in (False, True):
            if listening:
                silent.listen()
            started = time.perf_counter()
            with pytest.raises(StorageError, match="cannot be reached") as caught:
                Storage.open("s3://bucket/x").check()
            assert time.perf_counter() - started < 15
            assert caught.value.transient


def test_the_s3_variable_wins_over_the_general_endpoint(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("a", b"1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", bucket.s3.endpoint)
    assert Storage.open(bucket.url).read("a") == b"1"

"""The connection to an object store, from the environment alone."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from pipeline.faults import explained

# Every variable that is read: a cluster's workers need them too.
ENVIRONMENT = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL",
    "AWS_CA_BUNDLE",
    "AWS_EC2_METADATA_DISABLED",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "STORAGE_EMULATOR_HOST",
)


def connect(scheme: str, root: str, *, patient: bool) -> Any:
    """This process's `pyarrow.fs` client of a bucket; another environment makes another one.

    `patient` waits out a slow or stumbling server (minutes at worst); otherwise the answer comes within about 10 s.
    """
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    bucket = root.split("/")[0]
    settings = tuple(os.environ.get(name) for name in ENVIRONMENT)
    with explained(f"{scheme}://{bucket}"):
        return _connect(scheme, "" if region or endpoint else bucket, patient, settings)


@lru_cache(maxsize=16)
def _connect(scheme: str, bucket: str, patient: bool, settings: tuple[str | None, ...]) -> Any:
    from pyarrow import fs

    chosen = dict(zip(ENVIRONMENT, settings, strict=True))
    if scheme == "gs":
        emulator = urlsplit(chosen["STORAGE_EMULATOR_HOST"] or "")
        where = {"endpoint_override": emulator.netloc, "scheme": emulator.scheme} if emulator.netloc else {}
        return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=60 if patient else 5), **where)
    options: dict[str, Any] = {}
    if endpoint := chosen["AWS_ENDPOINT_URL_S3"] or chosen["AWS_ENDPOINT_URL"]:
        parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
        options |= {"endpoint_override": parts.netloc + parts.path.rstrip("/"), "scheme": parts.scheme}
    elif bucket:
        with suppress(OSError):  # then the first request says what is wrong
            options["region"] = fs.resolve_s3_region(bucket)
    elif region := chosen["AWS_REGION"] or chosen["AWS_DEFAULT_REGION"]:
        options["region"] = region
    if bundle := chosen["AWS_CA_BUNDLE"]:
        options["tls_ca_file_path"] = bundle
    return fs.S3FileSystem(
        connect_timeout=5 if patient else 2,
        request_timeout=30 if patient else 4,  # seconds without a byte
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=4 if patient else 2),
        allow_delayed_open=True,  # a small file is one request
        allow_bucket_creation=False,
        **options,
    )

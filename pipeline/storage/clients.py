"""Connections to object stores, configured by environment variables alone."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from pipeline.storage.errors import translate_errors

log = logging.getLogger(__name__)

# All variables that are read. A cluster's workers need them too.
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


def connect(scheme: str, root: str, *, fail_fast: bool = False) -> Any:
    """Returns this process's `pyarrow.fs` client for a bucket; a changed environment gives a new client.

    Args:
        scheme: `s3` or `gs`.
        root: the bucket, with or without a prefix.
        fail_fast: whether to answer within about 10 s; otherwise the client waits for a slow or failing server, for
            minutes at worst.
    """
    region, endpoint = _region(), _endpoint()
    bucket = root.split("/")[0]
    settings = tuple(os.environ.get(name) for name in ENVIRONMENT)
    with translate_errors(f"{scheme}://{bucket}"):
        return _connect(scheme, "" if region or endpoint else bucket, fail_fast, settings)


def _region() -> str | None:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def abort_uploads(path: str) -> int:
    """Aborts the unfinished multipart uploads below a path of an S3 bucket.

    The parts already uploaded would be paid for and visible nowhere. The caller must know that nobody continues them.

    Returns:
        The number of aborted uploads. Where the server does not list them or does not permit it they stay: leftovers
        harm no result.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, prefix = path.partition("/")
    endpoint = _endpoint()
    style = {"addressing_style": "path" if endpoint else "auto"}
    settings = Config(connect_timeout=2, read_timeout=10, retries={"max_attempts": 2, "mode": "standard"}, s3=style)
    aborted = 0
    try:
        client = boto3.client("s3", endpoint_url=endpoint, region_name=_region() or "us-east-1", config=settings)
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
            for upload in page.get("Uploads", ()):
                client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
                aborted += 1
    except (BotoCoreError, ClientError) as error:  # its message may repeat what was sent, so only its type is logged
        log.info("uploads that were broken off may be left in %s (%s)", bucket, type(error).__name__)
    return aborted


@lru_cache(maxsize=16)
def _connect(scheme: str, bucket: str, fail_fast: bool, settings: tuple[str | None, ...]) -> Any:
    """Builds the client; `bucket` is empty where its region need not be looked up."""
    from pyarrow import fs

    chosen = dict(zip(ENVIRONMENT, settings, strict=True))
    if scheme == "gs":
        emulator = urlsplit(chosen["STORAGE_EMULATOR_HOST"] or "")
        where = {"endpoint_override": emulator.netloc, "scheme": emulator.scheme} if emulator.netloc else {}
        return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=5 if fail_fast else 60), **where)
    options: dict[str, Any] = {}
    if endpoint := chosen["AWS_ENDPOINT_URL_S3"] or chosen["AWS_ENDPOINT_URL"]:
        parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
        options |= {"endpoint_override": parts.netloc + parts.path.rstrip("/"), "scheme": parts.scheme}
    elif bucket:
        with suppress(OSError):  # the first request then says what is wrong
            options["region"] = fs.resolve_s3_region(bucket)
    elif region := chosen["AWS_REGION"] or chosen["AWS_DEFAULT_REGION"]:
        options["region"] = region
    if bundle := chosen["AWS_CA_BUNDLE"]:
        options["tls_ca_file_path"] = bundle
    return fs.S3FileSystem(
        connect_timeout=2 if fail_fast else 5,
        request_timeout=4 if fail_fast else 30,  # seconds without a byte
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=2 if fail_fast else 4),
        allow_delayed_open=True,  # so that a small file takes one request
        allow_bucket_creation=False,
        **options,
    )

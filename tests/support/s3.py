"""A real S3 endpoint over HTTP, on a free port of this machine."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

KEY, SECRET = "AKIDEXAMPLEKEY", "s3cr3t/Example+Value"


@dataclass(frozen=True)
class S3:
    """A running endpoint, at the address `endpoint`."""

    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that a client needs."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str = "s3") -> Any:
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )

    def keys(self, bucket: str) -> dict[str, int]:
        """Returns the size of every object of a bucket by its key."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}

    def user(self, *, allowed: bool) -> tuple[str, str]:
        """Creates a user who may do everything, or nothing, and returns key and secret."""
        iam = self.client("iam")
        name = f"user{len(iam.list_users()['Users'])}"
        iam.create_user(UserName=name)
        if allowed:
            statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}
            policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Context in which keys and signatures of requests are checked; otherwise every request is allowed."""
        from moto import settings

        before, settings.INITIAL_NO_AUTH_ACTION_COUNT = settings.INITIAL_NO_AUTH_ACTION_COUNT, 0
        try:
            yield
        finally:
            settings.INITIAL_NO_AUTH_ACTION_COUNT = before


@contextmanager
def serve() -> Iterator[S3]:
    """Runs an endpoint in a thread of this process; other processes can reach it too."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield S3(f"http://{host}:{port}")
    finally:
        server.stop()


@dataclass(frozen=True)
class Bucket:
    """A bucket of a running endpoint."""

    s3: S3
    name: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    def keys(self) -> dict[str, int]:
        return self.s3.keys(self.name)

    def put(self, key: str, data: bytes) -> None:
        self.s3.client().put_object(Bucket=self.name, Key=key, Body=data)

"""The files that really lie in a storage."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.storage.storage import Storage
from tests.support.s3 import S3


def stored_files(storage: Storage) -> dict[str, int]:
    """Sizes in bytes by name of all files that really lie in a storage, temporary ones and folder marks included."""
    if not storage.local:
        bucket, _, prefix = storage.root.partition("/")
        keys = S3(os.environ["AWS_ENDPOINT_URL"]).keys(bucket)
        mark = f"{prefix}/.diff-v2m/"  # the client's mark that our own folder exists
        return {key.removeprefix(f"{prefix}/"): size for key, size in keys.items() if key != mark}
    root = Path(storage.root)
    return {str(p.relative_to(root)): p.stat().st_size for p in root.rglob("*") if p.is_file()}

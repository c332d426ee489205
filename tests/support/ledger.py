"""Rows of a ledger and manifests, made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from pipeline.destination.ledger import Ledger
from pipeline.storage.storage import Storage
from stages.contracts import MANIFEST, table_of
from tests.support.rows import common

START = datetime(2030, 1, 1, tzinfo=UTC)
"""Start of the first attempts."""


def row(item: str, minute: int = 0, **changed: Any) -> dict[str, Any]:
    """A row of a done item, whose files need not exist; `changed` replaces columns."""
    output = {"name": f"{item}.mp4", "path": f"/out/{item}.mp4", "size": 4, "sha256": "0" * 64}
    return {
        "item_id": item,
        "content_id": f"c{item}",
        "uri": f"/in/{item}.mp4",
        "output": f"{item}.mp4",
        "state": "done",
        "seconds": {"decode": 0.5, "sample": 2.0},
        "outputs": [output],
        "duration": 30.03,
        "frames_lost": 0,
        "seconds_held": 0.0,
        "left_behind": [],
        "seed": 7,
        "fingerprint": "F",
        "music": "M",
        "attempt": 1,
        "worker": "node1",
        "started": START + timedelta(minutes=minute),
        "finished": START + timedelta(minutes=minute, seconds=30, microseconds=5),
    } | changed


def failed(item: str, minute: int = 0, **changed: Any) -> dict[str, Any]:
    """A row of a failed item; `changed` replaces columns."""
    error = {"stage": "decode", "error_type": "NotAVideo", "error_message": "no video stream"}
    return row(item, minute, state="failed", outputs=None, duration=None) | error | changed


def record_as_done(destination: Storage, found: pa.Table) -> None:
    """Records that the videos of a manifest are done, and writes files with their results' names."""
    rows = []
    for video in found.to_pylist():
        names = [video["output"], *(f"{video['stem']}{suffix}" for suffix in (".wav", ".json"))]
        outputs = [dict(destination.write(name, b"1")) for name in names]
        ids = {name: video[name] for name in ("item_id", "content_id", "uri", "output")}
        rows.append(row(video["item_id"]) | ids | {"outputs": outputs})
    Ledger(destination).append(rows)


def manifest(*items: str) -> pa.Table:
    """A manifest of items whose ids are their names."""
    rows = [common(item) | {"item_id": item, "output": f"{item}.mp4", "duration": None} for item in items]
    return table_of(rows, MANIFEST)

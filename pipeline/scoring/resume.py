"""Resuming a run: a destination's ledger shows which rows of a manifest are still to be scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from models.errors import WRONG_USAGE
from pipeline.cluster.session import RunError
from pipeline.destination.ledger import FAILED, Ledger
from stages.contracts import Row
from stages.error_kinds import is_permanent


class FingerprintError(RunError):
    """The destination holds music of other settings."""

    exit_code = WRONG_USAGE


@dataclass(frozen=True)
class RemainingWork:
    """The work that remains of a manifest.

    Attributes:
        todo: rows of the manifest that are to be scored.
        done: number of rows whose music is at the destination.
        permanent: last ledger rows of those that failed for good and are not tried again.
        attempts: number of attempts so far at each item that was tried with this fingerprint, by item id.
        ledger_rows: all rows of the ledger as they were read for this.
    """

    todo: pa.Table
    done: int
    permanent: list[Row]
    attempts: Mapping[str, int]
    ledger_rows: pa.Table


def remaining_work(
    manifest: pa.Table, fingerprint: str, ledger: Ledger, *, mix: bool = False, retry_permanent: bool = False
) -> RemainingWork:
    """Compares a manifest with the ledger of its destination.

    Args:
        manifest: table of `MANIFEST`.
        fingerprint: fingerprint of the run's settings.
        ledger: ledger of the destination.
        mix: whether the destination may hold music of another fingerprint.
        retry_permanent: whether videos are tried again whose error is permanent.

    Raises:
        FingerprintError: the destination holds music of another fingerprint, and `mix` does not allow it.
        LedgerError, StorageError: the ledger cannot be read.
    """
    rows = ledger.table()
    others = ledger.other_fingerprints(fingerprint, rows)
    if others and not mix:
        raise FingerprintError(
            f"{ledger.storage.url} holds music with the fingerprint {', '.join(others)}, this run's is {fingerprint}: "
            "take the settings of that run, another --out, or --force to mix both"
        )
    done = ledger.done(fingerprint, rows)
    latest = {row["item_id"]: row for row in ledger.latest(rows).to_pylist() if row["fingerprint"] == fingerprint}
    failed = {item: row for item, row in latest.items() if row["state"] == FAILED}
    permanent = {item for item, row in failed.items() if is_permanent(row["error_type"]) and not retry_permanent}
    items = manifest["item_id"].to_pylist()
    todo = pa.array([item not in done and item not in permanent for item in items], pa.bool_())
    return RemainingWork(
        todo=manifest.filter(todo),
        done=sum(item in done for item in items),
        permanent=[failed[item] for item in items if item in permanent],
        attempts={item: row["attempt"] for item, row in latest.items()},
        ledger_rows=rows,
    )

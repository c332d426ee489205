"""Resuming a run: a destination's ledger shows which rows of a manifest are still to be scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from models.errors import WRONG_USAGE
from pipeline.cluster.session import RunError
from pipeline.destination.ledger import FAILED, Ledger
from pipeline.scoring.restore import kept_music, without_kept
from pipeline.scoring.settings import RunSettings
from stages.contracts import Row
from stages.error_kinds import is_permanent

NOT_KEPT = " (the music is the same, but without --stems it was not kept, so --force makes it again)"


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
        kept: files of music that an earlier run kept for another mix, by item id.
        attempts: number of attempts so far at each item that was tried with this fingerprint, by item id.
        ledger_rows: all rows of the ledger as they were read for this.
    """

    todo: pa.Table
    done: int
    permanent: list[Row]
    attempts: Mapping[str, int]
    kept: Mapping[str, Row]
    ledger_rows: pa.Table


def remaining_work(
    manifest: pa.Table,
    settings: RunSettings,
    ledger: Ledger,
    *,
    mix: bool = False,
    retry_permanent: bool = False,
) -> RemainingWork:
    """Compares a manifest with the ledger of its destination.

    Args:
        manifest: table of `MANIFEST`.
        settings: settings of the run.
        ledger: ledger of the destination.
        mix: whether the destination may hold music of another fingerprint.
        retry_permanent: whether videos are tried again whose error is permanent.

    Raises:
        FingerprintError: the destination holds music of another fingerprint, and `mix` does not allow it. Results whose
            music is the same, and was kept, do not count: they are mixed again.
        LedgerError, StorageError: the ledger cannot be read.
    """
    rows = ledger.table()
    fingerprint, music = settings.fingerprint, settings.music_fingerprint
    kept = kept_music(rows, music)
    others = ledger.other_fingerprints(fingerprint, without_kept(rows, music, kept))
    if others and not mix:
        raise FingerprintError(
            f"{ledger.storage.url} holds music with the fingerprint {', '.join(others)}, this run's is {fingerprint}: "
            "take the settings of that run, another --out, or --force to mix both"
            + (NOT_KEPT if _is_of(rows, music, others) else "")
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
        kept=kept,
        attempts={item: row["attempt"] for item, row in latest.items()},
        ledger_rows=rows,
    )


def _is_of(rows: pa.Table, music: str, fingerprints: Sequence[str]) -> bool:
    """Whether the results of a fingerprint have music of `music`: they differ in the mix alone."""
    pairs = rows.select(["fingerprint", "music"]).to_pylist()
    return any(row["fingerprint"] in fingerprints and (row["music"] or row["fingerprint"]) == music for row in pairs)

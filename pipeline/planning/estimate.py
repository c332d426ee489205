"""The plan: what a run would do, how long it would take and what it would need, before anything is computed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.cluster.resources import Layout, Machine
from pipeline.destination.ledger import DONE, Ledger
from pipeline.discovery import READERS
from pipeline.planning.cost_model import Rates, fitted
from pipeline.scoring.run import resume
from pipeline.scoring.settings import RunSettings
from pipeline.storage.storage import Storage, StorageError
from stages.base import ItemError
from stages.contracts import Row
from stages.video.probe import probe

HEAD, TAIL = 1 << 20, 4 << 20
"""Bytes of a file in a bucket that are fetched to look at it; an index lies in one of the two."""
WAV_BYTES, AUDIO_BYTES, SIDECAR_BYTES = 44100 * 2 * 2, 24_000, 4096
"""Written for a second of video (16 bit stereo; 192 kbit/s inside the video), and for every video."""


@dataclass(frozen=True)
class Plan:
    """What a run would do. The counts add up to `total`.

    Attributes:
        done: videos whose music stands there already.
        failed_before: ledger rows of those that failed for what they are, and would not be tried.
        unusable: those that a look at them rules out: `uri`, `type`, `message`.
        todo: videos to score.
        looked_at: videos whose header was read; where fewer than `todo`, the others are taken to be like them.
        seconds: that the videos to score last together.
        guessed: of those looked at, how many do not tell how long they last; taken to be like the others.
        hours: of wall time, start-up apart; None where no rates are known.
        written: bytes of results.
        free: bytes free at the destination, None where that cannot be known.
        cost: `hours` at the price for an hour.
    """

    destination: str
    fingerprint: str
    total: int
    done: int
    failed_before: list[Row]
    unusable: list[Row]
    todo: int
    looked_at: int
    seconds: float
    guessed: int
    machine: Machine
    layouts: dict[str, Layout]
    rates: Rates | None
    hours: float | None
    written: int
    free: int | None
    cost: float | None

    @property
    def fits(self) -> bool:
        """Whether the results find room, as far as that can be known."""
        return self.free is None or self.written <= self.free

    @property
    def facts(self) -> dict[str, Any]:
        """For machines."""
        return {
            "destination": self.destination,
            "fingerprint": self.fingerprint,
            "total": self.total,
            "done": self.done,
            "failed_before": [
                {"uri": row["uri"], "type": row["error_type"], "message": row["error_message"]}
                for row in self.failed_before
            ],
            "unusable": self.unusable,
            "todo": self.todo,
            "looked_at": self.looked_at,
            "guessed": self.guessed,
            "seconds_of_video": round(self.seconds, 3),
            "machine": {"cores": self.machine.cores, "gpus": self.machine.gpus, "nodes": self.machine.nodes},
            "layouts": {
                name: {stage: vars(pool) for stage, pool in layout.pools.items()}
                for name, layout in self.layouts.items()
            },
            "rates": self.rates.source if self.rates else None,
            "hours": None if self.hours is None else round(self.hours, 4),
            "bytes_written": self.written,
            "bytes_free": self.free,
            "cost": None if self.cost is None else round(self.cost, 2),
        }


def plan(
    manifest: pa.Table,
    settings: RunSettings,
    destination: Storage,
    machine: Machine,
    *,
    rates: Rates | None = None,
    otherwise: Rates | None = None,
    price: float | None = None,
    sample: int | None = None,
    mix: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Plan:
    """Look at every video that would be scored, and reckon.

    Args:
        machine: that would do it.
        rates: what its work costs; by the destination's own ledger if left out, where that tells, or else `otherwise`.
        price: of an hour of the machine.
        sample: look only at so many videos, evenly spread.
        mix: see `pipeline.scoring.run.run`.
        progress: told how many have been looked at, and of how many.

    Raises:
        FingerprintError, LedgerError, StorageError: see `pipeline.scoring.run.run`.
    """
    state = resume(manifest, settings.fingerprint, Ledger(destination), mix=mix)
    rows = state.todo.to_pylist()
    seen = rows if sample is None or sample >= len(rows) else [rows[len(rows) * i // sample] for i in range(sample)]
    found = list(_looks(seen, progress))
    unusable = [look for look in found if "type" in look]
    lengths = [look["duration"] for look in found if look.get("duration")]
    share = 1 - len(unusable) / len(found) if found else 1.0
    todo = len(rows) - len(unusable) if len(seen) == len(rows) else round(len(rows) * share)
    seconds = sum(lengths) / len(lengths) * todo if lengths else 0.0
    rates = rates or _rates_of(state.rows, destination, settings, machine) or otherwise
    large = settings.model.preset is None
    layout = machine.layout(large_model=large)
    hours = rates.seconds(todo, seconds, layout, machine.cores) / 3600 if rates else None
    refused = {look["uri"] for look in unusable}
    kept = sum(row["size"] for row in seen if row["uri"] not in refused) * (len(rows) / len(seen) if seen else 1.0)
    return Plan(
        destination=destination.url,
        fingerprint=settings.fingerprint,
        total=manifest.num_rows,
        done=state.done,
        failed_before=state.hopeless,
        unusable=unusable,
        todo=todo,
        looked_at=len(seen),
        seconds=seconds,
        guessed=len(found) - len(unusable) - len(lengths),
        machine=machine,
        layouts={
            "here": layout,
            "without a GPU": machine.layout(0, large_model=large),
            "with one GPU": machine.layout(1, large_model=large),
        },
        rates=rates,
        hours=hours,
        written=int(kept + seconds * (WAV_BYTES + AUDIO_BYTES) + todo * SIDECAR_BYTES),
        free=_free(destination),
        cost=None if price is None or hours is None else hours * price,
    )


def _looks(rows: Sequence[Row], progress: Callable[[int, int], None]) -> Iterator[Row]:
    far = any("://" in row["uri"] for row in rows)
    with ThreadPoolExecutor(READERS["remote" if far else "local"]) as readers:
        for done, look in enumerate(readers.map(_look, rows), 1):
            progress(done, len(rows))
            yield look


def _look(row: Row) -> Row:
    """`uri` with `duration` (None if unknown), or with `type` and `message` of what stands in its way."""
    if row["error"]:
        return {"uri": row["uri"], "type": row["error"]["type"], "message": row["error"]["message"]}
    try:
        with _ends(row["uri"]) as path:
            return {"uri": row["uri"], "duration": probe(path).duration}
    except (ItemError, StorageError) as fault:
        return {"uri": row["uri"], "type": fault.kind, "message": str(fault)}
    except OSError as fault:
        return {"uri": row["uri"], "type": "Unreadable", "message": fault.strerror or str(fault)}


@contextmanager
def _ends(uri: str) -> Iterator[Path]:
    """A local file with the size, the beginning and the end of a video; zeros between, where it lies in a bucket."""
    storage, name = Storage.locate(uri)
    if storage.local:
        with storage.localize(name) as path:
            yield path
        return
    size = storage.size(name) or 0
    wanted = [(0, size)] if size <= HEAD + TAIL else [(0, HEAD), (size - TAIL, TAIL)]
    with tempfile.NamedTemporaryFile(prefix="diff-v2m-") as copy:
        for (offset, _), block in zip(wanted, storage.ranges(name, wanted), strict=True):
            copy.seek(offset)
            copy.write(block)
        copy.truncate(size)
        copy.flush()
        yield Path(copy.name)


def _rates_of(rows: pa.Table, destination: Storage, settings: RunSettings, machine: Machine) -> Rates | None:
    """What a destination's runs of these settings cost, by its ledger, taken to be those of a machine like this one."""
    rows = rows.filter(pc.and_(pc.equal(rows["state"], DONE), pc.equal(rows["fingerprint"], settings.fingerprint)))
    if rows.num_rows < 3:
        return None
    done = rows.select(["duration", "seconds", "finished"]).sort_by("finished").to_pylist()
    span = (done[-1]["finished"] - done[0]["finished"]).total_seconds()
    work = sum(seconds for row in done[1:] for _, seconds in row["seconds"] or ())
    busy = machine.cores * min(1.0, span / work) if work else machine.cores  # so much work went on at one time
    return fitted(done, f"{len(done)} videos done at {destination.url}", busy, machine.gpus)


def _free(destination: Storage) -> int | None:
    if not destination.local:
        return None
    folder = Path(destination.root).absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free

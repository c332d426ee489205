"""The plan: an estimate of what a run would do, how long it would take and what it would need."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from models.progress import ProgressCallback
from pipeline.cluster.resources import Layout, Machine
from pipeline.destination.ledger import DONE, Ledger
from pipeline.discovery import READERS
from pipeline.planning.cost_model import CostModel, fit_cost_model
from pipeline.scoring.resume import remaining_work
from pipeline.scoring.settings import RunSettings
from pipeline.scoring.steps import scoring_layout
from pipeline.storage.storage import Storage, StorageError
from stages.base import ItemError
from stages.contracts import Row
from stages.video.decode_settings import DecodeSettings
from stages.video.inspection import inspect_video

HEAD, TAIL = 1 << 20, 4 << 20
"""Bytes at the beginning and at the end of a remote file that are fetched to probe it; its index is in one of them."""
WAV_BYTES, AUDIO_BYTES, SIDECAR_BYTES = 44100 * 2 * 2, 24_000, 4096
"""Bytes that are written: 16-bit stereo and 192 kbit/s inside the video for each second, a sidecar for each video."""
MIN_ROWS = 3
"""Number of videos that a destination's ledger must hold as done before its times are used."""


@dataclass(frozen=True)
class Plan:
    """The estimate of a run. `done`, `todo` and the lengths of `failed_before` and `unusable` add up to `total`.

    That holds as long as every video is probed; otherwise `todo` is an estimate.

    Attributes:
        destination: URL of the destination.
        fingerprint: fingerprint of the run's settings.
        total: number of videos in the manifest.
        done: number of videos whose music is at the destination already.
        failed_before: last ledger rows of the videos that failed for good and would not be tried again.
        unusable: videos that a probe rules out, with `uri`, `type` and `message`.
        todo: number of videos to score.
        looked_at: number of videos that were probed. If it is smaller than `todo`, the others are taken to be alike.
        seconds: seconds that the videos to score last together.
        guessed: number of probed videos whose length only decoding tells, which are taken to be like the others.
        other_containers: probed videos whose container cannot hold their pictures with new sound, with `uri`, the
            `wanted` name and the `output` that will be written.
        left_behind: number of probed videos with each kind of stream that a scored video does not take along.
        machine: machine or cluster that would do it.
        layouts: workers of each stage on this machine, without a GPU and with one.
        cost_model: costs of the stages; None if they are not known.
        hours: hours of wall time without the start of the run; None if the costs are not known.
        written: bytes of the results.
        free: bytes that are free at the destination; None if that is not known.
        cost: price of `hours`; None if one of the two is not known.
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
    other_containers: list[Row]
    left_behind: Counter[str]
    machine: Machine
    layouts: dict[str, Layout]
    cost_model: CostModel | None
    hours: float | None
    written: int
    free: int | None
    cost: float | None

    @property
    def fits(self) -> bool:
        """Whether the results fit into the destination, as far as that is known."""
        return self.free is None or self.written <= self.free

    def to_dict(self) -> dict[str, Any]:
        """Returns the plan as `plan --json` prints it."""
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
            "other_containers": self.other_containers,
            "left_behind": dict(self.left_behind),
            "seconds_of_video": round(self.seconds, 3),
            "machine": {"cores": self.machine.cores, "gpus": self.machine.gpus, "nodes": self.machine.nodes},
            "layouts": {
                name: {stage: vars(pool) for stage, pool in layout.pools.items()}
                for name, layout in self.layouts.items()
            },
            "rates": self.cost_model.source if self.cost_model else None,
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
    cost_model: CostModel | None = None,
    fallback: CostModel | None = None,
    price: float | None = None,
    sample: int | None = None,
    mix: bool = False,
    on_progress: ProgressCallback = lambda done, total: None,
) -> Plan:
    """Probes the videos that would be scored, and estimates the run.

    Args:
        manifest: table of `MANIFEST`.
        settings: settings of the run.
        destination: storage that would take the outputs.
        machine: machine or cluster that would do it.
        cost_model: costs of the stages. If left out they are fitted to the destination's own ledger.
        fallback: costs of the stages if the ledger holds too few videos.
        price: price of an hour of the machine.
        sample: number of videos to probe, evenly spread; all if left out.
        mix: whether the destination may hold music of another fingerprint.
        on_progress: receives the number of videos probed and to probe.

    Raises:
        FingerprintError: the destination holds music of another fingerprint, and `mix` does not allow it.
        LedgerError, StorageError: the destination cannot be read.
    """
    work = remaining_work(manifest, settings.fingerprint, Ledger(destination), mix=mix)
    rows = work.todo.to_pylist()
    seen = rows if sample is None or sample >= len(rows) else [rows[len(rows) * i // sample] for i in range(sample)]
    probes = _probe_all(seen, on_progress)
    unusable = [found for found in probes if "type" in found]
    lengths = [found["duration"] for found in probes if found.get("duration")]
    usable_share = 1 - len(unusable) / len(probes) if probes else 1.0
    todo = len(rows) - len(unusable) if len(seen) == len(rows) else round(len(rows) * usable_share)
    seconds = sum(lengths) / len(lengths) * todo if lengths else 0.0
    cost_model = cost_model or _fit_to_ledger(work.ledger_rows, destination, settings, machine) or fallback
    layout = scoring_layout(machine, settings.model)
    hours = cost_model.wall_seconds(todo, seconds, layout, machine.cores) / 3600 if cost_model else None
    return Plan(
        destination=destination.url,
        fingerprint=settings.fingerprint,
        total=manifest.num_rows,
        done=work.done,
        failed_before=work.permanent,
        unusable=unusable,
        todo=todo,
        looked_at=len(seen),
        seconds=seconds,
        guessed=len(probes) - len(unusable) - len(lengths),
        other_containers=[
            {name: found[name] for name in ("uri", "wanted", "output")}
            for found in probes
            if "output" in found and found["output"] != found["wanted"]
        ],
        left_behind=Counter(kind for found in probes for kind in found.get("left_behind", ())),
        machine=machine,
        layouts={
            "here": layout,
            "without a GPU": scoring_layout(machine, settings.model, gpus=0),
            "with one GPU": scoring_layout(machine, settings.model, gpus=1),
        },
        cost_model=cost_model,
        hours=hours,
        written=_bytes_written(rows, seen, unusable, todo, seconds),
        free=_bytes_free(destination),
        cost=None if price is None or hours is None else hours * price,
    )


def _probe_all(rows: Sequence[Row], on_progress: ProgressCallback) -> list[Row]:
    """Probes many videos at once; the results are in the order of the rows."""
    remote = any("://" in row["uri"] for row in rows)
    probes = []
    with ThreadPoolExecutor(READERS["remote" if remote else "local"]) as readers:
        for found in readers.map(_probe, rows):
            probes.append(found)
            on_progress(len(probes), len(rows))
    return probes


def _probe(row: Row) -> Row:
    """Returns the `uri` with `duration` (None if only decoding tells) and `output`, or with the `type` and `message` of
    an error.
    """
    if row["error"]:
        return {"uri": row["uri"], "type": row["error"]["type"], "message": row["error"]["message"]}
    try:
        with _both_ends(row["uri"]) as (path, is_whole):
            found = inspect_video(path, row, DecodeSettings(), is_whole=is_whole)
            return {
                "uri": row["uri"],
                "duration": found.info.duration,
                "output": found.output,
                "wanted": row["output"],
                "left_behind": found.info.left_behind,
            }
    except (ItemError, StorageError) as error:
        return {"uri": row["uri"], "type": error.kind, "message": str(error)}
    except OSError as error:
        return {"uri": row["uri"], "type": "Unreadable", "message": error.strerror or str(error)}


@contextmanager
def _both_ends(uri: str) -> Iterator[tuple[Path, bool]]:
    """Gives a local file to probe, and whether it is whole: the video itself, or of a large remote one both ends."""
    storage, name = Storage.locate(uri)
    if storage.local:
        with storage.localize(name) as path:
            yield path, True
        return
    size = storage.size(name) or 0
    wanted = [(0, size)] if size <= HEAD + TAIL else [(0, HEAD), (size - TAIL, TAIL)]
    with tempfile.NamedTemporaryFile(prefix="diff-v2m-") as copy:
        for (offset, _), block in zip(wanted, storage.ranges(name, wanted), strict=True):
            copy.seek(offset)
            copy.write(block)
        copy.truncate(size)
        copy.flush()
        yield Path(copy.name), len(wanted) == 1


def _fit_to_ledger(rows: pa.Table, destination: Storage, settings: RunSettings, machine: Machine) -> CostModel | None:
    """Fits the costs to a destination's runs of these settings, which are taken to be those of a machine like this.

    Returns None if fewer than `MIN_ROWS` videos are done there.
    """
    rows = rows.filter(pc.and_(pc.equal(rows["state"], DONE), pc.equal(rows["fingerprint"], settings.fingerprint)))
    if rows.num_rows < MIN_ROWS:
        return None
    done = rows.select(["duration", "seconds", "finished"]).sort_by("finished").to_pylist()
    span = (done[-1]["finished"] - done[0]["finished"]).total_seconds()
    work = sum(seconds for row in done[1:] for _, seconds in row["seconds"] or ())
    # On average work / span stages worked at a time; they are taken to have kept all processors busy together.
    busy = machine.cores * min(1.0, span / work) if work else machine.cores
    return fit_cost_model(done, f"{len(done)} videos done at {destination.url}", busy, machine.gpus)


def _bytes_written(rows: Sequence[Row], seen: Sequence[Row], unusable: Sequence[Row], todo: int, seconds: float) -> int:
    """Returns the bytes of all results: the copied pictures, the music and the sidecars."""
    refused = {found["uri"] for found in unusable}
    pictures = sum(row["size"] for row in seen if row["uri"] not in refused) * (len(rows) / len(seen) if seen else 1.0)
    return int(pictures + seconds * (WAV_BYTES + AUDIO_BYTES) + todo * SIDECAR_BYTES)


def _bytes_free(destination: Storage) -> int | None:
    """Returns the free bytes of a local destination, None of a remote one."""
    if not destination.local:
        return None
    folder = Path(destination.root).absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free

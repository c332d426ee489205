"""The plan: an estimate of what a run would do, how long it would take and what it would need."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from models.progress import ProgressCallback
from pipeline.cluster.resources import Layout, Machine
from pipeline.destination.ledger import DONE, Ledger
from pipeline.planning.cost_model import CostModel, fit_cost_model
from pipeline.planning.probing import probe_videos
from pipeline.scoring.resume import remaining_work
from pipeline.scoring.settings import RunSettings
from pipeline.scoring.steps import scoring_layout
from pipeline.storage.storage import Storage
from stages.contracts import Row

AUDIO_BYTES, SIDECAR_BYTES = 24_000, 4096
PCM_BYTES = 44100 * 2 * 2
"""Bytes of a second of music in 16-bit PCM."""
FORMAT_SHARES = {"wav": 1.0, "wav24": 1.5, "wav32f": 2.0, "flac": 0.7, "mp3": 0.12, "ogg": 0.1}
"""Size of each format, as a share of 16-bit PCM."""
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
    work = remaining_work(manifest, settings, Ledger(destination), mix=mix)
    rows = work.todo.to_pylist()
    seen = rows if sample is None or sample >= len(rows) else [rows[len(rows) * i // sample] for i in range(sample)]
    probed = probe_videos(seen, on_progress)
    unusable, lengths = probed.unusable, probed.lengths
    todo = len(rows) - len(unusable) if len(seen) == len(rows) else round(len(rows) * probed.usable_share)
    seconds = sum(lengths) / len(lengths) * todo if lengths else 0.0
    cost_model = cost_model or _fit_to_ledger(work.ledger_rows, destination, settings, machine) or fallback
    layout = scoring_layout(machine, settings.model)
    made = sum(row["item_id"] not in work.kept for row in rows) / len(rows) if rows else 1.0  # the others: mixed again
    hours = (
        cost_model.wall_seconds(round(todo * made), seconds * made, layout, machine.cores) / 3600
        if cost_model
        else None
    )
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
        guessed=probed.guessed,
        other_containers=probed.other_containers,
        left_behind=probed.left_behind,
        machine=machine,
        layouts=_layouts(machine, settings),
        cost_model=cost_model,
        hours=hours,
        written=_bytes_written(rows, seen, unusable, todo, seconds, settings),
        free=_bytes_free(destination),
        cost=None if price is None or hours is None else hours * price,
    )


def _layouts(machine: Machine, settings: RunSettings) -> dict[str, Layout]:
    """Returns the workers of each stage on a machine as it is, without a GPU and with one."""
    gpus = {"here": None, "without a GPU": 0, "with one GPU": 1}
    return {name: scoring_layout(machine, settings.model, gpus=number) for name, number in gpus.items()}


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


def _bytes_written(
    rows: Sequence[Row],
    seen: Sequence[Row],
    unusable: Sequence[Row],
    todo: int,
    seconds: float,
    settings: RunSettings,
) -> int:
    """Returns the bytes of all results: the copied pictures, the music in all formats, the parts and the sidecars."""
    refused = {found["uri"] for found in unusable}
    pictures = sum(row["size"] for row in seen if row["uri"] not in refused) * (len(rows) / len(seen) if seen else 1.0)
    outputs, parts = settings.outputs, 0.0
    files = sum(FORMAT_SHARES[name] for name in outputs.formats)
    if outputs.stems:
        parts = 1.0 + (0.0 if settings.mixing.original == "drop" else 2 * FORMAT_SHARES["flac"])
    sound = PCM_BYTES * (files * (outputs.sample_rate or 44100) / 44100 + parts)
    return int(pictures + seconds * (sound + AUDIO_BYTES) + todo * SIDECAR_BYTES)


def _bytes_free(destination: Storage) -> int | None:
    """Returns the free bytes of a local destination, None of a remote one."""
    if not destination.local:
        return None
    folder = Path(destination.root).absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free

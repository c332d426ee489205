"""The stages of scoring: one table with their order, what builds them, and what each takes of a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from models.weights.source import ModelSource
from pipeline.cluster.resources import Layout, Machine, StageShare
from pipeline.cluster.session import machine_of_cluster
from pipeline.scoring.builders import (
    BuildContext,
    build_decode,
    build_decode_audio,
    build_delivery,
    build_extract_features,
    build_mix,
    build_predict_rhythm,
    build_sample_latents,
)
from pipeline.scoring.delivery import Delivery
from pipeline.scoring.progress import ProgressListener
from pipeline.scoring.restore import RestoreMusic, RestoreMusicSettings
from pipeline.scoring.settings import RunSettings
from pipeline.scoring.streaming import Step, run_steps
from pipeline.storage.storage import Storage
from stages.base import Stage
from stages.contracts import Contract
from stages.decode import Decode
from stages.decode_audio import DecodeAudio
from stages.extract_features import ExtractFeatures
from stages.mix import Mix
from stages.predict_rhythm import PredictRhythm
from stages.sample_latents import SampleLatents

GPU_WINDOWS = 16
"""Windows that go through a network on a GPU at once, if its memory holds as many.

Without a GPU it is one: a processor gains nothing from batches, and a window that is alone in its batch has the same
latents, bit for bit, everywhere.
"""


@dataclass(frozen=True)
class StageSpec:
    """One stage of scoring.

    Attributes:
        stage: the stage's class.
        build: returns the function that builds the stage in its worker.
        share: part of a machine that the stage's workers get.
        gpu_rows: rows of a batch where the stage has a share of a GPU; elsewhere it is one.
    """

    stage: type[Stage] | type[Delivery]
    build: Callable[[BuildContext], Callable[[], Any]]
    share: StageShare
    gpu_rows: int = 1

    @property
    def name(self) -> str:
        """The stage's name in ledgers, layouts and progress."""
        return self.stage.name

    @property
    def reads(self) -> Contract:
        """The contract of the tables that the stage takes."""
        return self.stage.reads

    @property
    def writes(self) -> Contract | pa.Schema:
        """The contract of the tables that the stage returns; the last one's is the ledger's schema."""
        return self.stage.writes


# The GPU shares sum to 1. Without a GPU, sampling gets most of the processors; with one, decoding does.
SCORING_STAGES = (
    StageSpec(Decode, build_decode, StageShare(cpus=0.23, cpus_beside_gpu=0.58)),
    StageSpec(ExtractFeatures, build_extract_features, StageShare(cpus=0.14, cpus_beside_gpu=0.1, gpu=0.1)),
    StageSpec(
        PredictRhythm, build_predict_rhythm, StageShare(cpus=0.05, cpus_beside_gpu=0.05, gpu=0.05), gpu_rows=GPU_WINDOWS
    ),
    StageSpec(
        SampleLatents,
        build_sample_latents,
        StageShare(cpus=0.35, cpus_beside_gpu=0.06, gpu=0.6, takes_all_threads=True),
        gpu_rows=GPU_WINDOWS,
    ),
    StageSpec(DecodeAudio, build_decode_audio, StageShare(cpus=0.13, cpus_beside_gpu=0.07, gpu=0.25)),
    StageSpec(Mix, build_mix, StageShare(cpus=0.04, cpus_beside_gpu=0.04)),
    StageSpec(Delivery, build_delivery, StageShare(cpus=0.06, cpus_beside_gpu=0.1)),
)
"""The stages of scoring in their order."""
STAGES = tuple(spec.name for spec in SCORING_STAGES)
STAGE_SHARES = {spec.name: spec.share for spec in SCORING_STAGES}


def scoring_layout(machine: Machine, model: ModelSource, gpus: float | None = None) -> Layout:
    """Returns the workers of each stage on a machine.

    Args:
        machine: the machine or cluster.
        model: the model. Weights from a file count as large, those of a preset do not.
        gpus: the number of GPUs to assume instead of the machine's own.
    """
    return machine.layout(STAGE_SHARES, gpus, large_model=model.preset is None)


def scoring_steps(
    settings: RunSettings,
    destination: Storage,
    layout: Layout,
    attempts: Mapping[str, int] | None = None,
    lock: str | None = None,
) -> dict[str, Step]:
    """Returns the steps of scoring on a machine, by the stages' names.

    Args:
        settings: settings of the run.
        destination: storage that takes the outputs and the ledger.
        layout: workers of each stage.
        attempts: number of earlier attempts at each item, by item id.
        lock: name of the run's lock on the destination; None if nothing is locked.
    """
    steps = {}
    for spec in SCORING_STAGES:
        pool = layout[spec.name]
        rows = spec.gpu_rows if pool.num_gpus else 1
        context = BuildContext(settings, pool, rows, destination, attempts or {}, lock)
        steps[spec.name] = Step(spec.build(context), rows, pool)
    return steps


def score_stream(
    todo: pa.Table,
    settings: RunSettings,
    destination: Storage,
    listener: ProgressListener,
    attempts: Mapping[str, int],
    lock: str,
    restore: RestoreMusicSettings | None = None,
) -> Iterator[pa.Table]:
    """Takes the rows of a manifest through all stages on the connected cluster, and yields their ledger rows.

    Args:
        todo: table of `MANIFEST`.
        settings: settings of the run.
        destination: storage that takes the outputs and the ledger.
        listener: receives the progress.
        attempts: number of earlier attempts at each item, by item id.
        lock: name of the run's lock on the destination.
        restore: where the music of these rows is kept; None if it is to be made.

    Raises:
        RunError: the workers cannot go on.
        StorageError: the destination takes nothing any more.
    """
    layout = scoring_layout(machine_of_cluster(), settings.model)
    steps = scoring_steps(settings, destination, layout, attempts, lock)
    if restore is not None:
        mix_on = list(steps)[list(steps).index(Mix.name) :]
        steps = {
            RestoreMusic.name: Step(partial(RestoreMusic, restore), 1, layout[Decode.name]),
            **{name: steps[name] for name in mix_on},
        }
    if todo.num_rows:
        yield from run_steps(todo, steps, listener)

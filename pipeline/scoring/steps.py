"""The stages of scoring: their order, and what builds each of them in its worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pyarrow as pa

from models.clip.checkpoint import clip_config
from pipeline.cluster.resources import Layout, Pool
from pipeline.cluster.session import layout_of_cluster
from pipeline.scoring.delivery import Delivery, DeliverySettings
from pipeline.scoring.settings import RunSettings
from pipeline.scoring.streaming import Step, Watcher, through
from pipeline.storage.storage import Storage, localize
from stages.decode import Decode
from stages.decode_audio import Sound, SoundSettings
from stages.extract_features import Features, FeaturesSettings
from stages.predict_rhythm import Rhythm, RhythmSettings
from stages.sample_latents import Sample, SampleSettings
from stages.video.validation import DecodeSettings

STAGES = ("decode", "features", "rhythm", "sample", "sound", "mux")


GPU_WINDOWS = 16
"""Windows that go through a network on a GPU at once, if its memory holds as many."""


def stream(
    todo: pa.Table, settings: RunSettings, destination: Storage, watcher: Watcher, attempts: Mapping[str, int]
) -> Iterator[pa.Table]:
    """Take the rows of a manifest through all stages; give their ledger rows as they are written.

    Args:
        attempts: earlier attempts at items, by item id.

    Raises:
        RunError: the workers cannot go on.
        StorageError: the destination takes nothing any more.
    """
    layout = layout_of_cluster(large_model=settings.model.preset is None)
    yield from through(todo, steps_of(attempts, settings, destination, layout), watcher)


def steps_of(
    attempts: Mapping[str, int], settings: RunSettings, destination: Storage, layout: Layout
) -> dict[str, Step]:
    """The steps of scoring."""
    model = settings.model

    def device(stage: str) -> str:
        """Without a share of a GPU a worker keeps off it, even if it could see one."""
        chosen = "cuda" if layout[stage].num_gpus else "cpu"
        return chosen if settings.device == "auto" else settings.device

    def on(stage: str) -> dict[str, Any]:
        return {"model": model, "device": device(stage), "threads": layout[stage].threads}

    sampling = SampleSettings(
        **on("sample"),
        seed=settings.seed,
        take=settings.take,
        steps=settings.sampling_steps,
        guidance=settings.guidance_scale,
        sampler=settings.sampler,
        precision=settings.precision,
        compiled=settings.compiled,
        share=layout["sample"].num_gpus or 1.0,
        windows_per_batch=_windows_per_batch(layout["sample"]),
    )
    delivery = DeliverySettings(destination, settings, model.config.lengths.sample_rate, attempts)
    rows = _windows_per_batch(layout["sample"])
    builders: dict[str, tuple[Callable[[], Any], int]] = {
        "decode": (partial(Decode, DecodeSettings(clip_size=clip_config(settings.clip).image_size), localize), 1),
        "features": (partial(Features, FeaturesSettings(settings.clip, device("features"))), 1),
        "rhythm": (partial(Rhythm, RhythmSettings(**on("rhythm"), seed=settings.seed, take=settings.take)), rows),
        "sample": (partial(Sample, sampling), rows),
        "sound": (partial(Sound, SoundSettings(**on("sound"), precision=settings.precision)), 1),
        "mux": (partial(Delivery, delivery), 1),
    }
    return {stage: Step(build, batch, layout[stage]) for stage, (build, batch) in builders.items()}


def _windows_per_batch(pool: Pool) -> int:
    """A processor gains nothing from batches, and alone in its batch a window is the same bit for bit everywhere."""
    return GPU_WINDOWS if pool.num_gpus else 1

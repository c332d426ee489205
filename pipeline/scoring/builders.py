"""Builders: for each stage of scoring, a function that returns what builds the stage in its worker.

A builder runs in the driving process, and the function that it returns runs in the workers. So a worker alone loads
weights, and a setting that cannot be used is found before any worker starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from models.clip.checkpoint import clip_config
from pipeline.cluster.resources import Pool
from pipeline.scoring.delivery import Delivery, DeliverySettings
from pipeline.scoring.settings import RunSettings
from pipeline.storage.storage import Storage, localize
from stages.decode import Decode
from stages.decode_audio import DecodeAudio, DecodeAudioSettings
from stages.extract_features import ExtractFeatures, ExtractFeaturesSettings
from stages.mix import Mix, MixSettings
from stages.predict_rhythm import PredictRhythm, PredictRhythmSettings
from stages.sample_latents import SampleLatents, SampleLatentsSettings
from stages.video.decode_settings import DecodeSettings


@dataclass(frozen=True)
class BuildContext:
    """Everything that a stage is built from.

    Attributes:
        settings: settings of the run.
        pool: the stage's workers.
        rows: rows of a batch.
        destination: storage that takes the outputs and the ledger.
        attempts: number of earlier attempts at each item, by item id.
        lock: name of the run's lock on the destination; None if nothing is locked.
    """

    settings: RunSettings
    pool: Pool
    rows: int
    destination: Storage
    attempts: Mapping[str, int]
    lock: str | None = None

    @property
    def device(self) -> str:
        """The worker's device. A worker without a share of a GPU keeps off it, even if it could see one."""
        if self.settings.device != "auto":
            return self.settings.device
        return "cuda" if self.pool.num_gpus else "cpu"

    @property
    def network(self) -> dict[str, Any]:
        """The settings that all stages with a part of the model share."""
        return {"model": self.settings.model, "device": self.device, "threads": self.pool.threads}


def build_decode(context: BuildContext) -> Callable[[], Decode]:
    clip_size = clip_config(context.settings.clip_weights).image_size
    settings = DecodeSettings(clip_size=clip_size, max_lost=context.settings.max_lost)
    return partial(Decode, settings, localize)


def build_extract_features(context: BuildContext) -> Callable[[], ExtractFeatures]:
    return partial(ExtractFeatures, ExtractFeaturesSettings(context.settings.clip_weights, context.device))


def build_predict_rhythm(context: BuildContext) -> Callable[[], PredictRhythm]:
    run = context.settings
    return partial(PredictRhythm, PredictRhythmSettings(**context.network, seed=run.seed, take=run.take))


def build_sample_latents(context: BuildContext) -> Callable[[], SampleLatents]:
    run = context.settings
    settings = SampleLatentsSettings(
        **context.network,
        seed=run.seed,
        take=run.take,
        sampling=run.resolved_sampling,
        gpu_share=context.pool.num_gpus or 1.0,
        windows_per_batch=context.rows,
    )
    return partial(SampleLatents, settings)


def build_decode_audio(context: BuildContext) -> Callable[[], DecodeAudio]:
    settings = DecodeAudioSettings(**context.network, precision=context.settings.sampling.precision)
    return partial(DecodeAudio, settings)


def build_mix(context: BuildContext) -> Callable[[], Mix]:
    run = context.settings
    settings = MixSettings(run.mixing, run.model.config.lengths.sample_rate, run.outputs.stems)
    return partial(Mix, settings, localize)


def build_delivery(context: BuildContext) -> Callable[[], Delivery]:
    settings = DeliverySettings(context.destination, context.settings, context.attempts, lock=context.lock)
    return partial(Delivery, settings)

"""The options that choose a model and a run, and how they become the run's settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.mix_options import MixOptions
from jobs.options import (
    Address,
    ClipWeights,
    Guidance,
    Limit,
    Out,
    Precision,
    PrecisionName,
    Preset,
    PresetName,
    Seed,
    SettingsError,
    Sources,
    Steps,
    Weights,
    WeightSet,
    WeightSetName,
)

if TYPE_CHECKING:
    from models.weights.source import ModelSource
    from pipeline.scoring.settings import RunSettings


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Options that choose a model and how it samples."""

    preset: Preset = PresetName.TINY
    weights: Weights = None
    weight_set: WeightSet = WeightSetName.ONLINE
    clip_weights: ClipWeights = None
    steps: Steps = None
    guidance: Guidance = None

    def settings(self) -> RunSettings:
        """The settings of a run, after a look into every file that they name.

        Raises:
            SettingsError, CheckpointError, ConfigError, ClipWeightsError: they cannot be used.
        """
        from models.sampling.settings import SamplingSettings
        from models.weights.source import ModelSource
        from pipeline.scoring.settings import RunSettings

        model = ModelSource(str(self.weights or self.preset.value), self.weight_set.value)
        check_weights(model)
        clip_weights = str(self.clip_weights or default_clip_weights(model))
        check_clip_width(model, clip_weights)
        sampling = SamplingSettings(steps=self.steps, guidance=self.guidance)
        return RunSettings(model=model, clip_weights=clip_weights, sampling=sampling)


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(MixOptions, ModelOptions):
    """Options of a run; those of `score` and `plan`."""

    sources: Sources
    out: Out
    seed: Seed = 0
    precision: Precision = PrecisionName.AUTO
    compiled: Annotated[
        bool,
        typer.Option("--compile", help="Compile the sampler's network first; pays in long runs, needs a compiler."),
    ] = False
    max_lost: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of a video whose frames may be unreadable; more damage fails it."),
    ] = 0.1
    limit: Limit = None
    address: Address = None
    force: Annotated[
        bool, typer.Option("--force", help="Mix with music of other settings in the same destination.")
    ] = False

    def settings(self) -> RunSettings:
        from models.precision import check_compiler

        mixing, outputs = self.mixing, self.outputs
        settings = super().settings()
        if self.compiled and self.address is None:  # a cluster's workers look for a compiler themselves
            check_compiler()
        sampling = replace(settings.sampling, precision=self.precision.value, compiled=self.compiled)
        return replace(
            settings, seed=self.seed, sampling=sampling, mixing=mixing, outputs=outputs, max_lost=self.max_lost
        )


def default_clip_weights(model: ModelSource) -> str | Path:
    """The CLIP weights of a model for which none are named: `tiny` for a preset, or those beside its checkpoint.

    Raises:
        SettingsError: there are none.
    """
    if model.preset is not None:
        return "tiny"
    from models.weights.checkpoint import open_checkpoint

    beside = open_checkpoint(model.name).path.with_name("clip.safetensors")
    if not beside.is_file():
        raise SettingsError(f"no CLIP weights at {beside}: name open_clip weights with --clip-weights")
    return beside


def check_weights(model: ModelSource) -> None:
    """Compares every tensor of a checkpoint with what its network takes, before anything starts.

    Raises:
        CheckpointError: tensors are missing, or of another shape.
        SettingsError: the moving average is asked for, and the checkpoint holds none.
    """
    if model.preset is not None:
        return
    from models.weights.checkpoint import open_checkpoint, raise_problems
    from models.weights.loading import build_without_weights, check_tensors

    checkpoint = open_checkpoint(model.name)
    raise_problems(check_tensors(checkpoint, build_without_weights(checkpoint)))
    if model.weights == "ema" and not checkpoint.has_ema:
        raise SettingsError(f"{checkpoint.path} holds no moving average; use --weight-set online")


def check_clip_width(model: ModelSource, clip_weights: str) -> None:
    """Compares the width of a CLIP's embedding with what the model was made for.

    Raises:
        SettingsError: they differ.
    """
    from models.clip.checkpoint import clip_config

    expected, came = model.config.semantic_dim, clip_config(clip_weights).embed_dim
    if expected != came:
        raise SettingsError(
            f"the model takes semantic features of {expected} numbers, this CLIP gives {came}: {clip_weights}"
        )

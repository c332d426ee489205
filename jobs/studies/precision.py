"""The cost and gain of reduced precision, stage by stage: `diff-v2m experiment precision MODEL ...`.

A preset gets the features of a composed video, any other checkpoint gets random features. Everything is compared with
float32: one velocity, the latents of a whole sampling, the decoder with the same latents, and the audio of all stages
together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.studies.samplers import SECONDS, SEED, conditions_for

if TYPE_CHECKING:
    from torch import Tensor

    from models import DiffV2M

STEPS = 32
TIMESTEP = 0.6
"""Timestep of the one velocity that is compared."""
TURNS = 2
"""Times that sampling and decoding are timed; the fastest counts."""
REDUCED = ("bfloat16", "float16")


@dataclass(frozen=True)
class PrecisionComparison:
    """One model in a reduced precision, compared with float32.

    Attributes:
        model: name of the model.
        dtype: name of the precision.
        velocity, latents, audio: errors in standard deviations of what float32 gives; `audio` is that of the decoder
            alone, with the same latents.
        decoder_log_mel, whole_log_mel: mean difference of log-mel spectrograms (natural logarithm) of the decoder
            alone, with the same latents, and of all stages together.
        sampling_speedup, decoding_speedup: how many times as fast as float32.
    """

    model: str
    dtype: str
    velocity: float
    latents: float
    audio: float
    decoder_log_mel: float
    whole_log_mel: float
    sampling_speedup: float
    decoding_speedup: float


@dataclass(frozen=True)
class Outputs:
    """The outputs of a model for one noise.

    Attributes:
        velocity: one guided velocity, [clips, channels, frames].
        latents: sampled latents, of the same shape.
        audio: audio of the latents that the decoder was given, [clips, 2, samples].
        own_audio: audio of the sampled latents, of the same shape.
        sampling, decoding: seconds that they took.
    """

    velocity: Tensor
    latents: Tensor
    audio: Tensor
    own_audio: Tensor
    sampling: float
    decoding: float


def run_model(model: DiffV2M, name: str, latents: Tensor | None = None) -> Outputs:
    """Runs all stages of a model.

    Args:
        name: the model's name, which chooses its conditions.
        latents: input of the decoder; the sampled latents if left out.
    """
    import torch

    conditions = conditions_for(model, name)
    shape = len(conditions), model.config.latent_channels, model.lengths.latents_of(SECONDS)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(SEED)).to(model.device)
    guidance = model.config.sampling.guidance
    velocity = model.velocity(noise, noise.new_full((len(noise),), TIMESTEP), conditions, guidance)
    sampled, sampling = _timed(lambda: model.sample(noise, conditions, STEPS, guidance))
    audio, decoding = _timed(lambda: model.decode(sampled if latents is None else latents))
    return Outputs(velocity, sampled, audio, model.decode(sampled), sampling, decoding)


def _timed(work: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """The result of some work, and the seconds of its fastest turn, copying the result from the device included."""
    seconds = list[float]()
    for _ in range(TURNS):
        started = time.perf_counter()
        result = work()
        result.cpu()
        seconds.append(time.perf_counter() - started)
    return result, min(seconds)


def compare_precision(name: str, device: str = "cpu", dtypes: Sequence[str] = REDUCED) -> list[PrecisionComparison]:
    """Compares reduced precisions with float32 for one model.

    Args:
        name: a preset, or the path of a checkpoint.
    """
    import torch

    from models import load_model
    from models.metrics.metrics import log_mel_l1

    def load(dtype: str) -> DiffV2M:
        return load_model(name, device=device, dtype=getattr(torch, dtype))

    def error(value: Tensor, expected: Tensor) -> float:
        return float((value - expected).square().mean().sqrt() / expected.std())

    def log_mel_difference(audio: Tensor, expected: Tensor) -> float:
        pairs = zip(audio, expected, strict=True)
        return sum(log_mel_l1(a.float().cpu(), b.float().cpu()) for a, b in pairs) / len(audio)

    full, rows = run_model(load("float32"), name), list[PrecisionComparison]()
    for dtype in dtypes:
        reduced = run_model(load(dtype), name, full.latents)
        rows.append(
            PrecisionComparison(
                model=Path(name).name,
                dtype=dtype,
                velocity=error(reduced.velocity, full.velocity),
                latents=error(reduced.latents, full.latents),
                audio=error(reduced.audio, full.audio),
                decoder_log_mel=log_mel_difference(reduced.audio, full.audio),
                whole_log_mel=log_mel_difference(reduced.own_audio, full.audio),
                sampling_speedup=full.sampling / reduced.sampling,
                decoding_speedup=full.decoding / reduced.decoding,
            )
        )
    return rows


def format_table(rows: Sequence[PrecisionComparison]) -> str:
    """The comparisons as a Markdown table."""
    head = (
        "| model | precision | velocity | latents | decoder | decoder, log-mel | all, log-mel "
        "| sampling, times as fast | decoding, times as fast |"
    )
    lines = [head, "| --- " * 9 + "|"]
    for row in rows:
        lines.append(
            f"| {row.model} | {row.dtype} | {row.velocity:.1e} | {row.latents:.1e} | {row.audio:.1e} "
            f"| {row.decoder_log_mel:.3f} | {row.whole_log_mel:.3f} "
            f"| {row.sampling_speedup:.2f} | {row.decoding_speedup:.2f} |"
        )
    return "\n".join(lines)


def compare_precisions(names: Sequence[str]) -> str:
    """Compares precisions with some models, on the GPU if there is one.

    Args:
        names: presets, or paths of checkpoints.

    Returns:
        The table of all models in Markdown.

    Raises:
        CheckpointError: there is no such model.
    """
    from stages.inference.batching import resolve_device

    device = resolve_device("auto")
    return format_table([row for name in names for row in compare_precision(name, device)])

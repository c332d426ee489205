"""What numbers of fewer bits cost and gain, stage by stage: `python -m jobs.studies.precision MODEL ...`.

A model is a preset, which is given a composed video, or the path of any checkpoint, which is given random features.
Everything is compared with float32: one velocity, the latents of a whole sampling, the decoder with the same latents,
and the sound of all stages together.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.studies.samplers import SECONDS, SEED, conditions_for

if TYPE_CHECKING:
    from torch import Tensor

    from models import DiffV2M

STEPS, TIME, TURNS = 32, 0.6, 2
LOWER = ("bfloat16", "float16")


@dataclass(frozen=True)
class Precision:
    """One model with numbers of one kind, beside float32.

    Attributes:
        velocity, latents, sound: errors, in standard deviations of what float32 gives.
        decoded, heard: mean difference of log-mel spectrograms, natural logarithm: of the decoder alone with the
            same latents, and of all stages together.
        sampling, decoding: how many times faster.
    """

    model: str
    name: str
    velocity: float
    latents: float
    sound: float
    decoded: float
    heard: float
    sampling: float
    decoding: float


@dataclass(frozen=True)
class Results:
    """What a model gives from one noise, and seconds of sampling and decoding."""

    velocity: Tensor
    latents: Tensor
    sound: Tensor
    heard: Tensor
    sampling: float
    decoding: float


def results(model: DiffV2M, name: str, latents: Tensor | None = None) -> Results:
    """Run everything; the decoder gets `latents`, its own if left out."""
    import torch

    conditions = conditions_for(model, name)
    shape = len(conditions), model.config.latent_channels, model.lengths.latents_of(SECONDS)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(SEED)).to(model.device)
    guidance = model.config.sampling.guidance
    velocity = model.velocity(noise, noise.new_full((len(noise),), TIME), conditions, guidance)
    made, sampling = _timed(lambda: model.sample(noise, conditions, STEPS, guidance))
    sound, decoding = _timed(lambda: model.decode(made if latents is None else latents))
    return Results(velocity, made, sound, model.decode(made), sampling, decoding)


def _timed(work: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """The result, copied from the device, and the least seconds of some turns."""
    spent = list[float]()
    for _ in range(TURNS):
        began = time.perf_counter()
        found = work()
        found.cpu()
        spent.append(time.perf_counter() - began)
    return found, min(spent)


def study(name: str, device: str = "cpu", lower: Sequence[str] = LOWER) -> list[Precision]:
    """Compare precisions of one model, a preset's name or a path."""
    import torch

    from models import load_model
    from models.metrics.metrics import log_mel_l1

    def load(dtype: str) -> DiffV2M:
        return load_model(name, device=device, dtype=getattr(torch, dtype))

    def error(found: Tensor, expected: Tensor) -> float:
        return float((found - expected).square().mean().sqrt() / expected.std())

    def apart(found: Tensor, expected: Tensor) -> float:
        pairs = zip(found, expected, strict=True)
        return sum(log_mel_l1(a.float().cpu(), b.float().cpu()) for a, b in pairs) / len(found)

    whole, rows = results(load("float32"), name), list[Precision]()
    for dtype in lower:
        found = results(load(dtype), name, whole.latents)
        rows.append(
            Precision(
                model=Path(name).name,
                name=dtype,
                velocity=error(found.velocity, whole.velocity),
                latents=error(found.latents, whole.latents),
                sound=error(found.sound, whole.sound),
                decoded=apart(found.sound, whole.sound),
                heard=apart(found.heard, whole.sound),
                sampling=whole.sampling / found.sampling,
                decoding=whole.decoding / found.decoding,
            )
        )
    return rows


def table(rows: Sequence[Precision]) -> str:
    """In Markdown."""
    head = (
        "| model | numbers | velocity | latents | decoder | decoder, log-mel | all, log-mel "
        "| sampling, times as fast | decoding, times as fast |"
    )
    lines = [head, "| --- " * 9 + "|"]
    for row in rows:
        lines.append(
            f"| {row.model} | {row.name} | {row.velocity:.1e} | {row.latents:.1e} | {row.sound:.1e} "
            f"| {row.decoded:.3f} | {row.heard:.3f} | {row.sampling:.2f} | {row.decoding:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    from stages.inference.batching import resolve_device

    print(table([row for name in sys.argv[1:] for row in study(name, resolve_device("auto"))]))

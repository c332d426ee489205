"""Comparison of the networks with numbers that the released code computed from the same small checkpoints.

`uv run python -m tests.support.parity [FOLDER ...]` prints the largest error of every tensor of every fixture.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file
from torch import Tensor

import models
from models.diffv2m import peak_normalized

COMMITTED = Path(__file__).parents[1] / "data" / "parity"
LARGER = Path(os.environ.get("DIFF_V2M_PARITY", Path(__file__).parents[3] / "shared" / "parity"))
LARGER_COUNT = 5

TOLERANCES = {"latents": 1e-3, "audio": 1e-3, "pcm16": 2.0}
"""Largest errors, in standard deviations of the expected tensor, and for `pcm16` in quantization steps. Other tensors
have a tolerance of 1e-4."""


@dataclass(frozen=True)
class Comparison:
    """The largest error of a tensor, by the name of the tensor."""

    name: str
    error: float

    @property
    def tolerance(self) -> float:
        return TOLERANCES.get(self.name, 1e-4)


def fixtures() -> list[Path]:
    """Returns the folders of the committed fixture and of the larger fixtures, each once."""
    found = {
        f.parent.name: f.parent for root in (LARGER, COMMITTED) for f in sorted(root.glob("*/expected.safetensors"))
    }
    return [found[name] for name in sorted(found)]


def compare(folder: Path) -> Iterator[Comparison]:
    """Compares every tensor of a fixture with ours; errors are relative to the standard deviation that is expected."""
    expected = load_file(folder / "expected.safetensors")
    model = models.load_model(folder)
    for name, ours in _ours(model, folder, expected):
        theirs = expected[name].float()
        error = (ours.float() - theirs).abs().max().item()
        yield Comparison(name, error if name == "pcm16" else error / theirs.std().item())


def features_of(expected: dict[str, Tensor]) -> list[models.Features]:
    """Returns the input features of a fixture, one per clip."""
    clips = sum(name.startswith("in.class.") for name in expected)
    fields = ("semantic", "color", "scene_cut", "visual_beat")
    return [
        models.Features(
            *(expected[f"in.{field}.{i}"] for field in fields),
            class_label=int(expected[f"in.class.{i}"]),
            seconds_total=int(expected[f"in.seconds_total.{i}"]),
        )
        for i in range(clips)
    ]


def _ours(model: models.DiffV2M, folder: Path, expected: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yields our tensors by the names of the fixture."""
    features = features_of(expected)
    rhythms = [expected[f"in.rhythm.{i}"] for i in range(len(features))]
    conditions, real = model.condition(features), model.condition(features, real_rhythm=rhythms)
    steps, noise = model.config.steps, expected["noise"]
    width = model.config.cond_dim
    yield "predicted_rhythm", model.predict_rhythm(features)
    yield "tokens.semantic", conditions.semantic.tokens[:, :steps]
    yield "tokens.color", conditions.color.tokens
    yield "tokens.fake_rhythm", conditions.rhythm.tokens[:, :steps]
    yield "tokens.rhythm", real.rhythm.tokens[:, :steps]
    yield "tokens.seconds_start", conditions.semantic.tokens[:, steps : steps + 1]
    yield "tokens.seconds_total", conditions.rhythm.tokens[:, steps + 1 :]
    yield "tokens.class", conditions.global_cond[:, None, -width:]
    yield "mask.semantic", conditions.semantic.mask[:, :steps]
    yield "mask.fake_rhythm", conditions.rhythm.mask[:, :steps]
    yield "mask.color", conditions.color.mask
    yield "global_cond", conditions.global_cond
    average = models.load_model(folder, weights="ema", parts=("dit",))
    for name in sorted(expected):
        if name.startswith("velocity"):
            network, t, scale = name.replace(".t", " ").replace(".cfg", " ").split()
            which = average if network == "velocity_ema" else model
            yield name, which.velocity(noise, torch.full((len(noise),), float(t)), conditions, float(scale))
    yield "latents", model.sample(noise, conditions, int(expected["steps"]), guidance=3.0, sampler="ddim")
    audio = model.decode(expected["latents"])
    yield "audio", audio
    yield "pcm16", torch.stack([peak_normalized(clip) for clip in audio])
    yield "encode.mean_scale", torch.cat(model.autoencoder.encode(expected["encode.in"]), dim=1)


def main(folders: list[str]) -> int:
    """Prints a table of the errors; returns 1 if one of them is above its tolerance, 0 otherwise."""
    worst_of: dict[str, dict[str, Comparison]] = {}
    for folder in [Path(f) for f in folders] or fixtures():
        worst_of[folder.name] = {c.name: c for c in compare(folder)}
    names = dict.fromkeys(name for rows in worst_of.values() for name in rows)
    table = Table("tensor", "tolerance", *worst_of, title="largest error / standard deviation of the expected tensor")
    for name in names:
        cells = [rows.get(name) for rows in worst_of.values()]
        tolerance = TOLERANCES.get(name, 1e-4)
        table.add_row(name, f"{tolerance:g}", *(f"{c.error:.1e}" if c else "" for c in cells))
    Console(width=160).print(table)
    return int(any(c.error > c.tolerance for rows in worst_of.values() for c in rows.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

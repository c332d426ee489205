"""Loading a model: all tensors of a checkpoint are checked, and the parts that are needed are filled with them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch

from models.diffv2m import PARTS, DiffV2M
from models.weights.checkpoint import Checkpoint, Weights, open_checkpoint, problems_of, raise_problems
from models.weights.presets import PRESETS


def load_model(
    path_or_preset: str | Path,
    weights: Weights = "online",
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    parts: Collection[str] = PARTS,
) -> DiffV2M:
    """Loads a model.

    Args:
        path_or_preset: name of a preset or a release, a checkpoint file, or a folder with one.
        weights: the network as trained (`online`, which the released script samples with) or its moving average
            (`ema`).
        device: device of the model.
        dtype: precision of the layers that take most of the time (`DiffV2M.to_precision`).
        parts: the parts that are needed, of `conditioner`, `dit` and `autoencoder`; the others are checked by name but
            not read.

    Raises:
        CheckpointError, ConfigError: the file cannot be used; the message names the tensor or the entry.
    """
    preset = PRESETS.get(str(path_or_preset))
    checkpoint = open_checkpoint(preset.folder if preset else path_or_preset)
    return from_checkpoint(checkpoint, "online" if preset else weights, device, dtype, parts)


def from_checkpoint(
    checkpoint: Checkpoint,
    weights: Weights = "online",
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    parts: Collection[str] = PARTS,
) -> DiffV2M:
    """Builds the network, checks every tensor of the file, and fills the parts that are needed; see `load_model`.

    Raises:
        CheckpointError: a tensor is missing, surplus or of another shape.
    """
    if weights == "ema" and not checkpoint.has_ema:
        raise_problems(["missing every diffusion_ema.ema_model tensor (try the online weights)"])
    model = build_without_weights(checkpoint)
    raise_problems(check_tensors(checkpoint, model, parts))
    for part in parts:
        found = checkpoint.part_tensors(part, weights)
        getattr(model, part).load_state_dict({n: t.to(device, torch.float32) for n, t in found.items()}, assign=True)
    for part in PARTS:
        if part not in parts:
            delattr(model, part)
    if "autoencoder" in parts:
        model.autoencoder.fuse()
    return model.eval().requires_grad_(False).to(device).to_precision(dtype)


def build_without_weights(checkpoint: Checkpoint) -> DiffV2M:
    """Returns the network of a checkpoint on the meta device, without memory for its weights."""
    with torch.device("meta"):
        return DiffV2M(checkpoint.config)


def check_tensors(checkpoint: Checkpoint, model: DiffV2M, parts: Collection[str] = PARTS) -> list[str]:
    """Compares every tensor of a file, also of the moving average, with the network; returns a line per problem.

    A part that is not among the needed `parts` may be missing as a whole: a file may hold only an autoencoder.
    """
    copies: list[tuple[str, Weights]] = [
        (part, "online") for part in PARTS if part in parts or checkpoint.part_tensors(part, "online")
    ]
    if checkpoint.has_ema:
        copies.append(("dit", "ema"))
    problems = [f"surplus {name}" for name in checkpoint.unknown()]
    for part, weights in copies:
        problems += problems_of(
            part, weights, getattr(model, part).state_dict(), checkpoint.part_tensors(part, weights)
        )
    return problems

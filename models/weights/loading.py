"""From weights to a model: every tensor is held to account, and the parts that are needed are filled in."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch

from models.diffv2m import PARTS, DiffV2M
from models.weights.checkpoint import Checkpoint, Weights, open_checkpoint, problems_of, raise_problems


def load_model(
    path_or_preset: str | Path,
    weights: Weights = "online",
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    parts: Collection[str] = PARTS,
) -> DiffV2M:
    """Load a model from a preset's name, a checkpoint file or a folder with one.

    Args:
        weights: the network as trained (`online`, what the released script samples with) or its moving average (`ema`).
        dtype: of the layers that take the time (`DiffV2M.lower`).
        parts: what is needed of `conditioner`, `dit` and `autoencoder`; the others are checked by name but not read.

    Raises:
        CheckpointError, ConfigError: the file cannot be used; the line names the tensor or the entry.
    """
    from models.weights.presets import PRESETS

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
    """Build the network, hold every tensor of the file to account, and fill in the parts that are needed.

    Raises:
        CheckpointError: a tensor is missing, surplus or of another shape.
    """
    if weights == "ema" and not checkpoint.has_ema:
        raise_problems(["missing every diffusion_ema.ema_model tensor (try the online weights)"])
    model = skeleton(checkpoint)
    raise_problems(account(checkpoint, model, parts))
    for part in parts:
        found = checkpoint.of_part(part, weights)
        getattr(model, part).load_state_dict({n: t.to(device, torch.float32) for n, t in found.items()}, assign=True)
    for part in PARTS:
        if part not in parts:
            delattr(model, part)
    if "autoencoder" in parts:
        model.autoencoder.fuse()
    return model.eval().requires_grad_(False).to(device).lower(dtype)


def skeleton(checkpoint: Checkpoint) -> DiffV2M:
    """The network of a checkpoint without its numbers, on the meta device."""
    with torch.device("meta"):
        return DiffV2M(checkpoint.config)


def account(checkpoint: Checkpoint, model: DiffV2M, parts: Collection[str] = PARTS) -> list[str]:
    """Hold every tensor of a file to account against its skeleton, the moving average too: a line for each fault.

    A part that is not among the needed `parts` may be missing as a whole, as in a file of an autoencoder alone.
    """
    copies: list[tuple[str, Weights]] = [
        (part, "online") for part in PARTS if part in parts or checkpoint.of_part(part, "online")
    ]
    if checkpoint.has_ema:
        copies.append(("dit", "ema"))
    faults = [f"surplus {name}" for name in checkpoint.unknown()]
    for part, weights in copies:
        faults += problems_of(part, weights, getattr(model, part).state_dict(), checkpoint.of_part(part, weights))
    return faults

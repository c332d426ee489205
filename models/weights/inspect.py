"""Describing a weight file, and the problems that keep it from being used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from models.diffv2m import PARTS
from models.errors import UserError
from models.weights.checkpoint import Checkpoint, open_checkpoint, raw_tensors
from models.weights.loading import build_without_weights, check_tensors

OTHER_KINDS = [  # (first characters of a tensor name, kind of file)
    ("visual.", "a CLIP of open_clip (pass it as --clip)"),
    ("vision_model.", "a CLIP of transformers (expected one of open_clip)"),
    ("pretransform.model.", "a Stable Audio model, not Diff-V2M"),
    ("encoder.layers.", "an Oobleck autoencoder alone"),
    ("autoencoder.", "an autoencoder's training checkpoint"),
]


@dataclass(frozen=True)
class Description:
    """A weight file in words.

    Attributes:
        rows: (name, value) pairs.
        problems: lines that say what keeps the file from being loaded.
    """

    rows: list[tuple[str, str]]
    problems: list[str]

    @property
    def usable(self) -> bool:
        """Whether the file can be loaded."""
        return not self.problems


def describe(path: str | Path) -> Description:
    """Describes a checkpoint without loading it.

    Raises:
        CheckpointError: there is no such file, or it is no checkpoint at all.
    """
    tensors = raw_tensors(path)
    if not any(name.startswith("diffusion.model.") for name in tensors):
        kind = next((k for start, k in OTHER_KINDS if any(n.startswith(start) for n in tensors)), "not known")
        return Description([("kind", kind), ("tensors", str(len(tensors)))], ["this is no Diff-V2M checkpoint"])
    try:
        checkpoint = open_checkpoint(path)
        model = build_without_weights(checkpoint)
    except (ValueError, UserError) as error:
        return Description([("kind", "Diff-V2M"), ("tensors", str(len(tensors)))], [str(error)])
    return Description([*_settings(checkpoint), *_sizes(checkpoint)], check_tensors(checkpoint, model))


def _settings(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    config, lengths = checkpoint.config, checkpoint.config.lengths
    channels = "stereo" if config.audio_channels == 2 else f"{config.audio_channels} channels"
    seconds = lengths.trained_latents / lengths.latent_rate
    return [
        ("kind", "Diff-V2M"),
        ("file", str(checkpoint.path)),
        ("sound", f"{lengths.sample_rate} Hz {channels}, {lengths.window_seconds} s windows"),
        (
            "latents",
            f"{config.latent_channels} channels, {lengths.latent_rate:.2f} a second, trained on {seconds:.3f} s",
        ),
        ("network", f"depth {config.depth}, width {config.width}, {config.heads} heads, conditions {config.cond_dim}"),
        ("predictor", f"depth {config.predictor.depth}, width {config.predictor.width}"),
        ("rhythm", str(config.rhythm)),
        ("fusion", config.fusion),
        ("emotion", f"from {config.emotion}"),
        ("residual", str(config.residual)),
        ("features", f"semantic {config.semantic_dim}, color {config.color_dim}"),
        ("weights", "online and EMA" if checkpoint.has_ema else "online, no EMA"),
    ]


def _sizes(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    return [(f"{part} parameters", f"{_count(checkpoint.part_tensors(part, 'online')) / 1e6:.1f} M") for part in PARTS]


def _count(tensors: dict[str, Tensor]) -> int:
    return sum(t.numel() for t in tensors.values() if isinstance(t, torch.Tensor))

"""Parts of small trainings: a model of a few thousand weights, random segments, and a task of one layer."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.config import ModelConfig
from models.features.motion import CHANNELS
from models.training.data.crops import Segment
from models.training.seeding import seeded_generator

TINY = Path(__file__).parents[2] / "models" / "tiny" / "model_config.json"


def raw_config(window: int = 30) -> dict[str, Any]:
    """Returns the shipped configuration with small widths."""
    raw = copy.deepcopy(json.loads(TINY.read_text(encoding="utf-8")))
    model = raw["model"]
    codec = {"latents": 4, "width": 16, "depth": 1, "fine_width": 8, "fine_depth": 1}
    model["pretransform"]["config"] |= {"codec": codec, "latent_dim": 4}
    raw["model"]["io_channels"] = 4
    for conditioner in model["conditioning"]["configs"]:
        if conditioner["id"] == "semantic":
            conditioner["config"] |= {"dim": 8, "max_length": window}
        if conditioner["id"] == "color":
            conditioner["config"] |= {"dim": 12, "hidden": 8}
    model["conditioning"]["cond_dim"] = 32
    model["diffusion"]["config"] |= {
        "io_channels": 4, "embed_dim": 64, "depth": 1, "num_heads": 2, "cond_token_dim": 32, "global_cond_dim": 96,
    }  # fmt: skip
    model["diffusion"]["config"]["curve"] |= {"drawn": False}
    raw["predictor"] = {"width": 64, "depth": 1}
    return raw


def config() -> ModelConfig:
    """Returns the configuration of a small model."""
    return ModelConfig.from_dict(raw_config())


class RandomSegments:
    """Segments that are random, except that their latents follow their rhythm curve, so that they can be learned."""

    def __init__(self, seconds: Sequence[int] = (8, 5, 6)) -> None:
        self.seconds = list(seconds)

    def __len__(self) -> int:
        return len(self.seconds)

    def segment(self, index: int, columns: Sequence[str] | None = None) -> Segment:
        seconds = self.seconds[index]
        draws = np.random.default_rng(index)
        frames = int(np.ceil(seconds * 44100 / 2048))
        curve = draws.random((3, frames)).astype(np.float32)
        row: dict[str, Any] = {
            "item_id": f"item{index}",
            "uri": f"/videos/{index}",
            "index": 0,
            "start": 0.0,
            "seconds": seconds,
            "duration": float(seconds),
            "semantic": draws.random((seconds, 8)).astype(np.float32),
            "color": draws.random((seconds, 12)).astype(np.float16),
            "scene_cut": np.zeros(seconds, np.float32),
            "visual_beat": np.zeros(seconds, np.float32),
            "odf": draws.random((seconds, 1)).astype(np.float32),
            "mel": draws.random((seconds, 16)).astype(np.float32),
            "tempo": draws.random((seconds, 16)).astype(np.float32),
            "key": 1 + 13 * (index % 2),
            "curve": curve,
            "pace": draws.random((len(CHANNELS), frames)).astype(np.float32),
            "cuts": np.array([1.0]),
            "latents": np.concatenate((curve, curve[:1])) * 2 - 1,
        }
        return {name: row[name] for name in columns or row}


class LinearTask(nn.Module):
    """The squared error of one linear layer, with noise that depends on the step."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.layer = nn.Linear(8, 8)

    def forward(self, batch: Tensor, step: int) -> dict[str, Tensor]:
        noise = torch.randn(batch.shape, generator=seeded_generator("noise", step))
        return {"loss": (self.layer(batch) - batch.flip(1) + 0.1 * noise).square().mean()}


def linear_batches(step: int) -> Tensor:
    """Returns the random batch of a step."""
    return torch.randn(4, 8, generator=seeded_generator("batch", step))

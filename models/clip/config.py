"""Shapes of CLIP image encoders. This module imports no torch, so that planning a run needs none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Mean and standard deviation of the pictures that CLIP was trained on, RGB in [0, 1].
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class ClipConfig:
    """Shape of an image encoder (a vision transformer), and the normalization of its input.

    Attributes:
        image_size, patch_size: side lengths of picture and patch in pixels.
        width, layers, heads: sizes of the transformer.
        embed_dim: size of an embedding.
        quick_gelu: whether the activation is that of OpenAI's weights, x * sigmoid(1.702 x), or else the exact GELU.
        mean, std: mean and standard deviation of the pictures that it was trained on, RGB in [0, 1].
    """

    image_size: int = 224
    patch_size: int = 32
    width: int = 768
    layers: int = 12
    heads: int = 12
    embed_dim: int = 512
    quick_gelu: bool = True
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD


VIT_B_32 = ClipConfig()
TINY = ClipConfig(image_size=64, patch_size=8, width=96, layers=3, heads=3, embed_dim=64, quick_gelu=False)
TINY_WEIGHTS = Path(__file__).parents[1] / "tiny" / "clip.safetensors"
"""Weights of `TINY`, written by `models.training.tasks.clip`; `open_clip_config.json` lies beside them."""

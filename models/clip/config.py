"""Shapes of CLIP's image towers; knows no torch, so that a run can be planned without it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MEAN = (0.48145466, 0.4578275, 0.40821073)  # of CLIP's training pictures, RGB in [0, 1]
STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class ClipConfig:
    """Shape of an image tower (a vision transformer), and how pictures are presented to it.

    Attributes:
        image_size, patch_size: pixels of a side.
        width, layers, heads: of the transformer.
        embed_dim: numbers of one embedding.
        quick_gelu: the activation of OpenAI's weights, x * sigmoid(1.702 x), in place of the exact GELU.
        mean, std: of the pictures it was trained on, RGB in [0, 1].
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
"""Weights of `TINY`, as `models.training.tasks.clip` writes them; `open_clip_config.json` lies beside them."""

"""The image tower of CLIP, from open_clip: pictures to embeddings. The text tower is neither built nor kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from models.clip.checkpoint import ClipWeightsError, _config, _visual_tensors
from models.clip.config import TINY_WEIGHTS, ClipConfig


class ImageTower(nn.Module):
    """A frozen image tower with its preprocessing, but for the resizing: pictures come at `config.image_size`."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        from open_clip.transformer import QuickGELU, VisionTransformer

        self.config = config
        self.visual = VisionTransformer(
            image_size=config.image_size,
            patch_size=config.patch_size,
            width=config.width,
            layers=config.layers,
            heads=config.heads,
            mlp_ratio=4.0,
            output_dim=config.embed_dim,
            act_layer=QuickGELU if config.quick_gelu else nn.GELU,
        )
        self.register_buffer("mean", torch.tensor(config.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Embed pictures.

        Args:
            pictures: [batch, size, size, 3] RGB, 0..255, uint8.

        Returns:
            [batch, embed_dim] float32, not normalised.
        """
        values = pictures.permute(0, 3, 1, 2).to(self.mean.dtype) / 255.0
        embeddings: Tensor = self.visual((values - self.mean) / self.std)
        return embeddings.float()


def load_clip(source: str, device: str = "cpu") -> ImageTower:
    """An image tower ready to use.

    Args:
        source: `tiny` for our own small tower, trained on the corpus, or the path of an open_clip checkpoint
            (`.pt`, `.bin` or `.safetensors`). Its sizes are read from the tensors; activation, mean and deviation from
            an `open_clip_config.json` beside it, or else as in OpenAI's ViT-B/32. Nothing is ever downloaded.
        device: where it runs.

    Raises:
        ClipWeightsError: the file is not such a checkpoint.
    """
    path = TINY_WEIGHTS if source == "tiny" else Path(source)
    tensors = _visual_tensors(path)
    config = _config(tensors, path)
    with torch.random.fork_rng(devices=[]):  # building draws weights that are replaced at once
        tower = ImageTower(config)
    _check_tensors(path, tensors, tower.visual.state_dict())
    tower.visual.load_state_dict(tensors, strict=True)
    return tower.to(device)


def _check_tensors(path: Path, came: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    if missing := sorted(expected.keys() - came.keys()):
        raise ClipWeightsError(f"{path}: expected the tensor visual.{missing[0]}, it is missing")
    if surplus := sorted(came.keys() - expected.keys()):
        raise ClipWeightsError(f"{path}: found the tensor visual.{surplus[0]}, which this tower does not have")
    for name, tensor in expected.items():
        if tensor.shape != came[name].shape:
            shapes = f"expected {list(tensor.shape)}, found {list(came[name].shape)}"
            raise ClipWeightsError(f"{path}: visual.{name}: {shapes}")

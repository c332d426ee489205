"""The image encoder of CLIP, for weights of open_clip: pictures to embeddings, without the text encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from models.clip.checkpoint import ClipWeightsError, config_from_tensors, image_encoder_tensors
from models.clip.config import TINY_WEIGHTS, ClipConfig
from models.clip.vision_transformer import VisionTransformer


class ImageEncoder(nn.Module):
    """A frozen image encoder with its normalization. Pictures must already have the size `config.image_size`."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.config = config
        self.visual = VisionTransformer(config)
        self.register_buffer("mean", torch.tensor(config.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Returns embeddings [batch, embed_dim], float32, not normalized.

        Args:
            pictures: RGB, 0..255, uint8 or float, [batch, size, size, 3].
        """
        values = pictures.permute(0, 3, 1, 2).to(self.mean.dtype) / 255.0
        embeddings: Tensor = self.visual((values - self.mean) / self.std)
        return embeddings.float()


def load_image_encoder(source: str, device: str = "cpu") -> ImageEncoder:
    """Loads an image encoder.

    Args:
        source: `tiny` for our own small encoder, trained on the composed corpus, or the path of an open_clip checkpoint
            (`.pt`, `.bin` or `.safetensors`). Its sizes are read from the tensors. Activation, mean and standard
            deviation are read from an `open_clip_config.json` beside it, or else are those of OpenAI's ViT-B/32.
            Nothing is ever downloaded.
        device: device of the encoder.

    Raises:
        ClipWeightsError: the file is not such a checkpoint.
    """
    path = TINY_WEIGHTS if source == "tiny" else Path(source)
    tensors = image_encoder_tensors(path)
    config = config_from_tensors(tensors, path)
    with torch.random.fork_rng(devices=[]):  # the random initial weights are replaced at once
        encoder = ImageEncoder(config)
    _check_tensors(path, tensors, encoder.visual.state_dict())
    encoder.visual.load_state_dict(tensors, strict=True)
    return encoder.to(device)


def _check_tensors(path: Path, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raises ClipWeightsError if a tensor is missing, surplus or of another shape than expected."""
    if missing := sorted(expected.keys() - found.keys()):
        raise ClipWeightsError(f"{path}: expected the tensor visual.{missing[0]}, it is missing")
    if surplus := sorted(found.keys() - expected.keys()):
        raise ClipWeightsError(f"{path}: found the tensor visual.{surplus[0]}, which this tower does not have")
    for name, tensor in expected.items():
        if tensor.shape != found[name].shape:
            shapes = f"expected {list(tensor.shape)}, found {list(found[name].shape)}"
            raise ClipWeightsError(f"{path}: visual.{name}: {shapes}")

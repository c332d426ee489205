"""CLIP checkpoints of open_clip: the tensors of the image encoder, and the configuration that follows from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.clip.config import MEAN, STD, TINY, ClipConfig
from models.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

CONFIG_NAME = "open_clip_config.json"

# Tensors of a whole CLIP that belong to its text encoder or its loss.
OTHER_PREFIXES = ("transformer.", "token_embedding.", "ln_final.", "text.")
OTHER_NAMES = ("positional_embedding", "text_projection", "logit_scale", "logit_bias", "attn_mask")


class ClipWeightsError(UserError):
    """Raised for a file without the expected image encoder; the message says what was expected and what was found."""


def clip_config(source: str) -> ClipConfig:
    """Returns the configuration of the image encoder that `models.clip.image_encoder.load_image_encoder(source)` loads.

    Raises:
        ClipWeightsError: the file is no checkpoint of open_clip.
    """
    if source == "tiny":
        return TINY
    path = Path(source)
    return config_from_tensors(image_encoder_tensors(path), path)


def image_encoder_tensors(path: Path) -> dict[str, Tensor]:
    """Returns the tensors of the image encoder, float32, by their names in open_clip's VisionTransformer.

    Raises:
        ClipWeightsError: the file is no checkpoint of open_clip.
    """
    from torch import Tensor

    tensors = {str(name).removeprefix("module."): value for name, value in _read(path).items()}
    if any(name.startswith("visual.") for name in tensors):
        surplus = sorted(
            name for name in tensors if not name.startswith(("visual.", *OTHER_PREFIXES)) and name not in OTHER_NAMES
        )
        if surplus:
            raise ClipWeightsError(f"{path}: expected a CLIP of open_clip, found the unknown tensor {surplus[0]}")
        tensors = {name[len("visual.") :]: value for name, value in tensors.items() if name.startswith("visual.")}
    if "conv1.weight" not in tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        found = next(iter(tensors), "nothing")
        raise ClipWeightsError(
            f"{path}: expected the vision transformer of an open_clip checkpoint (visual.conv1.weight), found {found}"
        )
    return {name: value.float() for name, value in tensors.items()}


def _read(path: Path) -> Mapping[str, Any]:
    """Returns the contents of a checkpoint file by name."""
    import torch

    if not path.is_file():
        raise ClipWeightsError(f"{path}: expected `tiny` or the path of CLIP weights, found no such file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each reader raises errors of its own, which help no user
        missing = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
        raise ClipWeightsError(
            f"{path}: cannot be read as CLIP weights{missing}; expected a state dict of open_clip (.safetensors, .pt)"
        ) from None
    if not isinstance(state, Mapping):
        raise ClipWeightsError(f"{path}: expected a state dict, found {type(state).__name__}")
    return state["state_dict"] if isinstance(state.get("state_dict"), Mapping) else state


def config_from_tensors(tensors: Mapping[str, Tensor], path: Path) -> ClipConfig:
    """Returns the configuration that follows from tensors and from the `open_clip_config.json` beside them, if any.

    Raises:
        ClipWeightsError: a tensor is missing, or the file beside them is not JSON.
    """
    needed = ("conv1.weight", "positional_embedding", "proj")
    if absent := [name for name in needed if name not in tensors]:
        raise ClipWeightsError(f"{path}: expected the tensor visual.{absent[0]}, it is missing")
    width, _, patch, _ = tensors["conv1.weight"].shape
    grid = round((tensors["positional_embedding"].shape[0] - 1) ** 0.5)
    layers = {name.split(".")[2] for name in tensors if name.startswith("transformer.resblocks.")}
    beside = path.with_name(CONFIG_NAME)
    try:
        raw = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
    except ValueError as error:
        raise ClipWeightsError(f"{beside} is not JSON: {error}") from error
    model, preprocessing = raw.get("model_cfg", {}), raw.get("preprocess_cfg", {})
    return ClipConfig(
        image_size=grid * patch,
        patch_size=patch,
        width=width,
        layers=len(layers),
        heads=width // model.get("vision_cfg", {}).get("head_width", 64),
        embed_dim=tensors["proj"].shape[1],
        quick_gelu=bool(model.get("quick_gelu", not raw)),
        mean=tuple(preprocessing.get("mean", MEAN)),
        std=tuple(preprocessing.get("std", STD)),
    )

"""CLIP checkpoints of open_clip: the tensors of the image encoder, and the shape that they have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.clip.config import MEAN, STD, TINY, ClipConfig

if TYPE_CHECKING:
    from torch import Tensor


CONFIG_NAME = "open_clip_config.json"


# Tensors of a whole CLIP that belong to its text tower or its loss.
OTHER_PARTS = ("transformer.", "token_embedding.", "ln_final.", "text.")


OTHER_NAMES = ("positional_embedding", "text_projection", "logit_scale", "logit_bias", "attn_mask")


class ClipWeightsError(ValueError):
    """A file does not hold the image tower that it should; says what was expected and what came."""


def config_of(path: Path) -> ClipConfig:
    """The shape of the tower in a checkpoint of open_clip.

    Raises:
        ClipWeightsError: the file is not such a checkpoint.
    """
    return _config(_visual_tensors(path), path)


def _visual_tensors(path: Path) -> dict[str, Tensor]:
    """The image tower's tensors in a checkpoint, float32, under the names of open_clip's VisionTransformer."""
    from torch import Tensor

    tensors = {str(name).removeprefix("module."): value for name, value in _read(path).items()}
    if any(name.startswith("visual.") for name in tensors):
        surplus = sorted(
            name for name in tensors if not name.startswith(("visual.", *OTHER_PARTS)) and name not in OTHER_NAMES
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
    """What a checkpoint file holds by name."""
    import torch

    if not path.is_file():
        raise ClipWeightsError(f"{path}: expected `tiny` or the path of CLIP weights, found no such file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as fault:  # each reader has errors of its own, none of them of use to a user
        missing = f": {fault.strerror}" if isinstance(fault, OSError) and fault.strerror else ""
        raise ClipWeightsError(
            f"{path}: cannot be read as CLIP weights{missing}; expected a state dict of open_clip (.safetensors, .pt)"
        ) from None
    if not isinstance(state, Mapping):
        raise ClipWeightsError(f"{path}: expected a state dict, found {type(state).__name__}")
    return state["state_dict"] if isinstance(state.get("state_dict"), Mapping) else state


def _config(tensors: Mapping[str, Tensor], path: Path) -> ClipConfig:
    """The configuration that the tensors, and the file beside them if there is one, speak of."""
    needed = ("conv1.weight", "positional_embedding", "proj")
    if absent := [name for name in needed if name not in tensors]:
        raise ClipWeightsError(f"{path}: expected the tensor visual.{absent[0]}, it is missing")
    width, _, patch, _ = tensors["conv1.weight"].shape
    grid = round((tensors["positional_embedding"].shape[0] - 1) ** 0.5)
    layers = {name.split(".")[2] for name in tensors if name.startswith("transformer.resblocks.")}
    beside = path.with_name(CONFIG_NAME)
    try:
        raw = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
    except ValueError as fault:
        raise ClipWeightsError(f"{beside} is not JSON: {fault}") from fault
    model, pictures = raw.get("model_cfg", {}), raw.get("preprocess_cfg", {})
    return ClipConfig(
        image_size=grid * patch,
        patch_size=patch,
        width=width,
        layers=len(layers),
        heads=width // model.get("vision_cfg", {}).get("head_width", 64),
        embed_dim=tensors["proj"].shape[1],
        quick_gelu=bool(model.get("quick_gelu", not raw)),
        mean=tuple(pictures.get("mean", MEAN)),
        std=tuple(pictures.get("std", STD)),
    )


def clip_config(source: str) -> ClipConfig:
    """The shape of the tower of `models.clip.image_encoder.load_clip(source)`.

    Raises:
        ClipWeightsError: the file is no checkpoint of open_clip.
    """
    if source == "tiny":
        return TINY
    return config_of(Path(source))

"""Reading the initial weights of a training and writing the trained ones, also on machines without safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from models.autoencoders.oobleck import build_autoencoder
from models.autoencoders.spectral import SpectralConfig
from models.config import ConfigError, ModelConfig
from models.diffv2m import DiffV2M
from models.training.checkpoints import TrainingError
from models.training.config import InitialWeights
from models.training.growth import with_more_pace
from models.training.plain_weights import (
    CONFIG,
    is_plain_folder,
    open_plain_checkpoint,
    raise_training_problems,
    read_plain_tensors,
    save_plain_weights,
)
from models.weights.checkpoint import (
    PREFIXES,
    CheckpointError,
    open_checkpoint,
    problems_of,
    raw_tensors,
)
from models.weights.export import save_weights
from models.weights.hub import RELEASES, default_folder
from models.weights.presets import PRESETS

AUTOENCODER_PREFIXES = (PREFIXES["autoencoder"], "pretransform.model.", "autoencoder.", "")
"""What the names of an autoencoder's tensors begin with: in Diff-V2M, in Stable Audio Open, in a checkpoint of its own
training there, and in a file of the autoencoder alone."""


def load_autoencoder(network: ModelConfig, name: str, entry: str = "init.autoencoder") -> nn.Module:
    """Loads the autoencoder of a checkpoint, in single precision.

    Args:
        network: configuration of the model, whose pretransform the autoencoder must be.
        name: a preset, a release, a file or a folder; checkpoints of Stable Audio Open are read too.
        entry: entry of the training's configuration that names it, for error messages.

    Raises:
        TrainingError: there are no such weights, or they are of another autoencoder.
    """
    try:
        tensors, config = _tensors(name), _autoencoder_settings_beside(_folder(name))
    except (CheckpointError, TrainingError) as error:
        raise TrainingError(f"{entry}: {error}") from error
    if config is not None and _shape_settings(config) != _shape_settings(network.autoencoder):
        raise TrainingError(f"{entry}: {name} has another configuration than the model's pretransform")
    codec = build_autoencoder(network)
    expected = codec.state_dict()
    prefix = next(p for p in AUTOENCODER_PREFIXES if not p or any(tensor.startswith(p) for tensor in tensors))
    found = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    if not prefix:  # without a prefix other tensors may lie beside those of the autoencoder
        found = {n: t for n, t in found.items() if n in expected}
        if not found:
            raise TrainingError(f"{entry}: {name} has no autoencoder")
    problems = problems_of("autoencoder", "online", expected, found)
    own_names = [problem.replace(PREFIXES["autoencoder"], prefix) for problem in problems]
    raise_training_problems(f"{entry}: {name} does not fit the model's pretransform", own_names)
    codec.load_state_dict(found)
    return codec


def load_frozen_autoencoder(network: ModelConfig, init: InitialWeights) -> nn.Module | None:
    """Loads the autoencoder that a diffusion training uses without training it; None where neither entry has one.

    Raises:
        TrainingError: see `load_autoencoder`.
    """
    if init.autoencoder is not None:
        return load_autoencoder(network, init.autoencoder)
    if init.all is None:
        return None
    try:
        has_one = any(name.startswith(PREFIXES["autoencoder"]) for name in _tensors(init.all))
    except (CheckpointError, TrainingError) as error:
        raise TrainingError(f"init.all: {error}") from error
    return load_autoencoder(network, init.all, "init.all") if has_one else None


def load_conditioner_and_dit(model: DiffV2M, name: str, grows: bool = False) -> None:
    """Fills conditioner and DiT from a checkpoint of the same configuration.

    Args:
        model: the model that is filled.
        name: a preset, a release, a file or a folder.
        grows: whether the model may have more than the checkpoint: tensors that it lacks keep their values, and the
            predictor may read more channels of the picture's pace (`models.training.growth`).

    Raises:
        TrainingError: there is no such checkpoint, or its tensors are not those of the model.
    """
    try:
        folder = _folder(name)
        checkpoint = open_plain_checkpoint(folder) if is_plain_folder(folder) else open_checkpoint(folder)
    except (CheckpointError, ConfigError, TrainingError) as error:
        raise TrainingError(f"init.all: {error}") from error
    found = {part: dict(checkpoint.part_tensors(part, "online")) for part in ("conditioner", "dit")}
    if grows and model.config.curve is not None:
        found["conditioner"] = with_more_pace(found["conditioner"], model.conditioner.state_dict(), model.config.curve)
    problems = [
        line
        for part, tensors in found.items()
        for line in problems_of(part, "online", getattr(model, part).state_dict(), tensors)
        if not (grows and line.startswith("missing "))
    ]
    raise_training_problems(f"init.all: {name} does not fit the model configuration", problems)
    for part, tensors in found.items():
        getattr(model, part).load_state_dict(tensors, strict=not grows)


def save_trained_parts(parts: Mapping[str, nn.Module], raw_config: Mapping[str, Any], folder: Path) -> None:
    """Writes networks as `models.load_model` reads them, or as plain files where safetensors is not installed.

    Args:
        parts: networks by the names `conditioner`, `dit` and `autoencoder`.
        raw_config: configuration as `ModelConfig.from_dict` takes it.
        folder: folder of the weights.

    Raises:
        TrainingError: they cannot be written.
    """
    try:
        if find_spec("safetensors") is None:
            save_plain_weights(parts, raw_config, folder)
        else:
            save_weights(parts, raw_config, folder)
    except Exception as error:  # the writers raise errors of their own for a full disk
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise TrainingError(f"cannot write weights to {folder}: {reason}; start again when it can be") from error


def _folder(name: str) -> Path:
    """Returns the folder or file that a preset, a release or a path stands for."""
    if name in PRESETS:
        return PRESETS[name].folder
    return default_folder(name) if name in RELEASES and default_folder(name).is_dir() else Path(name)


def _tensors(name: str) -> Mapping[str, Tensor]:
    folder = _folder(name)
    return read_plain_tensors(folder) if is_plain_folder(folder) else raw_tensors(folder)


def _autoencoder_settings_beside(path: Path) -> Mapping[str, Any] | None:
    """Returns the autoencoder's settings in the configuration beside a checkpoint, if there is a readable one."""
    folder = path if path.is_dir() else path.parent
    try:
        raw = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["model"]
        settings = raw["pretransform"]["config"] if "pretransform" in raw else raw
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return settings if isinstance(settings, dict) else None


def _shape_settings(settings: Mapping[str, Any]) -> Any:
    """Returns those settings of an autoencoder that determine its network; the others are of its training or use."""
    if settings.get("type") == "spectral":
        return vars(SpectralConfig()) | settings.get("codec", {})
    sides = [settings.get(side, {}) for side in ("encoder", "decoder")]
    return [(side.get("type"), side.get("config")) for side in sides]

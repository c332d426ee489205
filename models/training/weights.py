"""Weights that a training begins with and leaves, also on machines without safetensors."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.autoencoders.oobleck import build_autoencoder
from models.autoencoders.spectral import CodecConfig
from models.config import ConfigError, ModelConfig
from models.diffv2m import PARTS, DiffV2M
from models.training.checkpoints import TrainingError
from models.training.config import Init
from models.weights.checkpoint import (
    PREFIXES,
    Checkpoint,
    CheckpointError,
    open_checkpoint,
    part_name,
    problems_of,
    raw_tensors,
)
from models.weights.export import LARGEST, groups_of
from models.weights.hub import RELEASES, default_folder
from models.weights.presets import PRESETS

CONFIG = "model_config.json"
PLAIN_PATTERN = "model-?????-of-?????.pt"
AUTOENCODERS = (PREFIXES["autoencoder"], "pretransform.model.", "autoencoder.", "")
"""What names of an autoencoder's tensors begin with: in Diff-V2M, in Stable Audio Open, as trained there, by itself."""


def load_autoencoder(network: ModelConfig, name: str, entry: str = "init.autoencoder") -> nn.Module:
    """The autoencoder of a checkpoint, in single precision.

    Args:
        network: whose pretransform it has to be.
        name: a preset, a release, a file or a folder; Stable Audio Open's are read too.
        entry: of the training's configuration that names it.

    Raises:
        TrainingError: there are no such weights, or they are of another autoencoder.
    """
    try:
        tensors, config = _tensors(name), _config_beside(_folder(name))
    except (CheckpointError, TrainingError) as fault:
        raise TrainingError(f"{entry}: {fault}") from fault
    if config is not None and _shape_of(config) != _shape_of(network.autoencoder):
        raise TrainingError(f"{entry}: {name} has another configuration than the model's pretransform")
    codec = build_autoencoder(network)
    expected = codec.state_dict()
    prefix = next(p for p in AUTOENCODERS if not p or any(tensor.startswith(p) for tensor in tensors))
    found = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    if not prefix:  # by itself: beside other things
        found = {n: t for n, t in found.items() if n in expected}
        if not found:
            raise TrainingError(f"{entry}: {name} has no autoencoder")
    problems = problems_of("autoencoder", "online", expected, found)
    own_names = [problem.replace(PREFIXES["autoencoder"], prefix) for problem in problems]
    _refuse(f"{entry}: {name} does not fit the model's pretransform", own_names)
    codec.load_state_dict(found)
    return codec


def autoencoder_of(network: ModelConfig, init: Init) -> nn.Module | None:
    """The autoencoder that a diffusion training has beside it; None where neither entry has one.

    Raises:
        TrainingError: see `load_autoencoder`.
    """
    if init.autoencoder is not None:
        return load_autoencoder(network, init.autoencoder)
    if init.all is None:
        return None
    try:
        has_one = any(name.startswith(PREFIXES["autoencoder"]) for name in _tensors(init.all))
    except (CheckpointError, TrainingError) as fault:
        raise TrainingError(f"init.all: {fault}") from fault
    return load_autoencoder(network, init.all, "init.all") if has_one else None


def load_all(model: DiffV2M, name: str, grows: bool = False) -> None:
    """Fill conditioner and DiT from a checkpoint of the same configuration.

    Args:
        grows: whether tensors that the checkpoint lacks stay as they are.

    Raises:
        TrainingError: there is none, or its tensors are not those of the model.
    """
    try:
        folder = _folder(name)
        checkpoint = _plain_checkpoint(folder) if is_plain(folder) else open_checkpoint(folder)
    except (CheckpointError, ConfigError, TrainingError) as fault:
        raise TrainingError(f"init.all: {fault}") from fault
    found = {part: checkpoint.of_part(part, "online") for part in ("conditioner", "dit")}
    problems = [
        line
        for part, tensors in found.items()
        for line in problems_of(part, "online", getattr(model, part).state_dict(), tensors)
        if not (grows and line.startswith("missing "))
    ]
    _refuse(f"init.all: {name} does not fit the model configuration", problems)
    for part, tensors in found.items():
        getattr(model, part).load_state_dict(tensors, strict=not grows)


def save_learned(parts: Mapping[str, nn.Module], raw_config: Mapping[str, Any], folder: Path) -> None:
    """Write networks as `models.load_model` reads them, or plain where there is no safetensors.

    Args:
        parts: of `conditioner`, `dit` and `autoencoder`.

    Raises:
        TrainingError: they cannot be written.
    """
    try:
        if find_spec("safetensors") is None:
            save_plain(parts, raw_config, folder)
        else:
            from models.weights.export import save_weights

            save_weights(parts, raw_config, folder)
    except Exception as fault:  # the writers have errors of their own for a full disk
        reason = getattr(fault, "strerror", None) or str(fault).splitlines()[0]
        raise TrainingError(f"cannot write weights to {folder}: {reason}; start again when it can be") from fault


def save_plain(
    parts: Mapping[str, nn.Module], raw_config: Mapping[str, Any], folder: Path, largest: int = LARGEST
) -> list[Path]:
    """Write networks as `models.weights.export.save_weights` does, in files of `torch.save`.

    Args:
        largest: bytes of one file's tensors.

    Returns:
        The weight files.
    """
    groups = groups_of(parts, largest)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / _plain_name(number, len(groups)) for number in range(1, len(groups) + 1)]
    fresh = [file.with_name(f"{file.name}.writing") for file in files]
    for writing, group in zip(fresh, groups, strict=True):
        torch.save(group, writing)
    for old in folder.glob(PLAIN_PATTERN):
        old.unlink()
    for writing, file in zip(fresh, files, strict=True):
        os.replace(writing, file)
    (folder / CONFIG).write_text(json.dumps(raw_config, indent=1) + "\n", encoding="utf-8")
    return files


def convert_plain(plain: Path, folder: Path) -> list[Path]:
    """Write the plain weights of one folder to another, as `models.load_model` reads them.

    Returns:
        The weight files.

    Raises:
        TrainingError: they are missing or damaged, or cannot be written.
    """
    from models.weights.export import save_weights

    if not is_plain(plain):
        raise TrainingError(f"{plain} holds no plain weights: train there first")
    checkpoint = _plain_checkpoint(plain)
    found = {part: tensors for part in PARTS if (tensors := checkpoint.of_part(part, "online"))}
    model = DiffV2M(checkpoint.config, parts=list(found))
    for part, tensors in found.items():
        network = getattr(model, part)
        _refuse(f"{plain} is damaged", problems_of(part, "online", network.state_dict(), tensors))
        network.load_state_dict(tensors)
    try:
        return save_weights({part: getattr(model, part) for part in found}, _raw_config(plain), folder)
    except OSError as fault:
        raise TrainingError(f"cannot write weights to {folder}: {fault.strerror or fault}") from fault


def is_plain(folder: Path) -> bool:
    """Whether a folder holds what `save_plain` writes."""
    return any(folder.glob(PLAIN_PATTERN))


def _plain_name(number: int, count: int) -> str:
    return f"{Path(part_name(number, count)).stem}.pt"


def _plain_checkpoint(folder: Path) -> Checkpoint:
    return Checkpoint(folder, _plain_tensors(folder), ModelConfig.from_dict(_raw_config(folder)))


def _plain_tensors(folder: Path) -> dict[str, Tensor]:
    files = sorted(folder.glob(PLAIN_PATTERN))
    count = int(files[0].stem.rsplit("-", 1)[1])
    if [file.name for file in files] != [_plain_name(number, count) for number in range(1, count + 1)]:
        raise TrainingError(f"{folder} holds {len(files)} weight files named -of-{count:05d}.pt, which are not all")
    tensors: dict[str, Tensor] = {}
    for file in files:
        try:
            tensors |= torch.load(file, map_location="cpu", weights_only=True)
        except Exception as fault:  # a file that is cut off fails in many ways
            raise TrainingError(f"{file} is damaged: copy it again") from fault
    return tensors


def _folder(name: str) -> Path:
    """Where a preset, a release or a path lies."""
    if name in PRESETS:
        return PRESETS[name].folder
    return default_folder(name) if name in RELEASES and default_folder(name).is_dir() else Path(name)


def _tensors(name: str) -> Mapping[str, Tensor]:
    folder = _folder(name)
    return _plain_tensors(folder) if is_plain(folder) else raw_tensors(folder)


def _raw_config(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as fault:
        raise TrainingError(f"cannot read {folder / CONFIG}: the weights came with one") from fault


def _config_beside(path: Path) -> Mapping[str, Any] | None:
    """The autoencoder's settings in the configuration beside a checkpoint, if there is one that can be read."""
    folder = path if path.is_dir() else path.parent
    try:
        raw = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["model"]
        settings = raw["pretransform"]["config"] if "pretransform" in raw else raw
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return settings if isinstance(settings, dict) else None


def _shape_of(settings: Mapping[str, Any]) -> Any:
    """What of an autoencoder's settings makes it another network; the rest says how it is trained or run."""
    if settings.get("type") == "spectral":
        return vars(CodecConfig()) | settings.get("codec", {})
    sides = [settings.get(side, {}) for side in ("encoder", "decoder")]
    return [(side.get("type"), side.get("config")) for side in sides]


def _refuse(what: str, problems: list[str]) -> None:
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise TrainingError(f"{what}: {problems[0]}{more}")

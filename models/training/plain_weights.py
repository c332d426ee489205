"""Plain weight files of `torch.save`, for machines without safetensors."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.config import ModelConfig
from models.diffv2m import PARTS, DiffV2M
from models.training.checkpoints import TrainingError
from models.weights.checkpoint import Checkpoint, problems_of, shard_name
from models.weights.export import MAX_FILE_BYTES, file_groups, save_weights

CONFIG = "model_config.json"
PLAIN_PATTERN = "model-?????-of-?????.pt"


def save_plain_weights(
    parts: Mapping[str, nn.Module], raw_config: Mapping[str, Any], folder: Path, largest: int = MAX_FILE_BYTES
) -> list[Path]:
    """Writes networks as `models.weights.export.save_weights` does, but in files of `torch.save`.

    Args:
        parts, raw_config, folder: see `save_weights`.
        largest: largest size of the tensors in one file, in bytes.

    Returns:
        The weight files.
    """
    groups = file_groups(parts, largest)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / _plain_name(number, len(groups)) for number in range(1, len(groups) + 1)]
    temporary = [file.with_name(f"{file.name}.writing") for file in files]
    for writing, group in zip(temporary, groups, strict=True):
        torch.save(group, writing)
    for old in folder.glob(PLAIN_PATTERN):
        old.unlink()
    for writing, file in zip(temporary, files, strict=True):
        os.replace(writing, file)
    (folder / CONFIG).write_text(json.dumps(raw_config, indent=1) + "\n", encoding="utf-8")
    return files


def convert_plain_weights(plain: Path, folder: Path) -> list[Path]:
    """Converts the plain weights of one folder to another, as `models.load_model` reads them.

    Returns:
        The weight files.

    Raises:
        TrainingError: the plain weights are missing or damaged, or the others cannot be written.
    """
    if not is_plain_folder(plain):
        raise TrainingError(f"{plain} holds no plain weights: train there first")
    checkpoint = open_plain_checkpoint(plain)
    found = {part: tensors for part in PARTS if (tensors := checkpoint.part_tensors(part, "online"))}
    model = DiffV2M(checkpoint.config, parts=list(found))
    for part, tensors in found.items():
        network = getattr(model, part)
        raise_training_problems(f"{plain} is damaged", problems_of(part, "online", network.state_dict(), tensors))
        network.load_state_dict(tensors)
    try:
        return save_weights({part: getattr(model, part) for part in found}, _raw_config(plain), folder)
    except OSError as error:
        raise TrainingError(f"cannot write weights to {folder}: {error.strerror or error}") from error


def is_plain_folder(folder: Path) -> bool:
    """Returns whether a folder holds plain weights, see `save_plain_weights`."""
    return any(folder.glob(PLAIN_PATTERN))


def _plain_name(number: int, count: int) -> str:
    return f"{Path(shard_name(number, count)).stem}.pt"


def open_plain_checkpoint(folder: Path) -> Checkpoint:
    """Returns the plain weights of a folder and its configuration."""
    return Checkpoint(folder, read_plain_tensors(folder), ModelConfig.from_dict(_raw_config(folder)))


def read_plain_tensors(folder: Path) -> dict[str, Tensor]:
    """Reads the plain weights of a folder.

    Raises:
        TrainingError: a file is missing or damaged.
    """
    files = sorted(folder.glob(PLAIN_PATTERN))
    count = int(files[0].stem.rsplit("-", 1)[1])
    if [file.name for file in files] != [_plain_name(number, count) for number in range(1, count + 1)]:
        raise TrainingError(f"{folder} holds {len(files)} weight files named -of-{count:05d}.pt, which are not all")
    tensors: dict[str, Tensor] = {}
    for file in files:
        try:
            tensors |= torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a truncated file raises many types of errors
            raise TrainingError(f"{file} is damaged: copy it again") from error
    return tensors


def _raw_config(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(f"cannot read {folder / CONFIG}: the weights came with one") from error


def raise_training_problems(what: str, problems: list[str]) -> None:
    """Raises a TrainingError that names the first problem, if there are any."""
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise TrainingError(f"{what}: {problems[0]}{more}")

"""Weights into a folder that `load_model` reads: the released layout, in half precision, in files of bounded size."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from models.weights.checkpoint import PART_PATTERN, part_name, released

LARGEST = 14_000_000
"""Bytes of one file."""
KEPT_WHOLE = 4096
"""Tensors of at most so many numbers keep single precision: frequencies, norms, statistics."""


def save_weights(parts: Mapping[str, nn.Module], raw_config: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write networks and their `model_config.json`.

    Args:
        parts: of `conditioner`, `dit` and `autoencoder`, whatever there is.
        raw_config: as `ModelConfig.from_dict` takes it.
        folder: made if needed; weights that are there are replaced.

    Returns:
        The weight files.
    """
    from safetensors.torch import save_file

    groups = groups_of(parts)
    folder.mkdir(parents=True, exist_ok=True)
    fresh = [folder / f"{part_name(i + 1, len(groups))}.writing" for i in range(len(groups))]
    for file, group in zip(fresh, groups, strict=True):
        save_file(group, file)
        file.chmod(0o644)  # the writer leaves its files to their owner alone
    for old in folder.glob(PART_PATTERN):
        old.unlink()
    for file in fresh:
        os.replace(file, file.with_suffix(""))
    (folder / "model_config.json").write_text(json.dumps(raw_config, indent=1) + "\n", encoding="utf-8")
    return [file.with_suffix("") for file in fresh]


def groups_of(parts: Mapping[str, nn.Module], largest: int = LARGEST) -> list[dict[str, Tensor]]:
    """What goes into each file: tensors by their released names, in order, as they are stored.

    Args:
        parts: as of `save_weights`.
        largest: bytes of one group; a tensor that is larger makes one by itself.
    """
    groups: list[dict[str, Tensor]] = [{}]
    for part, network in parts.items():
        for name, value in network.state_dict().items():
            tensor = _compact(value)
            if groups[-1] and sum(t.nbytes for t in groups[-1].values()) + tensor.nbytes > largest:
                groups.append({})
            groups[-1][released(part, name)] = tensor
    return groups


def _compact(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if tensor.is_floating_point() and tensor.numel() > KEPT_WHOLE else tensor.clone()

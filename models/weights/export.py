"""Writing weights to a folder that `load_model` reads: in the released layout, in half precision, in small files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from models.weights.checkpoint import SHARD_PATTERN, released_name, shard_name

MAX_FILE_BYTES = 14_000_000
"""The largest size of one file."""
MAX_FULL_PRECISION_NUMBERS = 4096
"""The size up to which tensors keep single precision: frequencies, norms and statistics."""


def save_weights(parts: Mapping[str, nn.Module], raw_config: Mapping[str, Any], folder: Path) -> list[Path]:
    """Writes networks and their `model_config.json`.

    Args:
        parts: networks by the names `conditioner`, `dit` and `autoencoder`; some may be missing.
        raw_config: configuration as `ModelConfig.from_dict` takes it.
        folder: folder that is made if needed; weights in it are replaced.

    Returns:
        The weight files.
    """
    from safetensors.torch import save_file

    groups = file_groups(parts)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = [folder / f"{shard_name(i + 1, len(groups))}.writing" for i in range(len(groups))]
    for file, group in zip(temporary, groups, strict=True):
        save_file(group, file)
        file.chmod(0o644)  # `save_file` makes files that only their owner can read
    for old in folder.glob(SHARD_PATTERN):
        old.unlink()
    for file in temporary:
        os.replace(file, file.with_suffix(""))
    (folder / "model_config.json").write_text(json.dumps(raw_config, indent=1) + "\n", encoding="utf-8")
    return [file.with_suffix("") for file in temporary]


def file_groups(parts: Mapping[str, nn.Module], largest: int = MAX_FILE_BYTES) -> list[dict[str, Tensor]]:
    """Returns the contents of each file: tensors by their released names, in order, in the precision of the file.

    Args:
        parts: networks, see `save_weights`.
        largest: the largest size of a group in bytes; a tensor that is larger has a group of its own.
    """
    groups: list[dict[str, Tensor]] = [{}]
    for part, network in parts.items():
        for name, value in network.state_dict().items():
            tensor = _as_stored(value)
            if groups[-1] and sum(t.nbytes for t in groups[-1].values()) + tensor.nbytes > largest:
                groups.append({})
            groups[-1][released_name(part, name)] = tensor
    return groups


def _as_stored(tensor: Tensor) -> Tensor:
    """Returns a copy on the CPU, in half precision if the tensor is large."""
    tensor = tensor.detach().cpu().contiguous()
    return (
        tensor.half() if tensor.is_floating_point() and tensor.numel() > MAX_FULL_PRECISION_NUMBERS else tensor.clone()
    )

"""Checkpoints in the released layout. Every tensor is used, known to be unused, or reported in an error by name."""

from __future__ import annotations

import hashlib
import pickle
import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from models.config import ModelConfig
from models.errors import UserError
from models.weights.hub import RELEASES, default_folder

Weights = Literal["online", "ema"]

PREFIXES = {
    "conditioner": "diffusion.conditioner.",
    "dit": "diffusion.model.model.",
    "autoencoder": "diffusion.pretransform.model.",
}
EMA_PREFIX = "diffusion_ema.ema_model.model."
PREDICTOR_PREFIX = PREFIXES["conditioner"] + "conditioners.semantic.extractor.transformer."

OWN_NAMES = [  # (released name, our name) of the modules of a DiT block
    ("cross_attn0.", "emotion_attn."),
    ("cross_attn1.", "semantic_attn."),
    ("cross_attn2.", "rhythm_attn."),
    ("cross_attend_norm.", "emotion_norm."),
    ("color_norm.", "cross_norm."),
    ("t_linear.", "film.time."),
    ("FiLM_gamma_sem.", "film.semantic_gamma."),
    ("FiLM_beta_sem.", "film.semantic_beta."),
    ("FiLM_gamma_rhy.", "film.rhythm_gamma."),
    ("FiLM_beta_rhy.", "film.rhythm_beta."),
]

UNUSED_TENSORS = [  # patterns of tensors that the training wrapper writes, or whose modules are never called
    r"losses\..*",
    r"diffusion_ema\.(initted|step)",
    r"diffusion\.conditioner\.conditioners\.(semantic|rhythm|color)\.proj_out\.(weight|bias)",
    r"diffusion\.conditioner\.conditioners\.prompt\..*",
]

# A large checkpoint is split into several files, called shards.
SHARD_PATTERN = "model-?????-of-?????.safetensors"
SHARD_NAME = r"model-\d{5}-of-\d{5}\.safetensors"


class CheckpointError(UserError):
    """Raised for a weight file that cannot be used; the message is one line that names what is wrong."""


@dataclass(frozen=True)
class Checkpoint:
    """A weight file that has been opened: its tensors, mapped and not yet read, and the configuration beside it."""

    path: Path
    tensors: Mapping[str, Tensor]
    config: ModelConfig

    @property
    def has_ema(self) -> bool:
        """Whether the file holds the moving average of the DiT's weights too."""
        return any(name.startswith(EMA_PREFIX) for name in self.tensors)

    def part_tensors(self, part: str, weights: Weights) -> dict[str, Tensor]:
        """Returns the tensors of `conditioner`, `dit` or `autoencoder` under our names."""
        prefix = EMA_PREFIX if part == "dit" and weights == "ema" else PREFIXES[part]
        found = {n.removeprefix(prefix): t for n, t in self.tensors.items() if n.startswith(prefix)}
        return {own_name(n): t for n, t in found.items() if not is_unused(prefix + n)}

    def unknown(self) -> list[str]:
        """Returns the names of tensors that belong to no part and are not known to be unused."""
        prefixes = (*PREFIXES.values(), EMA_PREFIX)
        return [n for n in self.tensors if not n.startswith(prefixes) and not is_unused(n)]


def is_unused(name: str) -> bool:
    """Returns whether a tensor is known to be written and never read."""
    return any(re.fullmatch(pattern, name) for pattern in UNUSED_TENSORS)


def own_name(name: str) -> str:
    """Returns our name of a tensor, given its released name inside its part."""
    for released, own in OWN_NAMES:
        if name.startswith("transformer.layers.") and f".{released}" in name:
            return name.replace(f".{released}", f".{own}")
    return name


def released_name(part: str, name: str, weights: Weights = "online") -> str:
    """Returns the released name of a tensor, given its part and our name inside it."""
    for released, own in OWN_NAMES:
        if name.startswith("transformer.layers.") and f".{own}" in name:
            name = name.replace(f".{own}", f".{released}")
    return (EMA_PREFIX if part == "dit" and weights == "ema" else PREFIXES[part]) + name


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Opens a checkpoint with its `model_config.json`.

    Args:
        path: `model.ckpt` or a `.safetensors` file, a folder with one or with its shards, or the name of a release.

    Raises:
        CheckpointError: there is no such file, it is no checkpoint, or it has no configuration.
        ConfigError: no model can be built from the configuration.
    """
    files = _weight_files(Path(path))
    file = files[0]
    tensors, embedded = _read_all(files)
    beside = _config_file(file)
    if beside is not None:
        config = ModelConfig.from_file(beside)
    elif embedded is not None:
        config = ModelConfig.from_dict(embedded)
    else:
        raise CheckpointError(f"{file} has no model_config.json beside it; put the released configuration there")
    return Checkpoint(file, tensors, _with_predictor_size(config, tensors))


def raw_tensors(path: str | Path) -> Mapping[str, Tensor]:
    """Returns the tensors of any weight file, Diff-V2M or not, under their names in the file.

    Raises:
        CheckpointError: there is no such file, or it is no file of tensors.
    """
    return _read_all(_weight_files(Path(path)))[0]


def checkpoint_digest(path: str | Path) -> str:
    """Returns the SHA-256 of a weight file and its configuration, in hexadecimal."""
    files = _weight_files(Path(path))
    total = hashlib.sha256()
    for file in filter(None, (*files, _config_file(files[0]))):
        with file.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Returns the SHA-256 of the names and values of tensors, whatever their precision, in hexadecimal."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {list(tensor.shape)}".encode())
        total.update(tensor.detach().float().cpu().contiguous().numpy().data)
    return total.hexdigest()


def problems_of(part: str, weights: Weights, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """Returns a line for each tensor of a part that is missing, surplus or of another shape than the network needs.

    Each line names the tensor as the file does.
    """
    return [
        *(f"missing {released_name(part, n, weights)}" for n in expected if n not in found),
        *(f"surplus {released_name(part, n, weights)}" for n in found if n not in expected),
        *(
            f"{released_name(part, n, weights)} has the shape {list(found[n].shape)}, expected {list(t.shape)}"
            for n, t in expected.items()
            if n in found and found[n].shape != t.shape
        ),
    ]


def raise_problems(problems: list[str]) -> None:
    """Raises a CheckpointError that names the first three problems, if there are any."""
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise CheckpointError(
            "; ".join(problems[:3]) + more + "; is this a Diff-V2M checkpoint with its own model_config.json?"
        )


def _weight_files(path: Path) -> list[Path]:
    """Returns the file of a checkpoint, or all of its shards in order."""
    if path.is_dir() and (shards := sorted(path.glob(SHARD_PATTERN))):
        count = int(shards[0].stem.rsplit("-", 1)[1])
        if [shard.name for shard in shards] != [shard_name(i + 1, count) for i in range(count)]:
            raise CheckpointError(
                f"{path} should hold {count} files {shard_name(1, count)} and on, found {len(shards)}"
            )
        return shards
    return [_weight_file(path)]


def shard_name(number: int, count: int) -> str:
    """Returns the file name of a shard, counted from 1."""
    return f"model-{number:05d}-of-{count:05d}.safetensors"


def _weight_file(path: Path) -> Path:
    """Returns the one weight file that a path, a folder or the name of a release stands for."""
    if str(path) in RELEASES and not path.exists():
        if not default_folder(str(path)).is_dir():
            raise CheckpointError(f"the weights of {path} are not here: fetch them with `diff-v2m weights pull {path}`")
        path = default_folder(str(path))
    if path.is_file():
        return path
    if not path.is_dir():
        raise CheckpointError(f"no weights at {path}: expected model.ckpt or .safetensors, or a folder with one")
    named = [path / "model.ckpt", path / "model.safetensors"]
    others = sorted([*path.glob("model*.ckpt"), *path.glob("model*.safetensors")])
    for candidate in (*named, *(others if len(others) == 1 else ())):
        if candidate.is_file():
            return candidate
    raise CheckpointError(
        f"{path} holds {len(others)} files named model*.ckpt or model*.safetensors, expected one: name the file"
    )


def _read_all(files: list[Path]) -> tuple[Mapping[str, Tensor], dict[str, Any] | None]:
    """Returns the tensors of a checkpoint's files, and the configuration inside a single file if there is one."""
    if len(files) == 1:
        return _read(files[0])
    return ChainMap(*(dict(_read(file)[0]) for file in files)), None


def _config_file(file: Path) -> Path | None:
    """Returns the configuration beside a weight file: `model_config_x.json` for `model_x.ckpt`, if there is one."""
    suffix = "" if re.fullmatch(SHARD_NAME, file.name) else file.stem.removeprefix("model")
    candidates = [file.with_name(f"model_config{suffix}.json"), file.with_name("model_config.json")]
    return next((c for c in candidates if c.is_file()), None)


def _read(file: Path) -> tuple[Mapping[str, Tensor], dict[str, Any] | None]:
    try:
        if file.suffix == ".safetensors":
            return _LazyTensors(file), None
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file} cannot be read as a checkpoint: it holds more than tensors, and loading that could run code; "
            "save its state_dict as .safetensors"
        ) from error
    except Exception as error:  # the readers raise a dozen types of errors for a file of another kind
        raise CheckpointError(
            f"{file} cannot be read as a checkpoint; expected .safetensors, or .ckpt as torch.save writes it"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file} has no state_dict; expected a checkpoint in the released layout")
    tensors = content.get("state_dict", content)
    if not isinstance(tensors, dict) or not tensors or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise CheckpointError(f"{file} has no state_dict of tensors; expected a checkpoint in the released layout")
    config = content.get("model_config")
    return {str(name): t for name, t in tensors.items()}, config if isinstance(config, dict) else None


class _LazyTensors(Mapping[str, Tensor]):
    """A safetensors file as a mapping that reads a tensor when it is accessed."""

    def __init__(self, file: Path) -> None:
        from safetensors import safe_open

        self._file = safe_open(file, framework="pt")
        self._names = list(self._file.keys())

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        return self._file.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _with_predictor_size(config: ModelConfig, tensors: Mapping[str, Tensor]) -> ModelConfig:
    """Returns the configuration with the size of the rhythm predictor, which only the tensors show."""
    name = PREDICTOR_PREFIX + "project_in.weight"
    if not any(n.startswith(PREFIXES["conditioner"]) for n in tensors):
        return config  # the file holds only an autoencoder
    if name not in tensors or tensors[name].ndim != 2:
        raise_problems([f"missing {name}"])
    layers = {
        n.removeprefix(PREDICTOR_PREFIX).split(".")[1] for n in tensors if n.startswith(PREDICTOR_PREFIX + "layers.")
    }
    return config.with_predictor(width=len(tensors[name]), depth=len(layers))

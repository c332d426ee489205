"""The settings of a training, read from a JSON file. Every mistake in the file is reported in one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from models.config import ConfigError, ModelConfig
from models.training.checkpoints import TrainingError
from models.training.data.clip_pairs import PictureConfig
from models.training.from_json import PathEntry, entry_error, is_number, read_dataclass
from models.training.tasks.diffusion_settings import DiffusionSettings
from models.training.trainer import LoopConfig
from models.weights.hub import RELEASES
from models.weights.presets import PRESETS

CORPUS = "corpus"
"""Name of the dataset that is composed where the training runs."""
DEVICES = ("auto", "cpu", "cuda")
ModelEntry = Annotated[str, PathEntry(frozenset(PRESETS) | frozenset(RELEASES))]
"""A preset, a release, or the path of a checkpoint."""


class TrainedStage(StrEnum):
    """The networks that are trained: the autoencoder, or rhythm predictor and DiT, or the image encoder."""

    AUTOENCODER = "autoencoder"
    DIFFUSION = "diffusion"
    CLIP = "clip"


@dataclass(frozen=True)
class InitialWeights:
    """The weights that a training begins with; networks for which none are named begin with random weights.

    Attributes:
        autoencoder: any checkpoint with an autoencoder of the model's shape, Stable Audio Open's too. The diffusion
            training does not train it, but decodes samples with it and writes it beside the trained weights.
        all: checkpoint of the model for predictor, condition encoders and DiT; its autoencoder, if it has one, is used
            too where `autoencoder` is left out.
        clip: the CLIP weights that made the dataset's semantic features, to be copied beside the trained weights; those
            of the package if left out.
        grows: whether the model may have tensors that `all` lacks, which then begin with random values, and its
            predictor may read more channels of the picture's pace, which begin without effect.
    """

    autoencoder: ModelEntry | None = None
    all: ModelEntry | None = None
    clip: Path | None = None
    grows: bool = False


@dataclass(frozen=True)
class CropSettings:
    """The lengths of the crops that a step takes from the segments of a dataset.

    Attributes:
        shortest, longest: whole seconds of a crop in a diffusion training; the batch size is counted in longest crops.
        ending: probability that a crop ends with its segment and may have silence after it.
        frames: latents of a crop of sound in an autoencoder training.

    Raises:
        TrainingError: a number is out of its range.
    """

    shortest: int = 6
    longest: int = 30
    ending: float = 0.15
    frames: int = 32

    def __post_init__(self) -> None:
        if not 0 <= self.ending <= 1:
            raise TrainingError(f"ending is a share, got {self.ending}")
        if self.frames < 1:
            raise TrainingError(f"frames must be at least 1, got {self.frames}")


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training.

    Attributes:
        stage: the networks that are trained.
        out: folder of checkpoints, losses, samples and, in the end, weights.
        loop: settings of the training loop.
        model: `model_config.json` of the network; the image encoder has none.
        dataset: folder or URL of a prepared or packed dataset; `corpus` composes sound for the autoencoder.
        clips: number of composed pieces, for an autoencoder that is trained on the corpus.
        init: the initial weights.
        crops: lengths of the crops that a step takes.
        diffusion: settings of a diffusion training.
        clip: the pictures that the image encoder learns from.
        decoder_only: whether the autoencoder's encoder, and so the meaning of latents, stays that of
            `init.autoencoder`.
        workers: number of processes that share each batch.
        device: `auto`, `cpu` or `cuda`.
        samples: number of audio samples that are written every `loop.sample_every` steps.
        epochs: `e1` and `e2` of the diffusion where they are given in passes through the dataset.

    Raises:
        TrainingError: the entries do not go together, or the model's file cannot be used.
    """

    stage: TrainedStage
    out: Path
    loop: LoopConfig
    model: Path | None = None
    dataset: Annotated[str, PathEntry(frozenset({CORPUS}))] = CORPUS
    clips: int = 300
    init: InitialWeights = InitialWeights()
    crops: CropSettings = CropSettings()
    diffusion: DiffusionSettings = field(default_factory=DiffusionSettings)
    clip: PictureConfig = field(default_factory=PictureConfig)
    decoder_only: bool = False
    workers: int = 1
    device: str = "auto"
    samples: int = 2
    epochs: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise TrainingError(f"device is auto, cpu or cuda, got {self.device!r}")
        for name in ("workers", "clips", "samples"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.loop.batch < self.workers:
            raise TrainingError(f"a batch of {self.loop.batch} cannot be shared by {self.workers} workers")
        if self.stage is TrainedStage.CLIP:
            if self.workers > 1:
                raise TrainingError(f"clip trains in one worker, got {self.workers}")
            return
        if self.model is None:
            raise TrainingError("the entry 'model' is missing")
        if self.stage is TrainedStage.DIFFUSION:
            self._check_diffusion()
        else:
            self._check_autoencoder()

    @classmethod
    def from_file(cls, path: Path) -> TrainConfig:
        """Reads a JSON file; paths in it are relative to its folder.

        Raises:
            TrainingError: it cannot be read or used.
        """
        return cls.from_dict(_read_json(path, f"the training {path}"), path.parent)

    @classmethod
    def from_dict(cls, raw: object, folder: Path) -> TrainConfig:
        """Reads the entries of a file, which are the fields of this class without `epochs`.

        The entry `diffusion` may have `e1_epochs` and `e2_epochs` in place of `e1` and `e2`.

        Args:
            raw: the entries.
            folder: folder that paths are relative to.

        Raises:
            TrainingError: an entry is missing, unknown or cannot be used.
        """
        epochs: dict[str, float] = {}
        if isinstance(raw, Mapping):
            if "stage" in raw and raw["stage"] not in list(TrainedStage):
                raise entry_error("", f"stage is one of {', '.join(TrainedStage)}, got {raw['stage']!r}")
            if isinstance(raw.get("diffusion"), Mapping):
                steps, epochs = _split_epochs(raw["diffusion"])
                raw = {**raw, "diffusion": steps}
        return read_dataclass(cls, raw, folder, epochs=epochs)

    @property
    def weights(self) -> Path:
        """Folder of the trained weights."""
        return self.out / "weights"

    @cached_property
    def raw_network(self) -> dict[str, Any]:
        """The entries of the network's configuration file."""
        assert self.model is not None
        raw = _read_json(self.model, f"the model configuration {self.model}")
        if not isinstance(raw, dict):
            raise TrainingError(f"{self.model} is no model configuration: expected entries in braces")
        return raw

    @cached_property
    def network(self) -> ModelConfig:
        """The configuration of the network; the image encoder has none."""
        try:
            return ModelConfig.from_dict(self.raw_network)
        except ConfigError as error:
            raise TrainingError(f"{self.model}: {error}") from error

    def diffusion_settings(self, seconds: float) -> DiffusionSettings:
        """Returns the settings of a diffusion training on a dataset of a duration, with epochs converted to steps."""
        epoch = seconds / (self.loop.batch * self.crops.longest)
        steps: dict[str, Any] = {name: epochs * epoch for name, epochs in self.epochs.items()}
        return replace(self.diffusion, **steps)

    def _check_diffusion(self) -> None:
        crops, window = self.crops, self.network.steps
        if self.dataset == CORPUS:
            raise TrainingError("the diffusion wants a prepared dataset with latents, not the composed corpus")
        if self.decoder_only:
            raise TrainingError("decoder_only is for the autoencoder")
        if not 1 <= crops.shortest <= crops.longest <= window:
            raise TrainingError(f"crops of {crops.shortest} to {crops.longest} s do not fit a window of {window} s")

    def _check_autoencoder(self) -> None:
        if self.network.autoencoder.get("type") != "spectral":
            raise TrainingError(
                "an Oobleck autoencoder is taken as it is: name it as init.autoencoder of the diffusion"
            )
        if self.init.all is not None:
            raise TrainingError("init.all is for the diffusion; an autoencoder begins with init.autoencoder")
        if self.decoder_only and self.init.autoencoder is None:
            raise TrainingError("decoder_only wants an init.autoencoder, whose encoder stays")


def _split_epochs(diffusion: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
    """Returns the entry `diffusion` without its epochs, and the epochs."""
    steps, epochs = dict(diffusion), {}
    for name in ("e1", "e2"):
        entry = f"{name}_epochs"
        if entry not in steps:
            continue
        value = steps.pop(entry)
        if name in steps or not is_number(value):
            raise entry_error("diffusion", f"{entry} must be a number, and stand in place of {name}; got {value!r}")
        epochs[name] = value
    return steps, epochs


def _read_json(path: Path, what: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TrainingError(f"cannot read {what}: {reason}") from error
    except json.JSONDecodeError as error:
        raise TrainingError(f"{path} is not JSON: {error}") from error

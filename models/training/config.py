"""What to train, on what, for how long, read from a JSON file. Every mistake in it is one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from models.config import ConfigError, ModelConfig
from models.training.checkpoints import TrainingError
from models.training.data.clip_pairs import PictureConfig
from models.training.from_json import Place, is_number, read, wrong
from models.training.tasks.diffusion import DiffusionTraining
from models.training.trainer import LoopConfig
from models.weights.hub import RELEASES
from models.weights.presets import PRESETS

if TYPE_CHECKING:
    from models.training.tasks.clip import ClipTraining

__all__ = ["CORPUS", "ClipEntry", "Crops", "Init", "TrainConfig", "TrainedStage", "TrainingError"]

CORPUS = "corpus"
"""The dataset that is composed where the training runs."""
DEVICES = ("auto", "cpu", "cuda")
Model = Annotated[str, Place(frozenset(PRESETS) | frozenset(RELEASES))]
"""A preset, a release, or the path of a checkpoint."""


class TrainedStage(StrEnum):
    """What a training makes: the autoencoder, rhythm predictor and DiT, or the image tower."""

    AUTOENCODER = "autoencoder"
    DIFFUSION = "diffusion"
    CLIP = "clip"


@dataclass(frozen=True)
class Init:
    """What a training begins with; random numbers where nothing is named.

    Attributes:
        autoencoder: any checkpoint with an autoencoder of the model's shape, Stable Audio Open's too. The diffusion
            does not train it: it lets samples be heard and is written beside what was learned.
        all: a checkpoint of the model for predictor, condition encoders and DiT; its autoencoder, if it
            has one, is taken too where `autoencoder` is left out.
        clip: CLIP weights that made the dataset's semantic features, to be put beside what was learned; the package's
            own if left out.
        grows: whether the model may have tensors that `all` lacks, which then begin at random.
    """

    autoencoder: Model | None = None
    all: Model | None = None
    clip: Path | None = None
    grows: bool = False


@dataclass(frozen=True)
class Crops:
    """What a step sees of a dataset's segments.

    Attributes:
        shortest, longest: whole seconds, of the diffusion; the batch is counted in the longest.
        ending: probability that a crop ends with its segment, and may have silence behind it.
        frames: latents of a crop of sound, of the autoencoder.
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
class ClipEntry(PictureConfig):
    """Pictures that the image tower learns from."""

    def training(self, loop: LoopConfig) -> ClipTraining:
        """The settings of `models.training.tasks.clip`, which is imported only now: a bare machine has no open_clip."""
        from models.training.tasks.clip import ClipTraining

        return ClipTraining(PictureConfig(**asdict(self)), loop=loop)


@dataclass(frozen=True)
class TrainConfig:
    """A training.

    Attributes:
        out: folder of checkpoints, losses, samples and, in the end, weights.
        model: `model_config.json` of the network; the image tower has none.
        dataset: folder or URL of a prepared dataset, or of a packed one; `corpus` composes sound for the autoencoder.
        clips: pieces of the corpus, for the autoencoder.
        decoder_only: whether the autoencoder's encoder stays as `init.autoencoder` has it, and so do latents.
        workers: processes that share each batch.
        device: `auto`, `cpu` or `cuda`.
        samples: pieces to hear every `loop.sample_every` steps.
        epochs: `e1` and `e2` of the diffusion where they are given in passes through the dataset.

    Raises:
        TrainingError: the entries do not go together, or the model's file cannot be used.
    """

    stage: TrainedStage
    out: Path
    loop: LoopConfig
    model: Path | None = None
    dataset: Annotated[str, Place(frozenset({CORPUS}))] = CORPUS
    clips: int = 300
    init: Init = Init()
    crops: Crops = Crops()
    diffusion: DiffusionTraining = field(default_factory=DiffusionTraining)
    clip: ClipEntry = field(default_factory=ClipEntry)
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
        """Read a JSON file; paths in it are relative to its folder.

        Raises:
            TrainingError: it cannot be read or used.
        """
        return cls.from_dict(_json(path, f"the training {path}"), path.parent)

    @classmethod
    def from_dict(cls, raw: object, folder: Path) -> TrainConfig:
        """Read a file's entries, those of `TrainConfig`; `diffusion` may also have `e1_epochs` and `e2_epochs`.

        Args:
            folder: that paths are relative to.

        Raises:
            TrainingError: an entry is missing, unknown or cannot be used.
        """
        epochs: dict[str, float] = {}
        if isinstance(raw, Mapping):
            if "stage" in raw and raw["stage"] not in list(TrainedStage):
                raise wrong("", f"stage is one of {', '.join(TrainedStage)}, got {raw['stage']!r}")
            if isinstance(raw.get("diffusion"), Mapping):
                steps, epochs = _epochs(raw["diffusion"])
                raw = {**raw, "diffusion": steps}
        return read(cls, raw, folder, epochs=epochs)

    @property
    def weights(self) -> Path:
        """Folder of what was learned."""
        return self.out / "weights"

    @cached_property
    def raw_network(self) -> dict[str, Any]:
        """The network's configuration as its file has it."""
        assert self.model is not None
        raw = _json(self.model, f"the model configuration {self.model}")
        if not isinstance(raw, dict):
            raise TrainingError(f"{self.model} is no model configuration: expected entries in braces")
        return raw

    @cached_property
    def network(self) -> ModelConfig:
        """The network; the image tower has none."""
        try:
            return ModelConfig.from_dict(self.raw_network)
        except ConfigError as fault:
            raise TrainingError(f"{self.model}: {fault}") from fault

    def diffusion_training(self, seconds: float) -> DiffusionTraining:
        """The diffusion's settings on a dataset of so many seconds, epochs counted in steps."""
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


def _epochs(diffusion: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
    """The entry `diffusion` without its epochs, and the epochs."""
    steps, epochs = dict(diffusion), {}
    for name in ("e1", "e2"):
        entry = f"{name}_epochs"
        if entry not in steps:
            continue
        value = steps.pop(entry)
        if name in steps or not is_number(value):
            raise wrong("diffusion", f"{entry} must be a number, and stand in place of {name}; got {value!r}")
        epochs[name] = value
    return steps, epochs


def _json(path: Path, what: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as fault:
        reason = getattr(fault, "strerror", None) or str(fault)
        raise TrainingError(f"cannot read {what}: {reason}") from fault
    except json.JSONDecodeError as fault:
        raise TrainingError(f"{path} is not JSON: {fault}") from fault

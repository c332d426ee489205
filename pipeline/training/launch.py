"""Training: a configuration and a dataset become weights. Run again, it goes on where it stopped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from models.clip.checkpoint import CONFIG_NAME
from models.clip.config import TINY_WEIGHTS
from models.training.checkpoints import TrainingError
from models.training.config import TrainConfig, TrainedStage
from models.training.data.batches import Segments
from models.training.data.sounds import VERSION, SegmentSounds, compose_sounds, lengths_of
from models.training.factory import Training, autoencoder_training, device_of, diffusion_training
from models.training.sharding import ALONE, Worker
from models.training.trainer import Watcher
from models.weights.source import clip_digest
from pipeline.training.data import Prepared, excerpt, facts_of, is_composed, open_prepared
from pipeline.training.monitor import Watching, music, recodings

__all__ = ["Quiet", "Summary", "TrainConfig", "TrainingError", "Viewer", "train"]


class Viewer(Protocol):
    """Who sees how a training goes."""

    def composed(self, done: int, total: int) -> None:
        """So many pieces or pictures of the corpus are composed."""

    def told(self, step: int, values: Mapping[str, float]) -> None:
        """Losses up to a step."""


class Quiet:
    """A viewer who is told nothing: the losses are on the disk."""

    def composed(self, done: int, total: int) -> None:
        """Nothing."""

    def told(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Summary:
    """How a training ended.

    Attributes:
        done: whether its last step is done.
        step: how far it is.
        weights: folder of what was learned; None as long as it is not done.
    """

    done: bool
    step: int
    steps: int
    weights: Path | None


def train(config: TrainConfig, viewer: Viewer, address: str | None = None) -> Summary:
    """Train, or go on training, to the last step or as long as the configuration allows.

    One worker trains in this process. Several, or a cluster's, train in Ray Train and see the same batches.

    Args:
        address: of a Ray cluster.

    Raises:
        TrainingError: something in the configuration or data is wrong, or the training cannot go on.
        ClusterError: no such cluster.
    """
    if config.stage is TrainedStage.CLIP:
        if address:
            raise TrainingError("clip trains in this process: leave --address out")
        return _train_clip(config, viewer)
    if config.workers > 1 or address:
        from pipeline.training.ray_train import train_on_ray

        prepared = prepare_data(config, viewer)
        done, step = train_on_ray(config, prepared, viewer, address)
    else:
        device_of(config)
        prepared = prepare_data(config, viewer)
        training = training_of(config, prepared, viewer)
        done = training.trainer.run()
        step = training.trainer.step
        if done:
            finish(config, training, prepared)
    return Summary(done, step, config.loop.steps, config.weights if done else None)


def prepare_data(config: TrainConfig, viewer: Viewer) -> Prepared | None:
    """The dataset, opened and checked; None where the corpus is composed instead, which is done now."""
    if not is_composed(config):
        prepared = open_prepared(config)
        _check_clip(config, prepared)
        return prepared
    rate = config.network.lengths.sample_rate
    compose_sounds(config.clips, config.out / "corpus", rate, progress=viewer.composed)
    return None


def training_of(config: TrainConfig, prepared: Prepared | None, viewer: Viewer, worker: Worker = ALONE) -> Training:
    """A loop that is ready to run, in this process, on a dataset or the composed corpus."""

    def watching(pieces: Callable[[], Any]) -> Watcher:
        return Watching(config.out, pieces, viewer.told, config.network.lengths.sample_rate)

    if prepared is not None and config.stage is TrainedStage.DIFFUSION:
        segments: Segments = prepared.segments

        def of_music(network: nn.Module, autoencoder: nn.Module | None) -> Watcher:
            return watching(lambda: music(config, segments, network, autoencoder))

        return diffusion_training(config, segments, prepared.seconds, facts_of(config, prepared), worker, of_music)
    if prepared is None:
        rate = config.network.lengths.sample_rate
        composed = compose_sounds(config.clips, config.out / "corpus", rate)
        sounds: Any = composed
        seconds: Sequence[float] = lengths_of(composed, rate)
        facts: dict[str, Any] = {"corpus": [config.clips, VERSION]}
    else:
        sounds = SegmentSounds(prepared.segments, excerpt)
        seconds, facts = prepared.seconds, facts_of(config, prepared)

    def of_sound(network: nn.Module, autoencoder: nn.Module | None) -> Watcher:
        return watching(lambda: recodings(config, sounds, network))

    return autoencoder_training(config, sounds, seconds, facts, worker, of_sound)


def finish(config: TrainConfig, training: Training, prepared: Prepared | None) -> None:
    """Write what was learned; beside it the CLIP that made the dataset's semantic features, if it is at hand.

    Raises:
        TrainingError: it cannot be written.
    """
    training.finish()
    if config.stage is not TrainedStage.DIFFUSION or prepared is None:
        return
    clip = config.init.clip or TINY_WEIGHTS
    try:
        if prepared.facts.get("clip") == clip_digest(str(config.init.clip or "tiny")):
            for file in (clip, clip.with_name(CONFIG_NAME)):
                if file.is_file():
                    shutil.copyfile(file, config.weights / (CONFIG_NAME if file is not clip else "clip.safetensors"))
    except OSError as fault:
        raise TrainingError(f"cannot write CLIP to {config.weights}: {fault.strerror or fault}") from fault


def _check_clip(config: TrainConfig, prepared: Prepared) -> None:
    """Refuse CLIP weights that are not those of the dataset, before hours of training."""
    if config.init.clip is None:
        return
    try:
        digest = clip_digest(str(config.init.clip))
    except OSError as fault:
        raise TrainingError(f"init.clip: cannot read {config.init.clip}: {fault.strerror or fault}") from fault
    if digest != prepared.facts.get("clip"):
        raise TrainingError(
            f"init.clip: {config.init.clip} did not make the semantic features of {config.dataset}: "
            f"prepare the dataset with --clip {config.init.clip}"
        )


def _train_clip(config: TrainConfig, viewer: Viewer) -> Summary:
    from models.training.tasks.clip import train_clip

    # An image tower makes nothing to hear.
    watcher = Watching(config.out, lambda: iter(()), viewer.told, sample_rate=0)
    try:
        step = train_clip(
            config.clip.training(config.loop),
            config.out,
            config.weights / "clip.safetensors",
            watcher,
            viewer.composed,
            device_of(config),
        )
    except OSError as fault:
        raise TrainingError(f"cannot write to {config.out}: {fault.strerror or fault}") from fault
    done = step >= config.loop.steps
    return Summary(done, step, config.loop.steps, config.weights if done else None)

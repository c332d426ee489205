"""Trains a network from a configuration and a dataset; run again, it continues where it stopped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.training.checkpoints import TrainingError
from models.training.config import TrainConfig, TrainedStage
from models.training.factory import training_device
from pipeline.training.monitor import TrainingMonitor
from pipeline.training.setup import build_training, finish_training, prepare_data
from pipeline.training.viewer import Viewer


@dataclass(frozen=True)
class TrainingSummary:
    """The outcome of a training.

    Attributes:
        done: whether its last step is done.
        step: number of steps that are done.
        steps: number of steps of the whole training.
        weights: folder of the trained weights; None as long as the training is not done.
    """

    done: bool
    step: int
    steps: int
    weights: Path | None


def train(config: TrainConfig, viewer: Viewer, address: str | None = None) -> TrainingSummary:
    """Trains, or continues a training, to the last step or for as long as the configuration allows.

    One worker trains in this process. Several workers, or those of a cluster, train in Ray Train and see the same
    batches.

    Args:
        config: what to train and how.
        viewer: shows how the training goes.
        address: a Ray cluster.

    Raises:
        TrainingError: something in the configuration or data is wrong, or the training cannot continue.
        ClusterError: there is no such cluster.
    """
    if config.stage is TrainedStage.CLIP:
        if address:
            raise TrainingError("clip trains in this process: leave --address out")
        return _train_clip(config, viewer)
    if config.workers > 1 or address:
        from pipeline.training.ray_train import train_on_ray

        done, step = train_on_ray(config, prepare_data(config, viewer), viewer, address)
    else:
        training_device(config)  # refuses a missing device before the data are prepared
        data = prepare_data(config, viewer)
        training = build_training(config, data, viewer)
        done = training.trainer.run()
        step = training.trainer.step
        if done:
            finish_training(config, training, data)
    return TrainingSummary(done, step, config.loop.steps, config.weights if done else None)


def _train_clip(config: TrainConfig, viewer: Viewer) -> TrainingSummary:
    from models.training.tasks.clip import ClipTrainingSettings, train_clip

    # An image encoder makes nothing that can be heard.
    listener = TrainingMonitor(config.out, lambda: iter(()), viewer.on_losses, sample_rate=0)
    try:
        step = train_clip(
            ClipTrainingSettings(config.clip, config.loop),
            config.out,
            config.weights / "clip.safetensors",
            listener,
            viewer.on_composed,
            training_device(config),
        )
    except OSError as error:
        raise TrainingError(f"cannot write to {config.out}: {error.strerror or error}") from error
    done = step >= config.loop.steps
    return TrainingSummary(done, step, config.loop.steps, config.weights if done else None)

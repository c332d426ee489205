"""Sets up and finishes one worker's training: its data, its loop, and the weights that it leaves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import nn

from models.clip.checkpoint import CONFIG_NAME
from models.clip.config import TINY_WEIGHTS
from models.training.checkpoints import TrainingError
from models.training.config import TrainConfig, TrainedStage
from models.training.data.batches import SegmentSource, SoundSource
from models.training.data.sounds import CORPUS_VERSION, SegmentSounds, compose_sounds, durations_of
from models.training.factory import Training, build_autoencoder_training, build_diffusion_training
from models.training.sharding import SINGLE_WORKER, TrainingWorker
from models.training.trainer import TrainingListener
from models.weights.source import clip_digest
from pipeline.training.data import TrainingData, decode_excerpt, is_composed, open_training_data
from pipeline.training.monitor import AudioSample, TrainingMonitor, music_samples, recoded_samples
from pipeline.training.viewer import Viewer

COMPOSED_FOLDER = "corpus"
"""Folder in `out` that takes the composed sounds."""


def prepare_data(config: TrainConfig, viewer: Viewer) -> TrainingData | None:
    """Returns the dataset, opened and checked; None if sounds are composed instead, which is done here.

    Raises:
        TrainingError: the dataset does not fit the training, or the sounds cannot be written.
    """
    if not is_composed(config):
        data = open_training_data(config)
        _check_clip(config, data)
        return data
    rate = config.network.lengths.sample_rate
    compose_sounds(config.clips, config.out / COMPOSED_FOLDER, rate, on_progress=viewer.on_composed)
    return None


def build_training(
    config: TrainConfig, data: TrainingData | None, viewer: Viewer, worker: TrainingWorker = SINGLE_WORKER
) -> Training:
    """Returns a training that is ready to run in this process.

    Args:
        config: what to train and how.
        data: the dataset; None for composed sounds, which `prepare_data` has made.
        viewer: shows the losses.
        worker: place of this process among the workers.

    Raises:
        TrainingError: the training cannot begin, or cannot continue what is in `config.out`.
    """

    def monitor(samples: Callable[[], Iterator[AudioSample]]) -> TrainingListener:
        return TrainingMonitor(config.out, samples, viewer.on_losses, config.network.lengths.sample_rate)

    if data is not None and config.stage is TrainedStage.DIFFUSION:
        segments: SegmentSource = data.segments

        def listen_to_music(network: nn.Module, autoencoder: nn.Module | None) -> TrainingListener:
            return monitor(lambda: music_samples(config, segments, network, autoencoder))

        return build_diffusion_training(config, segments, data.seconds, data.identity(), worker, listen_to_music)
    sounds, seconds, identity = _sounds(config, data)

    def listen_to_recoded(network: nn.Module, autoencoder: nn.Module | None) -> TrainingListener:
        return monitor(lambda: recoded_samples(config, sounds, network))

    return build_autoencoder_training(config, sounds, seconds, identity, worker, listen_to_recoded)


def finish_training(config: TrainConfig, training: Training, data: TrainingData | None) -> None:
    """Writes the trained weights, and beside them the CLIP that made the dataset's semantic features, if it is there.

    Raises:
        TrainingError: the weights cannot be written.
    """
    training.finish()
    if config.stage is not TrainedStage.DIFFUSION or data is None:
        return
    clip = config.init.clip or TINY_WEIGHTS
    try:
        if data.settings.get("clip") == clip_digest(str(config.init.clip or "tiny")):
            for file in (clip, clip.with_name(CONFIG_NAME)):
                if file.is_file():
                    shutil.copyfile(file, config.weights / (CONFIG_NAME if file is not clip else "clip.safetensors"))
    except OSError as error:
        raise TrainingError(f"cannot write CLIP to {config.weights}: {error.strerror or error}") from error


def _sounds(config: TrainConfig, data: TrainingData | None) -> tuple[SoundSource, Sequence[float], dict[str, Any]]:
    """Returns the sounds of an autoencoder's training, their durations in seconds, and what identifies them."""
    if data is not None:
        return SegmentSounds(data.segments, decode_excerpt), data.seconds, data.identity()
    rate = config.network.lengths.sample_rate
    composed = compose_sounds(config.clips, config.out / COMPOSED_FOLDER, rate)
    return composed, durations_of(composed, rate), {"corpus": [config.clips, CORPUS_VERSION]}


def _check_clip(config: TrainConfig, data: TrainingData) -> None:
    """Refuses, before hours of training, CLIP weights that did not make the dataset's semantic features.

    Raises:
        TrainingError: they are other weights, or cannot be read.
    """
    if config.init.clip is None:
        return
    try:
        digest = clip_digest(str(config.init.clip))
    except OSError as error:
        raise TrainingError(f"init.clip: cannot read {config.init.clip}: {error.strerror or error}") from error
    if digest != data.settings.get("clip"):
        raise TrainingError(
            f"init.clip: {config.init.clip} did not make the semantic features of {config.dataset}: "
            f"prepare the dataset with --clip {config.init.clip}"
        )

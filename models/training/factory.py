"""Building trainings: the network, the batches and the loop of a configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from models.autoencoders.oobleck import build_autoencoder
from models.diffv2m import DiffV2M
from models.training.checkpoints import TrainingError
from models.training.config import TrainConfig
from models.training.data.batches import DiffusionCrops, SegmentSource, SoundCrops, SoundSource
from models.training.seeding import build_seeded
from models.training.sharding import SINGLE_WORKER, TrainingWorker
from models.training.tasks.autoencoder import AutoencoderTask, standardize_latents
from models.training.tasks.diffusion import DiffusionTask, calibrate
from models.training.tasks.diffusion_settings import TrainedParts
from models.training.trainer import Trainer, TrainingListener
from models.training.weights import (
    load_autoencoder,
    load_conditioner_and_dit,
    load_frozen_autoencoder,
    save_trained_parts,
)
from models.weights.checkpoint import tensors_digest
from models.weights.source import ARITHMETIC_VERSION

ListenerFactory = Callable[[nn.Module, nn.Module | None], TrainingListener]
"""Makes a listener from the network that is trained and an autoencoder that decodes its samples, if there is one."""


@dataclass(frozen=True)
class Training:
    """A training loop that is ready to run.

    Attributes:
        trainer: the loop.
        finish: writes the trained weights, as their moving average, to the configuration's `weights`, and raises
            TrainingError if it cannot. The first worker calls it when the last step is done.
    """

    trainer: Trainer
    finish: Callable[[], None]


def build_autoencoder_training(
    config: TrainConfig,
    sounds: SoundSource,
    seconds: Sequence[float],
    data_identity: Mapping[str, Any],
    worker: TrainingWorker = SINGLE_WORKER,
    make_listener: ListenerFactory | None = None,
) -> Training:
    """Builds the training of a spectral autoencoder.

    Args:
        config: what to train and how.
        sounds: the sounds.
        seconds: duration of each sound.
        data_identity: entries that identify the sounds; a training is resumed only with equal ones.
        worker: place of this process among the workers.
        make_listener: makes the listener of the loop; None for no listener.

    Raises:
        TrainingError: the initial weights or the checkpoint cannot be used, or `config.out` holds another training.
    """
    network, loop = config.network, config.loop
    device = training_device(config)
    if config.init.autoencoder is None:
        codec: nn.Module = build_seeded(loop.seed, lambda: build_autoencoder(network))
    else:
        codec = load_autoencoder(network, config.init.autoencoder)
    begins = tensors_digest(codec.state_dict()) if config.init.autoencoder is not None else None
    task = AutoencoderTask(codec, network.lengths.sample_rate, loop.seed, config.decoder_only)
    samples = config.crops.frames * network.lengths.downsampling
    trainer = Trainer(
        task,
        SoundCrops(sounds, seconds, samples, loop.batch, loop.seed, worker.share),
        loop,
        config.out,
        identity=_identity(config, task, data_identity)
        | {"frames": config.crops.frames, "decoder_only": config.decoder_only, "begins": begins},
        listener=make_listener(codec, None) if make_listener is not None else None,
        worker=worker,
        device=device,
    )

    def finish() -> None:
        with trainer.average_in_place():
            if not config.decoder_only:
                standardize_latents(codec, SoundCrops(sounds, seconds, samples, loop.batch, loop.seed))
            save_trained_parts({"autoencoder": codec}, config.raw_network, config.weights)

    return Training(trainer, finish)


def build_diffusion_training(
    config: TrainConfig,
    segments: SegmentSource,
    seconds: Sequence[float],
    data_identity: Mapping[str, Any],
    worker: TrainingWorker = SINGLE_WORKER,
    make_listener: ListenerFactory | None = None,
) -> Training:
    """Builds the training of rhythm predictor, condition encoders and DiT on segments of a dataset.

    For the other arguments and the errors see `build_autoencoder_training`.
    """
    network, loop, crops, init = config.network, config.loop, config.crops, config.init
    device = training_device(config)
    settings = config.diffusion_settings(sum(seconds))

    def batches_of(worker: TrainingWorker) -> DiffusionCrops:
        lengths = {"shortest": crops.shortest, "longest": crops.longest}
        return DiffusionCrops(
            segments, seconds, network, loop.batch, **lengths, ending=crops.ending, seed=loop.seed, share=worker.share
        )

    model = build_seeded(loop.seed, lambda: DiffV2M(network, parts=("conditioner", "dit")))
    if init.all is not None:
        load_conditioner_and_dit(model, init.all, grows=init.grows)
    begins = tensors_digest(model.state_dict()) if init.all is not None else None
    autoencoder = load_frozen_autoencoder(network, init) if worker.first else None
    if autoencoder is not None:
        autoencoder = autoencoder.eval().requires_grad_(False).to(device)
    task = DiffusionTask(model, settings, loop.seed)
    lengths = [crops.shortest, crops.longest, crops.ending]
    identity = {"crops": lengths, "diffusion": asdict(settings), "begins": begins}
    trainer = Trainer(
        task,
        batches_of(worker),
        loop,
        config.out,
        identity=_identity(config, task, data_identity) | identity,
        listener=make_listener(model, autoencoder) if make_listener is not None else None,
        worker=worker,
        device=device,
    )

    def finish() -> None:
        parts = {"conditioner": model.conditioner, "dit": model.dit}
        with trainer.average_in_place():
            if settings.learns is not TrainedParts.DIT:
                calibrate(model, batches_of(SINGLE_WORKER), loop.seed)
            save_trained_parts(
                parts | ({"autoencoder": autoencoder} if autoencoder is not None else {}),
                config.raw_network,
                config.weights,
            )

    return Training(trainer, finish)


def check_latents_codec(config: TrainConfig, made_with: str | None) -> None:
    """Checks that the autoencoder of a diffusion training is the one that made the latents of its dataset.

    Args:
        config: what to train.
        made_with: `models.weights.source.ModelSource.codec_digest` of the autoencoder that made the latents.

    Raises:
        TrainingError: there are no latents, or they are of another autoencoder.
    """
    if made_with is None:
        raise TrainingError(f"the dataset {config.dataset} has no latents: prepare it with a codec (--codec)")
    autoencoder = load_frozen_autoencoder(config.network, config.init)
    if autoencoder is None:
        return
    digest = f"{ARITHMETIC_VERSION}-{tensors_digest(autoencoder.state_dict())}"
    if digest != made_with:
        name = config.init.autoencoder or config.init.all
        raise TrainingError(
            f"the latents of {config.dataset} were made by another codec ({made_with[:18]}) than that of "
            f"{name} ({digest[:18]}): prepare the dataset with --codec {name}"
        )


def training_device(config: TrainConfig) -> torch.device:
    """Returns the device of a training.

    Raises:
        TrainingError: there is no such device.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("training: device is cuda, but there is no GPU that torch can use")
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(config.device)


def _identity(config: TrainConfig, task: nn.Module, data_identity: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what must be equal for a training to be resumed, beside seed and batch."""
    network = {name: entry for name, entry in config.raw_network.items() if name != "sampling"}
    return {"stage": config.stage, "model": network, "init": _digest_of_frozen(task)} | dict(data_identity)


def _digest_of_frozen(task: nn.Module) -> str | None:
    """Returns a digest of the weights that are not trained and so are in no checkpoint; None if all are trained."""
    frozen = {name: p for name, p in task.named_parameters() if not p.requires_grad}
    if not frozen:
        return None
    total = hashlib.sha256()
    for name, parameter in frozen.items():
        total.update(name.encode())
        total.update(parameter.detach().cpu().numpy().tobytes())
    return total.hexdigest()

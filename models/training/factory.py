"""Trainings put together: networks, batches and the loop of a configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from models.autoencoders.oobleck import build_autoencoder
from models.diffv2m import DiffV2M
from models.training.checkpoints import TrainingError
from models.training.config import TrainConfig
from models.training.data.batches import DiffusionCrops, Segments, SoundCrops, Sounds
from models.training.sharding import ALONE, Worker
from models.training.tasks.autoencoder import CodecTask, standardise_latents
from models.training.tasks.diffusion import DiffusionTask, Learns, calibrate
from models.training.trainer import Trainer, Watcher
from models.training.weights import autoencoder_of, load_all, load_autoencoder, save_learned
from models.weights.checkpoint import tensors_digest
from models.weights.source import VERSION

Built = TypeVar("Built")
Watching = Callable[[nn.Module, nn.Module | None], Watcher]
"""The network that learns, and an autoencoder to hear it with, if there is one -> who hears how it goes."""


@dataclass(frozen=True)
class Training:
    """A loop that is ready to run.

    Attributes:
        finish: writes what was learned, the moving average, to the configuration's `weights`; raises TrainingError if
            it cannot. For the first worker, when the last step is done.
    """

    trainer: Trainer
    finish: Callable[[], None]


def autoencoder_training(
    config: TrainConfig,
    sounds: Sounds,
    seconds: Sequence[float],
    facts: Mapping[str, Any],
    worker: Worker = ALONE,
    watching: Watching | None = None,
) -> Training:
    """The training of an autoencoder of spectra.

    Args:
        seconds: of each sound.
        facts: what tells the sounds from others; a training goes on only with the same.

    Raises:
        TrainingError: what it begins with or on cannot be used, or `config.out` holds another training.
    """
    network, loop = config.network, config.loop
    device = device_of(config)
    if config.init.autoencoder is None:
        codec: nn.Module = seeded(loop.seed, lambda: build_autoencoder(network))
    else:
        codec = load_autoencoder(network, config.init.autoencoder)
    begins = tensors_digest(codec.state_dict()) if config.init.autoencoder is not None else None
    task = CodecTask(codec, network.lengths.sample_rate, loop.seed, config.decoder_only)
    samples = config.crops.frames * network.lengths.downsampling
    identity = {"frames": config.crops.frames, "decoder_only": config.decoder_only, "begins": begins}
    trainer = Trainer(
        task,
        SoundCrops(sounds, seconds, samples, loop.batch, loop.seed, worker.share),
        loop,
        config.out,
        identity=_identity(config, task, facts) | identity,
        watcher=watching(codec, None) if watching is not None else None,
        worker=worker,
        device=device,
    )

    def finish() -> None:
        with trainer.average_in_place():
            if not config.decoder_only:
                standardise_latents(codec, SoundCrops(sounds, seconds, samples, loop.batch, loop.seed))
            save_learned({"autoencoder": codec}, config.raw_network, config.weights)

    return Training(trainer, finish)


def diffusion_training(
    config: TrainConfig,
    segments: Segments,
    seconds: Sequence[float],
    facts: Mapping[str, Any],
    worker: Worker = ALONE,
    watching: Watching | None = None,
) -> Training:
    """The training of rhythm predictor, condition encoders and DiT.

    Args:
        seconds: of each segment.
        facts: what tells the segments from others; a training goes on only with the same.

    Raises:
        TrainingError: what it begins with or on cannot be used, or `config.out` holds another training.
    """
    network, loop, crops, init = config.network, config.loop, config.crops, config.init
    device = device_of(config)
    settings = config.diffusion_training(sum(seconds))

    def batches_of(worker: Worker) -> DiffusionCrops:
        return DiffusionCrops(
            segments,
            seconds,
            network,
            loop.batch,
            shortest=crops.shortest,
            longest=crops.longest,
            ending=crops.ending,
            seed=loop.seed,
            share=worker.share,
        )

    model = seeded(loop.seed, lambda: DiffV2M(network, parts=("conditioner", "dit")))
    if init.all is not None:
        load_all(model, init.all, grows=init.grows)
    begins = tensors_digest(model.state_dict()) if init.all is not None else None
    autoencoder = autoencoder_of(network, init) if worker.first else None
    if autoencoder is not None:
        autoencoder = autoencoder.eval().requires_grad_(False).to(device)
    task = DiffusionTask(model, settings, loop.seed)
    lengths = [crops.shortest, crops.longest, crops.ending]
    trainer = Trainer(
        task,
        batches_of(worker),
        loop,
        config.out,
        identity=_identity(config, task, facts) | {"crops": lengths, "diffusion": asdict(settings), "begins": begins},
        watcher=watching(model, autoencoder) if watching is not None else None,
        worker=worker,
        device=device,
    )

    def finish() -> None:
        parts = {"conditioner": model.conditioner, "dit": model.dit}
        with trainer.average_in_place():
            if settings.learns is not Learns.DIT:
                calibrate(model, batches_of(ALONE), loop.seed)
            save_learned(
                parts | ({"autoencoder": autoencoder} if autoencoder is not None else {}),
                config.raw_network,
                config.weights,
            )

    return Training(trainer, finish)


def check_codec(config: TrainConfig, made_with: str | None) -> None:
    """Hold the autoencoder of a diffusion training against the one that made its dataset's latents.

    Args:
        made_with: `models.weights.source.ModelSource.codec_digest` of that one.

    Raises:
        TrainingError: there are no latents, or they are another autoencoder's.
    """
    if made_with is None:
        raise TrainingError(f"the dataset {config.dataset} has no latents: prepare it with a codec (--codec)")
    autoencoder = autoencoder_of(config.network, config.init)
    if autoencoder is None:
        return
    digest = f"{VERSION}-{tensors_digest(autoencoder.state_dict())}"
    if digest != made_with:
        name = config.init.autoencoder or config.init.all
        raise TrainingError(
            f"the latents of {config.dataset} were made by another codec ({made_with[:18]}) than that of "
            f"{name} ({digest[:18]}): prepare the dataset with --codec {name}"
        )


def device_of(config: TrainConfig) -> torch.device:
    """Where a training runs.

    Raises:
        TrainingError: there is no such device.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("training: device is cuda, but there is no GPU that torch can use")
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(config.device)


def seeded(seed: int, build: Callable[[], Built]) -> Built:
    """What `build` makes with random numbers of a seed; those of everybody else go on as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build()


def _identity(config: TrainConfig, task: nn.Module, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be the same for a training to go on, beside seed and batch."""
    network = {name: entry for name, entry in config.raw_network.items() if name != "sampling"}
    return {"stage": config.stage, "model": network, "init": _frozen(task)} | dict(facts)


def _frozen(task: nn.Module) -> str | None:
    """Hash of the weights that stay, and are in no checkpoint; None where all learn."""
    stay = {name: p for name, p in task.named_parameters() if not p.requires_grad}
    if not stay:
        return None
    total = hashlib.sha256()
    for name, parameter in stay.items():
        total.update(name.encode())
        total.update(parameter.detach().cpu().numpy().tobytes())
    return total.hexdigest()

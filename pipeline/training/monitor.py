"""Monitors a training: losses in TensorBoard, and now and then samples of the network as sounds and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.autoencoders.spectral import SpectralAutoencoder
from models.diffv2m import DiffV2M
from models.sampling.windows import draw_noise
from models.training.checkpoints import TrainingError
from models.training.config import TrainConfig
from models.training.data.batches import DiffusionBatch, DiffusionCrops, SegmentSource, SoundSource
from stages.plots.spectrogram import draw_spectrogram

STEPS, GUIDANCE = 30, 2.0
"""Steps and guidance scale of the sampler for samples in training."""

LossCallback = Callable[[int, Mapping[str, float]], None]
"""Receives a step and the losses up to it."""


@dataclass(frozen=True)
class AudioSample:
    """A sound that the network made, or that it is compared with.

    Attributes:
        name: part of the file name.
        audio: [2, samples].
        curve: the requested rhythm, [channels, steps]; None if none was requested.
        cuts: times of the cuts of the video in seconds.
    """

    name: str
    audio: Tensor
    curve: Tensor | None = None
    cuts: tuple[float, ...] = ()


class TrainingMonitor:
    """Shows how a training goes: to a person, in TensorBoard (`out/tensorboard`), and in the folder `out/samples`.

    Args:
        out: the training's folder.
        samples: makes the samples; it is called while the network has the moving average of its weights.
        show_losses: shows losses to a person.
        sample_rate: samples per second of the sounds.
    """

    def __init__(
        self, out: Path, samples: Callable[[], Iterator[AudioSample]], show_losses: LossCallback, sample_rate: int
    ) -> None:
        self.out, self.samples, self.show_losses, self.sample_rate = out, samples, show_losses, sample_rate
        self._board: Any = None
        self._started = False

    def on_losses(self, step: int, values: Mapping[str, float]) -> None:
        """Shows losses, and adds them to TensorBoard.

        Raises:
            TrainingError: TensorBoard's folder cannot be written.
        """
        self.show_losses(step, values)
        try:
            if not self._started:
                self._started, self._board = True, _board(self.out / "tensorboard", step)
            if self._board is not None:
                for name, value in values.items():
                    self._board.add_scalar(name, value, step)
                self._board.flush()
        except OSError as error:
            where = self.out / "tensorboard"
            raise TrainingError(
                f"cannot write to {where}: {error.strerror or error}; the checkpoint is kept"
            ) from error

    def on_sample(self, step: int) -> None:
        """Writes each sample as a sound and a picture.

        Raises:
            TrainingError: the samples cannot be written.
        """
        import soundfile

        folder = self.out / "samples"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for sample in self.samples():
                sound = folder / f"step-{step:06d}-{sample.name}.wav"
                audio = sample.audio.detach().float().cpu()
                peak = max(1.0, float(audio.abs().max()))
                soundfile.write(sound, np.ascontiguousarray((audio / peak).T.numpy()), self.sample_rate, "PCM_16")
                curve = None if sample.curve is None else sample.curve.detach().float().cpu()
                draw_spectrogram(
                    audio / peak, curve, sample.cuts, sound.with_suffix(".png"), f"step {step}, {sample.name}"
                )
        except (OSError, RuntimeError) as error:  # soundfile's own error is a RuntimeError
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise TrainingError(f"cannot write samples to {folder}: {reason}; the checkpoint before is kept") from error


def _board(folder: Path, step: int) -> Any:
    """Returns TensorBoard's writer, or None where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step)


def recoded_samples(config: TrainConfig, sounds: SoundSource, codec: nn.Module) -> Iterator[AudioSample]:
    """Yields parts of the first sounds, each as it is and as the autoencoder encodes and decodes it."""
    assert isinstance(codec, SpectralAutoencoder)
    lengths = config.network.lengths
    frames = lengths.latents_of(8.0)
    device = codec.latent_mean.device
    for number in range(min(config.samples, len(sounds))):
        crop = sounds.excerpt(number, 0.25, frames * lengths.downsampling)
        audio = torch.from_numpy(crop.T.astype(np.float32) / 32768)[None].to(device)
        with torch.no_grad():
            recoded = codec.decode(codec.encode(audio)[0])
        yield AudioSample(f"{number}-original", audio[0])
        yield AudioSample(f"{number}-coded", recoded[0])


def music_samples(
    config: TrainConfig, segments: SegmentSource, model: nn.Module, autoencoder: nn.Module | None
) -> Iterator[AudioSample]:
    """Yields music for the first videos of the dataset, each with its predicted rhythm; none without an autoencoder."""
    assert isinstance(model, DiffV2M)
    if autoencoder is None:
        return
    decoder: Any = autoencoder
    seconds = config.crops.longest
    crops = DiffusionCrops(segments, [1.0] * len(segments), config.network, 1, shortest=seconds, longest=seconds)
    for number in range(min(config.samples, len(segments))):
        batch: DiffusionBatch = crops.batch_of([(number, 0.0, seconds)], seconds)
        with torch.no_grad():
            # As in inference, the picture chooses beat and key; those of the segment's own music are not used.
            features = model.key_planner.with_key([replace(f, groove=None) for f in batch.features], number)
            shape = batch.rhythm[0].shape
            rhythm = model.predict_rhythm(features, draw_noise(f"rhythm {number}", 0, *shape)[None])
            conditions = model.condition(features, predicted_rhythm=rhythm)
            noise = draw_noise(f"sample {number}", 0, *batch.latents.shape[1:])[None].to(model.device)
            audio = decoder.decode(model.sample(noise, conditions, STEPS, GUIDANCE))[0]
        curve = rhythm[0] if config.network.curve else rhythm[0].T
        cuts = segments.segment(number, ("cuts",))["cuts"]
        yield AudioSample(str(number), audio, curve, tuple(float(t) for t in cuts if t < seconds))

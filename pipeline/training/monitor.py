"""Watching a training: TensorBoard's scalars, and now and then what the network makes, as sound and as a picture."""

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
from models.training.data.batches import DiffusionBatch, DiffusionCrops, Segments, Sounds
from stages.plots.spectrogram import draw

STEPS, GUIDANCE = 30, 2.0
"""Of the sampler, when it is listened to in training."""

Told = Callable[[int, Mapping[str, float]], None]
"""Step, losses."""


@dataclass(frozen=True)
class Piece:
    """Something to hear.

    Attributes:
        audio: [2, samples].
        curve: the rhythm that was asked for, [channels, steps]; None where none was.
        cuts: seconds.
    """

    name: str
    audio: Tensor
    curve: Tensor | None = None
    cuts: tuple[float, ...] = ()


class Watching:
    """Tells a person, TensorBoard (`out/tensorboard`) and the folder `out/samples` how a training goes.

    Args:
        pieces: makes what there is to hear; called with the moving average in place.
        tell: a person's view.
        sample_rate: of the pieces.
    """

    def __init__(self, out: Path, pieces: Callable[[], Iterator[Piece]], tell: Told, sample_rate: int) -> None:
        self.out, self.pieces, self.tell, self.sample_rate = out, pieces, tell, sample_rate
        self._board: Any = None
        self._begun = False

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self.tell(step, values)
        try:
            if not self._begun:
                self._begun, self._board = True, _board(self.out / "tensorboard", step)
            if self._board is not None:
                for name, value in values.items():
                    self._board.add_scalar(name, value, step)
                self._board.flush()
        except OSError as fault:
            where = self.out / "tensorboard"
            raise TrainingError(
                f"cannot write to {where}: {fault.strerror or fault}; the checkpoint is kept"
            ) from fault

    def sample(self, step: int) -> None:
        """Raises TrainingError: the samples cannot be written."""
        import soundfile

        folder = self.out / "samples"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for piece in self.pieces():
                sound = folder / f"step-{step:06d}-{piece.name}.wav"
                audio = piece.audio.detach().float().cpu()
                peak = max(1.0, float(audio.abs().max()))
                soundfile.write(sound, np.ascontiguousarray((audio / peak).T.numpy()), self.sample_rate, "PCM_16")
                curve = None if piece.curve is None else piece.curve.detach().float().cpu()
                draw(audio / peak, curve, piece.cuts, sound.with_suffix(".png"), f"step {step}, {piece.name}")
        except (OSError, RuntimeError) as fault:  # soundfile's own error is a RuntimeError
            reason = getattr(fault, "strerror", None) or str(fault).splitlines()[0]
            raise TrainingError(f"cannot write samples to {folder}: {reason}; the checkpoint before is kept") from fault


def _board(folder: Path, step: int) -> Any:
    """TensorBoard's writer; None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step)


def recodings(config: TrainConfig, sounds: Sounds, codec: nn.Module) -> Iterator[Piece]:
    """The first sounds as they are, and after a passage through the autoencoder."""
    assert isinstance(codec, SpectralAutoencoder)
    lengths = config.network.lengths
    frames = lengths.latents_of(8.0)
    device = codec.latent_mean.device
    for number in range(min(config.samples, len(sounds))):
        crop = sounds.excerpt(number, 0.25, frames * lengths.downsampling)
        audio = torch.from_numpy(crop.T.astype(np.float32) / 32768)[None].to(device)
        with torch.no_grad():
            again = codec.decode(codec.encode(audio)[0])
        yield Piece(f"{number}-original", audio[0])
        yield Piece(f"{number}-coded", again[0])


def music(config: TrainConfig, segments: Segments, model: nn.Module, autoencoder: nn.Module | None) -> Iterator[Piece]:
    """Music for the first pictures of the dataset, each with its predicted rhythm; none without an autoencoder."""
    assert isinstance(model, DiffV2M)
    if autoencoder is None:
        return
    decoder: Any = autoencoder
    seconds = config.crops.longest
    crops = DiffusionCrops(segments, [1.0] * len(segments), config.network, 1, shortest=seconds, longest=seconds)
    for number in range(min(config.samples, len(segments))):
        batch: DiffusionBatch = crops.of([(number, 0.0, seconds)], seconds)
        with torch.no_grad():
            # As in use: beat and key are those that the picture chooses, not those of its music.
            features = model.keyed([replace(f, groove=None) for f in batch.features], number)
            shape = batch.rhythm[0].shape
            rhythm = model.predict_rhythm(features, draw_noise(f"rhythm {number}", 0, *shape)[None])
            conditions = model.condition(features, predicted_rhythm=rhythm)
            noise = draw_noise(f"sample {number}", 0, *batch.latents.shape[1:])[None].to(model.device)
            audio = decoder.decode(model.sample(noise, conditions, STEPS, GUIDANCE))[0]
        curve = rhythm[0] if config.network.curve else rhythm[0].T
        cuts = segments.segment(number, ("cuts",))["cuts"]
        yield Piece(str(number), audio, curve, tuple(float(t) for t in cuts if t < seconds))

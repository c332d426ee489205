"""Diff-V2M as one object: features in, rhythm, conditions, velocity, latents and sound out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.autoencoder import Autoencoder
from models.checkpoint import Checkpoint, Weights, open_checkpoint, problems_of, raise_problems
from models.conditioner import Conditioner, pad, real_rhythm_grid, standardise
from models.config import ModelConfig
from models.dit import Conditions, DiT, TokenSet
from models.sampler import SAMPLERS

Array = np.ndarray | Tensor
PARTS = ("conditioner", "dit", "autoencoder")
GENERAL_VIDEO = 2
"""The class that the authors' sets always use."""


@dataclass(frozen=True)
class Features:
    """What a clip of T whole seconds looks like, one row a second.

    Attributes:
        semantic: [T, D] CLIP image embeddings, not normalised.
        color: [T, C] RGB-uv log-chroma histograms.
        scene_cut: [T] 1 where a cut falls into that second, else 0.
        visual_beat: [T] in [0, 1].
        class_label: 0 performance, 1 dance, 2 general video.
        seconds_total: length of the clip that the music is asked for; T if left out.
    """

    semantic: Array
    color: Array
    scene_cut: Array
    visual_beat: Array
    class_label: int = GENERAL_VIDEO
    seconds_total: float | None = None

    def __len__(self) -> int:
        return len(self.semantic)


class DiffV2M(nn.Module):
    """A Diff-V2M model, or the parts of it that were asked for.

    Every call runs without gradients, on the device and in the precision of its part.
    """

    def __init__(self, config: ModelConfig, parts: Collection[str] = PARTS) -> None:
        super().__init__()
        self.config = config
        self.lengths = config.lengths
        if "conditioner" in parts:
            self.conditioner = Conditioner(config)
        if "dit" in parts:
            self.dit = DiT(config)
        if "autoencoder" in parts:
            self.autoencoder = Autoencoder(config)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    @torch.inference_mode()
    def predict_rhythm(self, features: Sequence[Features]) -> Tensor:
        """The rhythm that the picture asks for: [clips, steps, 1 or 16]."""
        return self.conditioner.predictor(
            self._padded([f.semantic for f in features]),
            self._padded([f.scene_cut for f in features]).long(),
            self._padded([f.visual_beat for f in features]),
            self._numbers([f.class_label for f in features]).long(),
        )

    @torch.inference_mode()
    def condition(
        self,
        features: Sequence[Features],
        real_rhythm: Sequence[Array] | None = None,
        predicted_rhythm: Array | None = None,
    ) -> Conditions:
        """Encode features, and a rhythm, to what steers the DiT.

        Args:
            features: one per clip, at most a window long.
            real_rhythm: measured rhythms, one per clip, as `real_rhythm_grid` takes them; standardised, as in training.
            predicted_rhythm: [clips, steps, 1 or 16] as `predict_rhythm` gives it; encoded as it is. Predicted here if
                neither rhythm is given.
        """
        steps = self.config.steps
        if real_rhythm is not None:
            rhythm = standardise(self.rhythm_grid(features, real_rhythm))
        elif predicted_rhythm is not None:
            rhythm = torch.as_tensor(predicted_rhythm).to(self.device, self.dtype)
        else:
            rhythm = self.predict_rhythm(features)
        mask = pad([torch.ones(len(f)) for f in features], steps).bool().to(self.device)
        start, total = self._numbers([0] * len(features)), self._numbers([_total(f) for f in features])
        vectors = {
            "seconds_start": self.conditioner["seconds_start"](start),
            "seconds_total": self.conditioner["seconds_total"](total),
            "class": self.conditioner["class"](self._numbers([f.class_label for f in features]).long()),
        }
        clock = torch.cat((vectors["seconds_start"], vectors["seconds_total"]), dim=1)
        return Conditions(
            semantic=_timed(self.conditioner["semantic"](self._padded([f.semantic for f in features])), mask, clock),
            rhythm=_timed(self.conditioner["rhythm"](rhythm), mask, clock),
            color=TokenSet(self.conditioner["color"](self._padded([f.color for f in features])), mask),
            global_cond=torch.cat([vectors[name] for name in self.config.global_ids], dim=-1)[:, 0],
        )

    def rhythm_grid(self, features: Sequence[Features], real_rhythm: Sequence[Array]) -> Tensor:
        """Measured rhythms on the condition grid, not yet standardised: [clips, steps, 1 or 16]."""
        grids = [
            real_rhythm_grid(
                torch.as_tensor(r).to(self.device, self.dtype), len(f), self.config.steps, self.config.rhythm
            )
            for f, r in zip(features, real_rhythm, strict=True)
        ]
        return torch.stack(grids)

    @torch.inference_mode()
    def velocity(self, latents: Tensor, t: Tensor, conditions: Conditions, guidance: float = 1.0) -> Tensor:
        """[clips, channels, frames], [clips] in [0, 1] -> (guided) velocity of the latents' shape."""
        return self.dit.guided(latents, t, conditions, guidance)

    @torch.inference_mode()
    def sample(
        self, noise: Tensor, conditions: Conditions, steps: int = 250, guidance: float = 3.0, sampler: str = "ddim"
    ) -> Tensor:
        """Latents of the noise's shape [clips, channels, frames]."""
        return SAMPLERS[sampler](lambda x, t: self.velocity(x, t, conditions, guidance), noise, steps)

    @torch.inference_mode()
    def decode(self, latents: Tensor, chunk: int | None = None) -> Tensor:
        """Latents [clips, channels, frames] -> sound [clips, 2, samples], about [-1, 1] and not clipped."""
        return self.autoencoder.decode(latents, chunk)

    @torch.inference_mode()
    def encode(self, audio: Tensor) -> Tensor:
        """Sound [clips, 2, samples], a multiple of the downsampling long -> mean latents [clips, channels, frames]."""
        return self.autoencoder.encode(audio)[0]

    def _padded(self, features: Sequence[Array]) -> Tensor:
        longest, steps = max(len(f) for f in features), self.config.steps
        if longest > steps:
            raise ValueError(f"a window holds {steps} s of features, got {longest} s; cut longer clips into windows")
        return pad([torch.as_tensor(f).to(self.device, self.dtype) for f in features], steps)

    def _numbers(self, values: Sequence[float]) -> Tensor:
        return torch.tensor([float(v) for v in values], device=self.device, dtype=self.dtype)


def peak_normalised(audio: Tensor) -> Tensor:
    """16-bit PCM [..., samples] of a sound at full scale: divided by its absolute peak, as released."""
    peak = torch.stack(audio.aminmax()).abs().max().clamp(min=torch.finfo(torch.float32).tiny)
    return (audio.float() / peak).mul_(32767).to(torch.int16)


def load_model(
    path_or_preset: str | Path,
    weights: Weights = "online",
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    parts: Collection[str] = PARTS,
) -> DiffV2M:
    """Load a model from a preset's name, a checkpoint file or a folder with one.

    Args:
        weights: the network as trained (`online`, what the released script samples with) or its moving average (`ema`).
        parts: what is needed of `conditioner`, `dit` and `autoencoder`; the others are checked by name but not read.

    Raises:
        CheckpointError, ConfigError: the file cannot be used; the line names the tensor or the entry.
    """
    from models.presets import PRESETS

    if str(path_or_preset) in PRESETS:
        return PRESETS[str(path_or_preset)].model(parts).eval().to(device, dtype)
    return from_checkpoint(open_checkpoint(path_or_preset), weights, device, dtype, parts)


def from_checkpoint(
    checkpoint: Checkpoint,
    weights: Weights = "online",
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    parts: Collection[str] = PARTS,
) -> DiffV2M:
    """Build the network, hold every tensor of the file to account, and fill in the parts that are needed.

    Raises:
        CheckpointError: a tensor is missing, surplus or of another shape.
    """
    if weights == "ema" and not checkpoint.has_ema:
        raise_problems(["missing every diffusion_ema.ema_model tensor (try the online weights)"])
    model = skeleton(checkpoint)
    raise_problems(account(checkpoint, model))
    for part in parts:
        found = checkpoint.of_part(part, weights)
        getattr(model, part).load_state_dict({n: t.to(device, dtype) for n, t in found.items()}, assign=True)
    for part in PARTS:
        if part not in parts:
            delattr(model, part)
    if "autoencoder" in parts:
        model.autoencoder.fuse()
    return model.eval().requires_grad_(False)


def skeleton(checkpoint: Checkpoint) -> DiffV2M:
    """The network of a checkpoint without its numbers, on the meta device."""
    with torch.device("meta"):
        return DiffV2M(checkpoint.config)


def account(checkpoint: Checkpoint, model: DiffV2M) -> list[str]:
    """Hold every tensor of a file to account against its skeleton, the moving average too: a line for each fault."""
    copies: list[tuple[str, Weights]] = [(part, "online") for part in PARTS]
    if checkpoint.has_ema:
        copies.append(("dit", "ema"))
    faults = [f"surplus {name}" for name in checkpoint.unknown()]
    for part, weights in copies:
        faults += problems_of(part, weights, getattr(model, part).state_dict(), checkpoint.of_part(part, weights))
    return faults


def _timed(tokens: Tensor, mask: Tensor, clock: Tensor) -> TokenSet:
    """Tokens of the seconds, followed by the two tokens that tell start and length of the clip."""
    ones = mask.new_ones(len(mask), clock.shape[1])
    return TokenSet(torch.cat((tokens, clock), dim=1), torch.cat((mask, ones), dim=1))


def _total(features: Features) -> float:
    return len(features) if features.seconds_total is None else features.seconds_total

"""Diff-V2M as one object: features in; rhythm, conditions, velocity, latents and audio out."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from models.autoencoders.oobleck import build_autoencoder
from models.config import ModelConfig
from models.inputs import Array, Features, InputPacker
from models.networks.conditioners import Conditioner, tokens_of_curve
from models.networks.conditions import Conditions, TokenSet
from models.networks.dit import DiT
from models.networks.guidance import GuidedVelocity
from models.networks.key_planner import KeyPlanner
from models.networks.rhythm_planner import Blend, RhythmPlanner, unblended
from models.precision import check_compiler
from models.sampling.samplers import sampler_named

PARTS = ("conditioner", "dit", "autoencoder")
"""Parts of a model, which can be loaded one by one."""


class DiffV2M(nn.Module):
    """A Diff-V2M model, or the parts of it that were asked for.

    The public calls run without gradients, on the device and in the precision of the parts. Training uses the parts
    themselves: `rhythm_planner`, `key_planner`, `encode_conditions` and `dit`, which have gradients.
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
            self.autoencoder = build_autoencoder(config)

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the numbers that go in and come out; the layers of `to_precision` may compute with another one."""
        return next(self.parameters()).dtype

    @property
    def inputs(self) -> InputPacker:
        """Packs features into batches for this model."""
        return InputPacker(self.config, self.device, self.dtype)

    @property
    def rhythm_planner(self) -> RhythmPlanner:
        """Chooses groove and rhythm for clips."""
        return RhythmPlanner(self.config, self.conditioner, self.inputs)

    @property
    def key_planner(self) -> KeyPlanner:
        """Chooses the key for clips."""
        return KeyPlanner(self.config, self.conditioner, self.inputs)

    def to_precision(self, dtype: torch.dtype) -> DiffV2M:
        """Let the layers that take most of the time compute in a reduced precision: the DiT's blocks and the decoder.

        Everything else costs next to nothing and stays in single precision: conditions and predictor, timesteps and
        their Fourier features, rotary positions, the sampler's arithmetic, the search for phases.
        """
        if hasattr(self, "dit"):
            self.dit.cast_blocks(dtype)
        if hasattr(self, "autoencoder"):
            self.autoencoder.to_precision(dtype)
        return self

    def compile_blocks(self) -> DiffV2M:
        """Compile the DiT's blocks, which are alike: the first calls take half a minute or more, later ones less.

        Raises:
            ConfigError: there is no compiler on this machine.
        """
        check_compiler()
        for block in self.dit.blocks:
            block.compile(dynamic=False)
        return self

    @torch.inference_mode()
    def predict_rhythm(
        self, features: Sequence[Features], noise: Tensor | None = None, blend: Blend = unblended
    ) -> Tensor:
        """The rhythm that each picture asks for: [clips, steps, 1 or 16]; curves [clips, channels, curve steps].

        Args:
            noise: standard normal, of the curves' shape, for a model that samples its rhythm.
            blend: makes the velocities of sampled windows agree (`models.sampling.windows.blend_overlapping`).
        """
        return self.rhythm_planner.plan(features, noise, blend)

    @torch.inference_mode()
    def condition(
        self,
        features: Sequence[Features],
        real_rhythm: Sequence[Array] | None = None,
        predicted_rhythm: Array | None = None,
    ) -> Conditions:
        """Encode features and a rhythm as the conditions of the DiT.

        Args:
            features: one per clip, at most a window long.
            real_rhythm: measured rhythms, one per clip, as `real_rhythm_grid` takes them; they are standardized, as in
                training. Curves [channels, steps] in a model that has one, taken as they are.
            predicted_rhythm: rhythm as `predict_rhythm` gives it, taken as it is. If neither rhythm is given it is
                predicted here, which a model that samples its rhythm refuses.
        """
        if real_rhythm is not None:
            rhythm = self.rhythm_planner.measured(features, real_rhythm)
        elif predicted_rhythm is not None:
            rhythm = self.inputs.tensor(predicted_rhythm)
        else:
            rhythm = self.predict_rhythm(features)
        return self.encode_conditions(features, rhythm)

    def encode_conditions(self, features: Sequence[Features], rhythm: Tensor) -> Conditions:
        """Conditions from features and one rhythm for each clip, measured or predicted; with gradients."""
        inputs, encoders, steps = self.inputs, self.conditioner, self.config.steps
        mask = inputs.padded([torch.ones(len(f)) for f in features]).bool()
        vectors = {
            "seconds_start": encoders["seconds_start"](inputs.numbers([0] * len(features))),
            "seconds_total": encoders["seconds_total"](inputs.numbers([_seconds_total(f) for f in features])),
            "class": encoders["class"](inputs.labels(features)),
        }
        lengths = torch.cat((vectors["seconds_start"], vectors["seconds_total"]), dim=1)
        curve, rhythm_values = None, rhythm
        if self.config.curve is not None:
            curve = torch.cat((rhythm, torch.ones_like(rhythm)), dim=1)
            rhythm_values = tokens_of_curve(rhythm, self.config.curve_rate, steps)
        semantic = encoders["semantic"](inputs.padded([f.semantic for f in features]))
        return Conditions(
            semantic=_with_lengths(semantic, mask, lengths),
            rhythm=_with_lengths(encoders["rhythm"](rhythm_values), mask, lengths),
            color=TokenSet(encoders["color"](inputs.padded([f.color for f in features])), mask),
            global_cond=torch.cat([vectors[name] for name in self.config.global_ids], dim=-1)[:, 0],
            curve=curve,
            key=torch.tensor([f.key for f in features], device=self.device) if self.config.key else None,
        )

    @torch.inference_mode()
    def velocity(self, latents: Tensor, t: Tensor, conditions: Conditions, guidance: float = 1.0) -> Tensor:
        """Guided velocity, [clips, channels, frames], of latents of that shape at timesteps `t` [clips] in [0, 1]."""
        return GuidedVelocity(self.dit, conditions, latents.shape[-1], guidance)(latents, t)

    @torch.inference_mode()
    def make_guided(
        self, conditions: Conditions, frames: int, guidance: float = 1.0, timesteps: Sequence[float] = ()
    ) -> GuidedVelocity:
        """Guided velocity for many steps: everything that no step changes is computed here, once."""
        return GuidedVelocity(self.dit, conditions, frames, guidance, timesteps)

    @torch.inference_mode()
    def sample(
        self, noise: Tensor, conditions: Conditions, steps: int = 32, guidance: float = 3.0, sampler: str = "dpmpp_3m"
    ) -> Tensor:
        """Latents of the noise's shape [clips, channels, frames]."""
        switch, chosen = self.dit.switch, sampler_named(sampler)
        velocity = self.make_guided(conditions, noise.shape[-1], guidance, chosen.times(steps, switch))
        return chosen(velocity, noise, steps, switch)

    @torch.inference_mode()
    def decode(self, latents: Tensor, chunk: int | None = None, to: torch.device | None = None) -> Tensor:
        """Latents [clips, channels, frames] -> audio [clips, 2, samples], about [-1, 1] and not clipped.

        Args:
            chunk: number of latents that are decoded at once; all if left out.
            to: device that takes the audio; that of the latents if left out. With another one, a GPU holds only one
                chunk of audio.
        """
        return self.autoencoder.decode(latents, chunk, to)

    @torch.inference_mode()
    def encode(self, audio: Tensor) -> Tensor:
        """Audio [clips, 2, samples], a multiple of the downsampling long -> mean latents [clips, channels, frames]."""
        return self.autoencoder.encode(audio)[0]


def peak_normalized(audio: Tensor) -> Tensor:
    """Audio [..., samples] at full scale as 16-bit PCM: divided by its absolute peak, as released."""
    peak = torch.stack(audio.aminmax()).abs().max().clamp(min=torch.finfo(torch.float32).tiny)
    return (audio.float() / peak).mul_(32767).to(torch.int16)


def _with_lengths(tokens: Tensor, mask: Tensor, lengths: Tensor) -> TokenSet:
    """The tokens of the seconds, followed by the two tokens that hold start and length of the clip."""
    ones = mask.new_ones(len(mask), lengths.shape[1])
    return TokenSet(torch.cat((tokens, lengths), dim=1), torch.cat((mask, ones), dim=1))


def _seconds_total(features: Features) -> float:
    return len(features) if features.seconds_total is None else features.seconds_total

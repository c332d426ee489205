"""Planning the rhythm of clips (paper 3.2): a steady beat first, then a rhythm that has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from models.config import ModelConfig
from models.features.beat_grid import groove_of_picture
from models.features.motion import CHANNELS, PULSES
from models.features.rhythm_curve import FASTEST_TEMPO, PREFERRED_TEMPO, SLOWEST_TEMPO
from models.inputs import Array, Features, InputPacker
from models.networks.conditioners import Conditioner, real_rhythm_grid
from models.networks.rhythm_predictor import CurvePredictor, denormalize_curve, standardize
from models.sampling.samplers import SAMPLERS, Velocity

SAMPLING_STEPS = 25
"""Calls of the predictor for one sampled rhythm."""

Blend = Callable[[Velocity], Velocity]
"""Makes the velocities of windows agree where they overlap (`models.sampling.windows.blend_overlapping`)."""


def unblended(velocity: Velocity) -> Velocity:
    """The velocity as it is: each clip by itself."""
    return velocity


class RhythmPlanner:
    """Chooses the rhythm for clips with the predictor of one model.

    Args:
        conditioner: holds the predictor.
        inputs: packs the clips' features.
    """

    def __init__(self, config: ModelConfig, conditioner: Conditioner, inputs: InputPacker) -> None:
        self.config, self.predictor, self.inputs = config, conditioner.predictor, inputs

    @property
    def is_sampled(self) -> bool:
        """Whether the predictor samples a rhythm, as the DiT samples latents, instead of giving the likeliest one."""
        return self.config.curve is not None and self.config.curve.drawn

    def plan(self, features: Sequence[Features], noise: Tensor | None = None, blend: Blend = unblended) -> Tensor:
        """The rhythm that each picture asks for: [clips, steps, 1 or 16]; curves [clips, channels, curve steps].

        Args:
            noise: standard normal, of the curves' shape, for a predictor that samples.
            blend: makes the velocities of sampled windows agree.
        """
        features = [g for f in features for g in ([f] if f.groove else self.with_groove([f]))]
        return self.calibrated(self.sample(features, noise, blend) if self.is_sampled else self.predict(features))

    def predict(self, features: Sequence[Features]) -> Tensor:
        """The likeliest rhythms for pictures and grooves, before they are calibrated; with gradients."""
        if self.config.curve is not None:
            return self.predictor(*self.inputs.predictor_inputs(features))
        return self.predictor(
            self.inputs.padded([f.semantic for f in features]),
            self.inputs.padded([f.scene_cut for f in features]).long(),
            self.inputs.padded([f.visual_beat for f in features]),
            self.inputs.labels(features),
        )

    @torch.no_grad()
    def sample(self, features: Sequence[Features], noise: Tensor | None, blend: Blend = unblended) -> Tensor:
        """Sampled rhythm curves [clips, channels, steps] for pictures and grooves, before they are calibrated.

        Raises:
            ValueError: there is no noise.
        """
        if noise is None:
            raise ValueError("this model samples its rhythm: give the noise that it starts from")
        scale, conditioned = self.config.sampling.rhythm_guidance, self.inputs.predictor_inputs(features)
        null = conditioned.hidden(torch.zeros(len(features), device=self.inputs.device))

        def velocity(x: Tensor, time: float) -> Tensor:
            t = x.new_full((len(x),), time)
            with_picture = self.predictor(*conditioned, (x, t))
            if scale == 1.0:
                return with_picture
            without_picture = self.predictor(*null, (x, t))
            return without_picture + scale * (with_picture - without_picture)

        start = noise.to(self.inputs.device, self.inputs.dtype)
        return denormalize_curve(SAMPLERS["dpmpp_3m"](blend(velocity), start, SAMPLING_STEPS))

    def velocity(self, noisy: Tensor, t: Tensor, features: Sequence[Features], seen: Tensor | None = None) -> Tensor:
        """Velocity of noisy rhythm curves that are scaled as by `normalize_curve`; with gradients.

        Args:
            noisy: [clips, channels, steps].
            t: [clips] in [0, 1].
            seen: [clips] 0 for clips whose picture is hidden from the predictor, else 1; it still reads their groove.
        """
        inputs = self.inputs.predictor_inputs(features)
        return self.predictor(*(inputs if seen is None else inputs.hidden(seen)), (noisy, t))

    def calibrated(self, rhythm: Tensor) -> Tensor:
        """Predicted rhythms with the distribution of measured ones, in a model that is calibrated."""
        calibration = getattr(self.predictor, "calibration", None)
        return rhythm if calibration is None else calibration(rhythm)

    @torch.inference_mode()
    def with_groove(self, features: Sequence[Features], starts: Sequence[float] = (0.0,)) -> list[Features]:
        """Windows of one video with the one groove that its picture asks for; unchanged in a model without grooves.

        Args:
            starts: seconds at which the windows begin.
        """
        if self.config.curve is None or not self.config.curve.groove:
            return list(features)
        octaves, strength = (float(x.mean()) for x in self.tempo(features))
        pace, rate = self.inputs.pace(features).float().cpu(), self.config.curve_rate
        firsts = [round(start * rate) for start in starts]
        events = torch.zeros(2, firsts[-1] + pace.shape[-1])
        for channel, name in enumerate(PULSES):
            if (at := CHANNELS.index(name)) < pace.shape[1]:
                for first, pulses in zip(firsts, pace[:, at], strict=True):
                    part = events[channel, first : first + len(pulses)]
                    torch.maximum(part, pulses, out=part)
        tempo = min(max(PREFERRED_TEMPO * 2**octaves, SLOWEST_TEMPO), FASTEST_TEMPO)
        groove = groove_of_picture(events[0], events[1], rate, tempo, max(0.0, strength))
        return [replace(f, groove=groove.after(start)) for f, start in zip(features, starts, strict=True)]

    def tempo(self, features: Sequence[Features]) -> tuple[Tensor, Tensor]:
        """Tempo, in octaves above a moderate one, and strength of the groove that suits each picture, [clips] each.

        Raises:
            ValueError: the model has no rhythm curve.
        """
        if not isinstance(self.predictor, CurvePredictor):
            raise ValueError("only a model with a rhythm curve has a groove")
        return self.predictor.tempo(self.inputs.padded([f.semantic for f in features]), self.inputs.pace(features))

    def measured(self, features: Sequence[Features], rhythms: Sequence[Array]) -> Tensor:
        """Measured rhythms as the DiT takes them: standardized on the 1 Hz grid; curves of one length as they are."""
        if self.config.curve is None:
            return standardize(self.on_grid(features, rhythms))
        return torch.stack([self.inputs.tensor(rhythm) for rhythm in rhythms])

    def on_grid(self, features: Sequence[Features], rhythms: Sequence[Array]) -> Tensor:
        """Measured rhythms on the condition grid, not yet standardized: [clips, steps, 1 or 16]."""
        steps, kind = self.config.steps, self.config.rhythm
        pairs = zip(features, rhythms, strict=True)
        return torch.stack([real_rhythm_grid(self.inputs.tensor(r), len(f), steps, kind) for f, r in pairs])

"""Diff-V2M as one object: features in, rhythm, conditions, velocity, latents and sound out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from models.autoencoders.oobleck import build_autoencoder
from models.config import ModelConfig
from models.features.beat_grid import CHANNELS, groove_of_picture
from models.features.key import key_number
from models.features.rhythm_curve import FASTEST, MODERATE, SLOWEST
from models.inputs import Array, Features, Sight
from models.networks.conditioners import Conditioner, pad, real_rhythm_grid, tokens_of_curve
from models.networks.conditions import Conditions, TokenSet
from models.networks.dit import DiT
from models.networks.guidance import Guided
from models.networks.rhythm_predictor import CurvePredictor, from_drawn, standardise
from models.precision import check_compiler
from models.sampling.samplers import SAMPLERS, Velocity

PARTS = ("conditioner", "dit", "autoencoder")
RHYTHM_STEPS = 25
"""Calls of a predictor that draws."""


class DiffV2M(nn.Module):
    """A Diff-V2M model, or the parts of it that were asked for.

    What users call runs without gradients, on the device and in the precision of its part; `predicted`,
    `rhythm_velocity`, `measured`, `encoded`, `groove_asked` and `mode_asked` have them, for training.
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
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Of what goes in and comes out; see `lower`."""
        return next(self.parameters()).dtype

    def lower(self, dtype: torch.dtype) -> DiffV2M:
        """Let the layers that take the time compute with numbers of fewer bits: the DiT's blocks and the decoder.

        All else costs next to nothing and stays in single precision: conditions and predictor, timesteps and their
        Fourier features, rotary positions, what the sampler computes, the search for phases.
        """
        if hasattr(self, "dit"):
            for block in self.dit.transformer.blocks:
                block.lower(dtype)
        if hasattr(self, "autoencoder"):
            self.autoencoder.lower(dtype)
        return self

    def compile_blocks(self) -> DiffV2M:
        """Compile the DiT's blocks, which are alike: the first calls take half a minute or more, the others less.

        Raises:
            ConfigError: there is no compiler on this machine.
        """
        check_compiler()
        for block in self.dit.transformer.blocks:
            block.compile(dynamic=False)
        return self

    @torch.inference_mode()
    def predict_rhythm(
        self,
        features: Sequence[Features],
        noise: Tensor | None = None,
        together: Callable[[Velocity], Velocity] = lambda velocity: velocity,
    ) -> Tensor:
        """The rhythm that the picture asks for: [clips, steps, 1 or 16]; a curve [clips, channels, its own steps].

        Args:
            noise: standard normal, of the curves' shape: what a model that draws its rhythm draws it from.
            together: makes the velocities of drawn windows agree (`models.sampling.windows.together`).
        """
        features = [g for f in features for g in ([f] if f.groove else self.grooved([f]))]
        rhythm = self.drawn(features, noise, together) if self.draws else self.predicted(features)
        return self.spread(rhythm)

    def spread(self, rhythm: Tensor) -> Tensor:
        """Predicted rhythms as those of music are spread, in a model that is calibrated."""
        calibration = getattr(self.conditioner.predictor, "calibration", None)
        return rhythm if calibration is None else calibration(rhythm)

    @property
    def draws(self) -> bool:
        """Whether the rhythm of a picture is drawn."""
        return self.config.curve is not None and self.config.curve.drawn

    @torch.no_grad()
    def drawn(
        self,
        features: Sequence[Features],
        noise: Tensor | None,
        together: Callable[[Velocity], Velocity] = lambda velocity: velocity,
    ) -> Tensor:
        """Rhythm curves [clips, channels, steps] with the grooves that the features have, before they are calibrated.

        See `predict_rhythm`.
        """
        if noise is None:
            raise ValueError("this model draws its rhythm: give the noise that it is drawn from")
        guidance, sight = self.config.sampling.rhythm_guidance, self._sight(features)
        nothing = sight.hidden(torch.zeros(len(features), device=self.device))

        def velocity(x: Tensor, time: float) -> Tensor:
            t = x.new_full((len(x),), time)
            seeing = self.conditioner.predictor(*sight, (x, t))
            if guidance == 1.0:
                return seeing
            blind = self.conditioner.predictor(*nothing, (x, t))
            return blind + guidance * (seeing - blind)

        return from_drawn(SAMPLERS["dpm"](together(velocity), noise.to(self.device, self.dtype), RHYTHM_STEPS))

    def rhythm_velocity(
        self, noisy: Tensor, t: Tensor, features: Sequence[Features], seen: Tensor | None = None
    ) -> Tensor:
        """Velocity of noisy rhythm curves, scaled as by `models.networks.rhythm_predictor.as_drawn`; with gradients.

        Args:
            noisy: [clips, channels, steps].
            t: [clips] in [0, 1].
            seen: [clips] 0 for those whose picture the predictor does not see, else 1; it knows their groove.
        """
        sight = self._sight(features)
        return self.conditioner.predictor(*(sight if seen is None else sight.hidden(seen)), (noisy, t))

    def _sight(self, features: Sequence[Features]) -> Sight:
        semantic, pace = self._padded([f.semantic for f in features]), self._pace(features)
        label = self._numbers([f.class_label for f in features]).long()
        return Sight(semantic, pace, label, self._grooves(features, pace.shape[-1]))

    @torch.inference_mode()
    def grooved(self, features: Sequence[Features], starts: Sequence[float] = (0.0,)) -> list[Features]:
        """Windows of one video with the one groove that its picture asks for; in a model without a groove as they are.

        Args:
            starts: seconds at which the windows begin.
        """
        if self.config.curve is None or not self.config.curve.groove:
            return list(features)
        octaves, strength = (float(x.mean()) for x in self.groove_asked(features))
        pace = self._pace(features)
        firsts = [round(start * self.config.curve_rate) for start in starts]
        cuts = torch.zeros(firsts[-1] + pace.shape[-1])
        for first, pulses in zip(firsts, pace[:, 1].float().cpu(), strict=True):
            cuts[first : first + len(pulses)] = torch.maximum(cuts[first : first + len(pulses)], pulses)
        tempo = min(max(MODERATE * 2**octaves, SLOWEST), FASTEST)
        groove = groove_of_picture(cuts, self.config.curve_rate, tempo, max(0.0, strength))
        return [replace(f, groove=groove.after(start)) for f, start in zip(features, starts, strict=True)]

    @torch.inference_mode()
    def keyed(self, features: Sequence[Features], tonic: int) -> list[Features]:
        """Windows of one video with one key, its mode the one that suits the picture; as they are in a model without.

        Args:
            tonic: pitch class, 0 = C .. 11 = B.
        """
        if not self.config.key:
            return list(features)
        # A window counts by its seconds, so that the mode is that of the whole picture.
        whole = self.mode_asked(features) @ self._numbers([len(f) for f in features])
        return [replace(f, key=key_number(tonic, bool(whole > 0))) for f in features]

    def mode_asked(self, features: Sequence[Features]) -> Tensor:
        """How much pictures ask for major, [clips]: the logarithm of its odds."""
        if not self.config.key:
            raise ValueError("only a model that is told a key chooses its mode")
        means = (
            [torch.as_tensor(x).to(self.device, self.dtype).mean(0) for x in (f.semantic, f.color)] for f in features
        )
        semantic, color = zip(*means, strict=True)
        return self.conditioner["key"](torch.stack(semantic), torch.stack(color))

    def groove_asked(self, features: Sequence[Features]) -> tuple[Tensor, Tensor]:
        """Tempo, in octaves above a moderate one, and strength of the groove that suits a picture, each [clips]."""
        predictor = self.conditioner.predictor
        if not isinstance(predictor, CurvePredictor):
            raise ValueError("only a model with a rhythm curve has a groove")
        return predictor.tempo(self._padded([f.semantic for f in features]), self._pace(features))

    def predicted(self, features: Sequence[Features]) -> Tensor:
        """`predict_rhythm` as training takes it: with gradients, the features' grooves, and before it is calibrated."""
        if self.config.curve is not None:
            return self.conditioner.predictor(*self._sight(features))
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
                Curves [channels, steps] in a model that has one, as they are.
            predicted_rhythm: as `predict_rhythm` gives it; encoded as it is. Predicted here if neither rhythm is given,
                which a model that draws it refuses.
        """
        if real_rhythm is not None:
            rhythm = self.measured(features, real_rhythm)
        elif predicted_rhythm is not None:
            rhythm = torch.as_tensor(predicted_rhythm).to(self.device, self.dtype)
        else:
            rhythm = self.predict_rhythm(features)
        return self.encoded(features, rhythm)

    def measured(self, features: Sequence[Features], real_rhythm: Sequence[Array]) -> Tensor:
        """Measured rhythms as the DiT takes them: standardised on the 1 Hz grid, or curves of one length."""
        if self.config.curve is None:
            return standardise(self.rhythm_grid(features, real_rhythm))
        return torch.stack([torch.as_tensor(r).to(self.device, self.dtype) for r in real_rhythm])

    def encoded(self, features: Sequence[Features], rhythm: Tensor) -> Conditions:
        """Conditions of features and one rhythm for each, measured or predicted; with gradients."""
        steps = self.config.steps
        mask = pad([torch.ones(len(f)) for f in features], steps).bool().to(self.device)
        start, total = self._numbers([0] * len(features)), self._numbers([_total(f) for f in features])
        vectors = {
            "seconds_start": self.conditioner["seconds_start"](start),
            "seconds_total": self.conditioner["seconds_total"](total),
            "class": self.conditioner["class"](self._numbers([f.class_label for f in features]).long()),
        }
        clock = torch.cat((vectors["seconds_start"], vectors["seconds_total"]), dim=1)
        curve, tokens = None, rhythm
        if self.config.curve is not None:
            curve = torch.cat((rhythm, torch.ones_like(rhythm)), dim=1)
            tokens = tokens_of_curve(rhythm, self.config.curve_rate, steps)
        return Conditions(
            semantic=_timed(self.conditioner["semantic"](self._padded([f.semantic for f in features])), mask, clock),
            rhythm=_timed(self.conditioner["rhythm"](tokens), mask, clock),
            color=TokenSet(self.conditioner["color"](self._padded([f.color for f in features])), mask),
            global_cond=torch.cat([vectors[name] for name in self.config.global_ids], dim=-1)[:, 0],
            curve=curve,
            key=torch.tensor([f.key for f in features], device=self.device) if self.config.key else None,
        )

    def _pace(self, features: Sequence[Features]) -> Tensor:
        paces = [f.pace for f in features]
        if any(pace is None for pace in paces):
            raise ValueError("this model reads the picture's pace: give every clip's Features a pace")
        return torch.stack([torch.as_tensor(pace).to(self.device, self.dtype) for pace in paces])

    def _grooves(self, features: Sequence[Features], steps: int) -> Tensor:
        """[clips, 3, steps], zeros for clips without a groove."""
        none = torch.zeros(CHANNELS, steps)
        grooves = [f.groove.channels(self.config.curve_rate, steps) if f.groove else none for f in features]
        return torch.stack(grooves).to(self.device, self.dtype)

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
        return Guided(self.dit, conditions, latents.shape[-1], guidance).at(latents, t)

    @torch.inference_mode()
    def guided(self, conditions: Conditions, frames: int, guidance: float = 1.0, times: Sequence[float] = ()) -> Guided:
        """The same for many calls: all that no latent changes is done here, once; see `Guided`."""
        return Guided(self.dit, conditions, frames, guidance, times)

    @torch.inference_mode()
    def sample(
        self, noise: Tensor, conditions: Conditions, steps: int = 32, guidance: float = 3.0, sampler: str = "dpm"
    ) -> Tensor:
        """Latents of the noise's shape [clips, channels, frames]."""
        switch, chosen = self.dit.switch, SAMPLERS[sampler]
        velocity = self.guided(conditions, noise.shape[-1], guidance, chosen.times(steps, switch))
        return chosen(velocity, noise, steps, switch)

    @torch.inference_mode()
    def decode(self, latents: Tensor, chunk: int | None = None, to: torch.device | None = None) -> Tensor:
        """Latents [clips, channels, frames] -> sound [clips, 2, samples], about [-1, 1] and not clipped.

        Args:
            chunk: latents that are decoded at once; all if left out.
            to: where the sound shall lie; where the latents do if left out. From elsewhere a GPU holds one chunk alone.
        """
        return self.autoencoder.decode(latents, chunk, to)

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


def _timed(tokens: Tensor, mask: Tensor, clock: Tensor) -> TokenSet:
    """Tokens of the seconds, followed by the two tokens that tell start and length of the clip."""
    ones = mask.new_ones(len(mask), clock.shape[1])
    return TokenSet(torch.cat((tokens, clock), dim=1), torch.cat((mask, ones), dim=1))


def _total(features: Features) -> float:
    return len(features) if features.seconds_total is None else features.seconds_total

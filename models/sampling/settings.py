"""Settings of sampling, the same for every part that makes music. Knows no torch, so that a run can be planned."""

from __future__ import annotations

from dataclasses import dataclass, replace

from models.config import Sampling

RECORDED_NAMES = {"dpmpp_3m": "dpm"}
"""Older names of samplers, under which run records, sidecars and fingerprints know them."""


@dataclass(frozen=True)
class SamplingSettings:
    """How latents are sampled.

    Attributes:
        sampler: name of the solver, `dpmpp_3m` (or `dpm`, its older name) or `ddim` (`models.sampling.samplers`).
        steps: calls of the network; None is the model's default.
        guidance: scale of classifier-free guidance, 1 for none; None is the model's default.
        precision: of the layers that take most of the time (`models.precision.PRECISIONS`).
        compiled: whether the network's blocks are compiled before the first step.
    """

    sampler: str = "dpmpp_3m"
    steps: int | None = None
    guidance: float | None = None
    precision: str = "auto"
    compiled: bool = False

    def with_defaults(self, defaults: Sampling) -> SamplingSettings:
        """The same settings with a model's defaults where steps or guidance are left open."""
        return replace(
            self,
            steps=self.steps or defaults.steps,
            guidance=defaults.guidance if self.guidance is None else self.guidance,
        )

    @property
    def recorded_sampler(self) -> str:
        """Name of the sampler on disk: a sampler that was renamed keeps its older name there."""
        return RECORDED_NAMES.get(self.sampler, self.sampler)


def sampler_of_record(name: str) -> str:
    """Today's name of a sampler that a record names."""
    return next((today for today, older in RECORDED_NAMES.items() if older == name), name)

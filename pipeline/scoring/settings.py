"""What a run is: everything that changes the music, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from models.weights.source import TINY, ModelSource, clip_digest


@dataclass(frozen=True)
class RunSettings:
    """The settings of a run that change its music.

    Attributes:
        model: whose music.
        clip: `tiny`, or the path of open_clip weights for the semantic features.
        seed, take: choose the noise.
        steps, guidance, sampler: of the sampler; None is the model's default.
        precision: of the numbers of the layers that take the time (`models.precision`).
        device: `auto`, `cpu` or `cuda`; not part of the fingerprint.
        compiled: whether the sampler's network is compiled at the start; not part of the fingerprint.
    """

    model: ModelSource = TINY
    clip: str = "tiny"
    seed: int = 0
    take: int = 0
    steps: int | None = None
    guidance: float | None = None
    sampler: str = "dpm"
    precision: str = "auto"
    device: str = "auto"
    compiled: bool = False

    @property
    def sampling_steps(self) -> int:
        return self.steps or self.model.steps

    @property
    def guidance_scale(self) -> float:
        return self.model.guidance if self.guidance is None else self.guidance

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that stand for everything that changes the music: weights, arithmetic and settings."""
        what = {
            "model": self.model.digest,
            "clip": clip_digest(self.clip),
            "seed": self.seed,
            "take": self.take,
            "steps": self.sampling_steps,
            "guidance": self.guidance_scale,
            "sampler": self.sampler,
            "precision": self.precision,
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def record(self) -> dict[str, Any]:
        """Everything that is needed to run with these settings again, from any folder."""
        name = self.model.name if self.model.preset is not None else os.path.abspath(self.model.name)
        clip = self.clip if self.clip == TINY.name else os.path.abspath(self.clip)
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("model", "clip")}
        return {"model": name, "weights": self.model.weights, "clip": clip} | own

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> RunSettings:
        """The settings that a record tells of.

        Raises:
            TypeError, KeyError: it is of another version.
        """
        own = dict(record)
        return cls(model=ModelSource(own.pop("model"), own.pop("weights")), **own)

    @property
    def facts(self) -> dict[str, Any]:
        """What every sidecar tells of the run."""
        return {
            "fingerprint": self.fingerprint,
            "model": self.model.name,
            "weights": self.model.weights,
            "seed": self.seed,
            "take": self.take,
            "steps": self.sampling_steps,
            "guidance": self.guidance_scale,
            "sampler": self.sampler,
            "precision": self.precision,
        }

"""Settings of a run: everything that changes its results, the fingerprint of that, and its record on disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from models.mixing.settings import MixingSettings
from models.sampling.settings import SamplingSettings, sampler_of_record
from models.weights.source import TINY, ModelSource, clip_digest
from stages.audio.formats import OutputSettings


@dataclass(frozen=True)
class RunSettings:
    """The settings of a run that change its results.

    Attributes:
        model: the model that makes the music.
        clip_weights: `tiny`, or the path of open_clip weights for the semantic features.
        seed: a number that chooses the noise, and so the music, of all videos.
        take: a second number that chooses the noise, for another version with the same seed.
        sampling: how latents are sampled; whether the network is compiled is not part of the fingerprint.
        mixing: what becomes of the music after it is made.
        outputs: the files of each result.
        device: `auto`, `cpu` or `cuda`; not part of the fingerprint.
        max_lost: largest share of a video's time whose frames may be unreadable, 0..1; not part of the fingerprint.
    """

    model: ModelSource = TINY
    clip_weights: str = "tiny"
    seed: int = 0
    take: int = 0
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    mixing: MixingSettings = MixingSettings()
    outputs: OutputSettings = field(default_factory=OutputSettings)
    device: str = "auto"
    max_lost: float = 0.1

    @cached_property
    def resolved_sampling(self) -> SamplingSettings:
        """The settings of sampling, with the model's defaults in place of those that are left open."""
        return self.sampling.with_defaults(self.model.config.sampling)

    @cached_property
    def _music_settings(self) -> dict[str, Any]:
        """The settings that change the music beside the weights, by their names on disk."""
        sampling = self.resolved_sampling
        return {
            "seed": self.seed,
            "take": self.take,
            "steps": sampling.steps,
            "guidance": sampling.guidance,
            "sampler": sampling.recorded_sampler,
            "precision": sampling.precision,
        }

    @property
    def _mix_settings(self) -> dict[str, Any]:
        """The settings that change what becomes of the music, by their names on disk.

        The defaults are left out: so the fingerprints of older runs stay what they are.
        """
        chosen = {"mixing": self.mixing.to_dict(), "outputs": self.outputs.to_dict()}
        return {name: value for name, value in chosen.items() if value}

    @cached_property
    def music_fingerprint(self) -> str:
        """16 hexadecimal digits, a hash of all that changes the music: weights, arithmetic and settings."""
        return self._hash(self._music_settings)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits, a hash of all that changes the results: that of the music, and the mix."""
        return self._hash(self._music_settings | self._mix_settings)

    def _hash(self, settings: dict[str, Any]) -> str:
        weights = {"model": self.model.digest, "clip": clip_digest(self.clip_weights)}
        return hashlib.sha256(json.dumps(weights | settings, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def record(self) -> dict[str, Any]:
        """All settings by their names on disk, enough to run with them again from any folder."""
        sampling = self.sampling
        return {
            "model": self.model.name if self.model.preset is not None else os.path.abspath(self.model.name),
            "weights": self.model.weights,
            "clip": self.clip_weights if self.clip_weights == TINY.name else os.path.abspath(self.clip_weights),
            "seed": self.seed,
            "take": self.take,
            "steps": sampling.steps,
            "guidance": sampling.guidance,
            "sampler": sampling.recorded_sampler,
            "precision": sampling.precision,
            "mixing": self.mixing.to_dict() or None,
            "outputs": self.outputs.to_dict() or None,
            "device": self.device,
            "compiled": sampling.compiled,
            "max_lost": self.max_lost,
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> RunSettings:
        """Returns the settings that a record holds.

        Raises:
            TypeError, KeyError: another version wrote it.
        """
        own = dict(record)
        sampling = SamplingSettings(
            sampler=sampler_of_record(own.pop("sampler")),
            **{name: own.pop(name) for name in ("steps", "guidance", "precision", "compiled")},
        )
        model = ModelSource(own.pop("model"), own.pop("weights"))
        mixing = MixingSettings(**(own.pop("mixing", None) or {}))
        outputs = OutputSettings.of_dict(own.pop("outputs", None) or {})
        clip = own.pop("clip")
        return cls(model=model, clip_weights=clip, sampling=sampling, mixing=mixing, outputs=outputs, **own)

    def to_dict(self) -> dict[str, Any]:
        """The description of the run that stands in every sidecar."""
        about = {"fingerprint": self.fingerprint, "model": self.model.name, "weights": self.model.weights}
        return about | self._music_settings | self._mix_settings

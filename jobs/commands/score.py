"""What `score` and `demo` do: check the order, run it, and show a person how it goes."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from jobs.progress import Bars, Lines, show_summary
from models.precision import check_compiler
from models.weights.source import ModelSource
from pipeline.cluster.session import check_address
from pipeline.destination.run_records import Records, RunRecord
from pipeline.discovery import discover, reread
from pipeline.scoring.run import Summary, run
from pipeline.scoring.settings import RunSettings
from pipeline.storage.storage import Storage


class SettingsError(ValueError):
    """Options that do not go together, in one line that says which would."""


@dataclass(frozen=True)
class Order:
    """What a person asked for, option by option."""

    sources: list[str]
    out: str
    preset: str = "tiny"
    weights: Path | None = None
    weight_set: str = "online"
    clip: Path | None = None
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    precision: str = "auto"
    compiled: bool = False
    limit: int | None = None
    address: str | None = None
    force: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Order:
        """The order among the options of a command, by their names."""
        return cls(**{field.name: options[field.name] for field in fields(cls)})

    def settings(self) -> RunSettings:
        """The run's settings, after a look into every file that they name.

        Raises:
            SettingsError, CheckpointError, ConfigError, ClipWeightsError: they cannot be used.
        """
        model = ModelSource(str(self.weights or self.preset), self.weight_set)  # type: ignore[arg-type]
        _check_weights(model)
        clip = self._clip(model)
        _check_clip(model, clip)
        if self.compiled and self.address is None:  # a cluster's workers look for themselves
            check_compiler()
        return RunSettings(
            model=model, clip=clip, seed=self.seed, steps=self.steps, guidance=self.guidance,
            precision=self.precision, compiled=self.compiled,
        )  # fmt: skip

    def _clip(self, model: ModelSource) -> str:
        if self.clip is not None:
            return str(self.clip)
        if model.preset is not None:
            return "tiny"
        from models.weights.checkpoint import open_checkpoint

        beside = open_checkpoint(model.name).path.with_name("clip.safetensors")
        if not beside.is_file():
            raise SettingsError(f"no CLIP weights at {beside}: name open_clip weights with --clip")
        return str(beside)


def check_environment(names: Sequence[str]) -> None:
    """Hold the environment against what a run needs of it.

    Raises:
        SettingsError: a variable is not set.
    """
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise SettingsError(f"not set in the environment of {socket.gethostname()}: {', '.join(missing)}")


def score_sources(order: Order, *, as_json: bool = False) -> Summary:
    """Score what the order names; show progress on a terminal, log lines elsewhere, and a summary at the end.

    Raises:
        The errors of `discover`, `Order.settings` and `run`, each one line.
    """
    started = time.monotonic()
    if order.address:
        check_address(order.address)
    destination = Storage.open(order.out)
    settings = order.settings()
    manifest = discover(order.sources, destination, order.limit)
    destination.check(write=True)
    with _view() as view:
        summary = run(manifest, settings, destination, view, address=order.address, mix=order.force)
    _tell(summary, settings, destination, time.monotonic() - started, as_json)
    return summary


def retry_destination(out: str, *, failed: bool = False, address: str | None = None, as_json: bool = False) -> Summary:
    """Go on with the latest run of a destination as its record has it: what waits, and what failed and may go better.

    Args:
        failed: try files again that failed for what they are, too.

    Raises:
        SettingsError: the weights are not what they were.
        The errors of `Records` and `run`, each one line.
    """
    started = time.monotonic()
    if address:
        check_address(address)
    destination = Storage.open(out)
    destination.check()
    records = Records(destination)
    record = records.latest()
    if record is None:
        raise SettingsError(f"{destination.url} holds no run of diff-v2m: name the --out of a run")
    settings = _settings_of(record)
    with _view() as view:
        # Music of other settings that stands there was let in by the run that is gone on with.
        manifest = reread(records.manifest(record))
        summary = run(manifest, settings, destination, view, address=address, mix=True, hopeless_too=failed)
    _tell(summary, settings, destination, time.monotonic() - started, as_json)
    return summary


def _settings_of(record: RunRecord) -> RunSettings:
    """The settings of a recorded run, if they still make the same music."""
    try:
        settings = RunSettings.of_record(record.settings)
    except (TypeError, KeyError, AttributeError):
        raise SettingsError(f"the run of {record.started} was recorded by another version: use `score`") from None
    if settings.fingerprint != record.fingerprint:
        raise SettingsError(
            f"{settings.model.name} makes other music than in the run of {record.started} (fingerprint "
            f"{settings.fingerprint}, not {record.fingerprint}): bring back its weights, or `score` to another --out"
        )
    return settings


def _view() -> AbstractContextManager[Bars | Lines]:
    return (Bars() if sys.stderr.isatty() else Lines()).shown()


def _tell(summary: Summary, settings: RunSettings, destination: Storage, elapsed: float, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_report(summary, settings, destination, elapsed)))
    else:
        show_summary(summary, destination.url, elapsed)


def _check_weights(model: ModelSource) -> None:
    """Hold every tensor of a checkpoint to account before anything starts."""
    if model.preset is not None:
        return
    from models.weights.checkpoint import open_checkpoint, raise_problems
    from models.weights.loading import account, skeleton

    checkpoint = open_checkpoint(model.name)
    raise_problems(account(checkpoint, skeleton(checkpoint)))
    if model.weights == "ema" and not checkpoint.has_ema:
        raise SettingsError(f"{checkpoint.path} holds no moving average; use --weight-set online")


def _check_clip(model: ModelSource, clip: str) -> None:
    """Compare the CLIP's embedding with what the model was made for."""
    from models.clip.checkpoint import clip_config

    expected, came = model.config.semantic_dim, clip_config(clip).embed_dim
    if expected != came:
        raise SettingsError(f"the model takes semantic features of {expected} numbers, this CLIP gives {came}: {clip}")


def _report(summary: Summary, settings: RunSettings, destination: Storage, elapsed: float) -> dict[str, Any]:
    return {
        "destination": destination.url,
        "settings": settings.facts,
        "total": summary.total,
        "done": summary.done,
        "skipped": summary.skipped,
        "failed": len(summary.failures),
        "failures": [
            {name: row[name] for name in ("uri", "output", "stage", "error_type", "error_message")}
            for row in summary.failures
        ],
        "seconds": round(elapsed, 3),
        "seconds_of_music": round(summary.music, 3),
        "seconds_of_stages": {stage: round(seconds, 3) for stage, seconds in summary.seconds.items()},
    }

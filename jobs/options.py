"""Command-line options that several commands share, and groups of options as dataclasses."""

from __future__ import annotations

import enum
import inspect
import logging
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from models.errors import UserError


class SettingsError(UserError):
    """Options that do not go together, or that name something unusable; the line says which would do."""


class PresetName(enum.StrEnum):
    """Models by name."""

    TINY = "tiny"
    RELEASED = "diff-v2m"


class WeightSetName(enum.StrEnum):
    """The two sets of weights of a checkpoint."""

    ONLINE = "online"
    EMA = "ema"


class DeviceName(enum.StrEnum):
    """Where networks run; `auto` is a GPU where there is one."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class PrecisionName(enum.StrEnum):
    """Number formats of the networks' large layers."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class OriginalName(enum.StrEnum):
    """What becomes of the sound that a video brings along."""

    DROP = "drop"
    KEEP = "keep"
    DUCK = "duck"


class MusicTrackName(enum.StrEnum):
    """Where the soundtrack stands in a scored video."""

    REPLACE = "replace"
    ADD = "add"


CLIP_FLAGS = ("--clip-weights", "--clip")
"""Names of the option for CLIP weights; the second is an alias that older scripts use."""

Sources = Annotated[list[str], typer.Argument(help="Videos, folders (searched all the way down) or s3:// prefixes.")]
Destination = Annotated[str, typer.Argument(help="The --out of a run: a folder or s3://bucket/prefix.")]
Out = Annotated[str, typer.Option("--out", "-o", help="Folder or s3://bucket/prefix that takes the results.")]
Preset = Annotated[PresetName, typer.Option(help="A model by name; diff-v2m wants `diff-v2m weights pull` first.")]
Weights = Annotated[
    Path | None,
    typer.Option(help="A checkpoint in the released layout, or its folder; takes the preset's place."),
]
WeightSet = Annotated[WeightSetName, typer.Option("--weight-set", help="Weights as trained, or their moving average.")]
ClipWeights = Annotated[
    Path | None,
    typer.Option(*CLIP_FLAGS, help="CLIP weights of open_clip; clip.safetensors beside the checkpoint if left out."),
]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Chooses the music; the same seed makes the same music.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Sampling steps; the model's default if left out.")]
Guidance = Annotated[
    float | None, typer.Option(min=0, max=100, help="How strongly the picture steers; the model's default if left out.")
]
Precision = Annotated[
    PrecisionName,
    typer.Option(help="Number format of the networks' large layers; auto is bfloat16 on a GPU, else float32."),
]
Device = Annotated[DeviceName, typer.Option(help="Where the networks run.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Take only the first N videos.")]
Address = Annotated[str | None, typer.Option(help="A Ray cluster; one is started on this machine if left out.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else, to standard output.")]


@dataclass(frozen=True, kw_only=True)
class Verbosity:
    """Options that choose how much a command says."""

    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and the final line.")] = False
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose", "-v", count=True, show_default=False, help="Log more to standard error; -vv logs everything."
        ),
    ] = 0

    @property
    def log_level(self) -> int:
        """The least level of log messages that are shown.

        Raises:
            SettingsError: both options are given.
        """
        if self.quiet and self.verbose:
            raise SettingsError("--quiet and --verbose do not go together: choose one")
        return logging.ERROR if self.quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(self.verbose, 2)]


def expand_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command one command-line option for each field of the dataclasses among its parameters.

    Typer reads a command's options from the parameters of its function. Commands that share a group of options name
    its dataclass as one parameter instead, so that each option stands in one place.
    """
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, type[Any]] = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if isinstance(parameter.annotation, type) and is_dataclass(parameter.annotation)
    }

    @wraps(command)
    def expanded(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        command(**values)

    parameters = list[inspect.Parameter]()
    for name, parameter in signature.parameters.items():
        if name in groups:
            parameters += _parameters_of(groups[name])
        else:
            parameters.append(parameter.replace(kind=parameter.KEYWORD_ONLY))
    parameters.sort(key=lambda parameter: parameter.default is not parameter.empty)  # required options first
    expanded.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return expanded


def _parameters_of(group: type[Any]) -> Iterator[inspect.Parameter]:
    """Keyword parameters with the names, types and defaults of a dataclass's fields."""
    hints = get_type_hints(group, include_extras=True)
    for field in fields(group):
        default: Any = inspect.Parameter.empty if field.default is MISSING else field.default
        if field.default_factory is not MISSING:
            default = field.default_factory()
        yield inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name]
        )

"""Groups of options: a dataclass's fields are a command's options."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from jobs.commands.evaluate import EvaluateOptions
from jobs.commands.prepare import PrepareOptions
from jobs.mix_options import MixOptions
from jobs.options import ClipWeights, Json, OriginalName, expand_options
from jobs.score_options import ScoreOptions
from models.mixing.settings import MixingSettings
from stages.audio.formats import OutputSettings


@dataclass(frozen=True, kw_only=True)
class Base:
    clip_weights: ClipWeights = None


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    sources: Annotated[list[str], typer.Argument()]
    out: Annotated[str, typer.Option("--out", "-o")]
    only: Annotated[list[int], typer.Option(min=1)] = field(default_factory=list)


got = list[tuple[object, ...]]()
app = typer.Typer()


mix_app = typer.Typer()


@mix_app.command()
@expand_options
def mix_command(options: MixOptions, source: str) -> None:
    """Some command."""
    print(source, options.outputs.formats, options.outputs.sample_rate, options.mixing.loudness)


@app.command()
@expand_options
def command(options: Options, extra: int = 5, as_json: Json = False) -> None:
    """Some command."""
    got.append((options, extra, as_json))


def test_fields_are_options_with_their_types_and_defaults() -> None:
    assert CliRunner().invoke(app, ["a", "b", "-o", "x"]).exit_code == 0
    assert got.pop() == (Options(sources=["a", "b"], out="x"), 5, False)
    arguments = ["a", "--out", "x", "--only", "3", "--only", "4", "--extra", "6", "--json"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert got.pop() == (Options(sources=["a"], out="x", only=[3, 4]), 6, True)
    assert "--only" in CliRunner().invoke(app, ["a", "--out", "x", "--only", "0"]).output
    assert "Some command." in CliRunner().invoke(app, ["--help"]).output


@pytest.mark.parametrize("name", ["--clip-weights", "--clip"])
def test_the_old_name_of_an_option_is_an_alias(name: str) -> None:
    assert CliRunner().invoke(app, ["a", "--out", "x", name, "clip.safetensors"]).exit_code == 0
    assert got.pop() == (Options(sources=["a"], out="x", clip_weights=Path("clip.safetensors")), 5, False)


@pytest.mark.parametrize("options", [ScoreOptions, EvaluateOptions, PrepareOptions])
def test_commands_that_take_clip_weights_call_them_so(options: type) -> None:
    assert "clip_weights" in options.__dataclass_fields__
    assert "clip" not in options.__dataclass_fields__


def test_options_of_the_mix_become_settings() -> None:
    options = MixOptions(formats="flac, wav24,flac", rate=48000, stems=True, original=OriginalName.DUCK, duck_depth=6)
    assert options.outputs == OutputSettings(("flac", "wav24"), 48000, "replace", stems=True)
    assert options.mixing == MixingSettings(original="duck", duck_depth=6)
    assert (MixOptions().outputs, MixOptions().mixing) == (OutputSettings(), MixingSettings())
    found = CliRunner().invoke(mix_app, ["a", "--formats", "mp3,ogg", "--rate", "48000", "--loudness", "ebu"])
    assert found.exit_code == 0, found.output
    assert found.output.strip() == "a ('mp3', 'ogg') 48000 -23.0"

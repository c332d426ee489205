"""The commands `weights inspect` and `weights pull`: what a checkpoint holds, and released weights from their hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from jobs.exits import ALL_DONE, WRONG_USAGE, exit_on_error
from jobs.options import Json, Verbosity, expand_options
from jobs.progress import megabytes_text, progress_display

weights_app = typer.Typer(help="Look into weight files, and fetch the released ones.", no_args_is_help=True)


@weights_app.command("inspect")
def inspect_command(
    path: Annotated[Path, typer.Argument(help="A checkpoint, or its folder.")],
    as_json: Json = False,
) -> None:
    """Show what a checkpoint is, and what keeps it from being used."""
    with exit_on_error():
        from models.weights.inspect import describe

        description = describe(path)
        if as_json:
            typer.echo(json.dumps({"facts": dict(description.rows), "faults": description.problems}))
        else:
            for name, value in description.rows:
                typer.echo(f"{name:24} {value}")
            typer.echo(f"{'usable':24} {'yes' if description.usable else 'no'}")
            for problem in description.problems:
                typer.echo(f"{'':24} {problem}", err=True)
    raise typer.Exit(ALL_DONE if description.usable else WRONG_USAGE)


@weights_app.command("pull")
@expand_options
def pull_command(
    name: Annotated[str, typer.Argument(help="diff-v2m: the released weights.")] = "diff-v2m",
    to: Annotated[Path | None, typer.Option(help="Folder for the download; where --preset looks if left out.")] = None,
    verbosity: Verbosity = Verbosity(),
) -> None:
    """Fetch released weights from the Hugging Face hub; goes on where a broken download stopped."""
    with exit_on_error(verbosity=verbosity):
        from models.weights.hub import default_folder, pull

        folder = to or default_folder(name)
        with progress_display(amount_text=megabytes_text) as display:
            pulled = pull(name, folder, on_progress=display.update)
        typer.echo(f"{name} is in {folder}")
        for license in pulled.licenses:
            typer.echo(str(license))

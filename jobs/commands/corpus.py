"""What `corpus` does: make videos with music by rule, for training and for evaluation."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

corpus_app = typer.Typer(
    help="Videos with music, made by rule: to train on, and to measure with.", no_args_is_help=True
)


@corpus_app.command("make")
def make_command(
    folder: Annotated[Path, typer.Argument(help="Takes the videos and truth.parquet.")],
    clips: Annotated[int, typer.Option(min=1, help="How many.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of the first; 10000 and up are held out from training.")] = 0,
    seconds: Annotated[float, typer.Option(min=2, max=600, help="Length of each.")] = 30.0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one for each core if left out.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, and nothing else, to standard output.")
    ] = False,
) -> None:
    """Make clips of consecutive seeds; those that are there are kept. The same seed makes the same clip."""
    from jobs.exits import reported

    with reported():
        from rich.console import Console
        from rich.progress import Progress

        from pipeline.datasets.synthetic_videos import make_corpus

        began = time.monotonic()
        with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
            task = bar.add_task("clips", total=clips)
            made = 0

            def told(done: int, total: int) -> None:
                nonlocal made
                made += 1
                bar.update(task, completed=done, total=total)

            table = make_corpus(folder, clips, seed, seconds, workers, told)
        elapsed = time.monotonic() - began
        speed = round(made * seconds / elapsed, 1)
        if as_json:
            facts = {"folder": str(folder), "clips": clips, "made": made, "seconds": round(elapsed, 3)}
            typer.echo(json.dumps(facts | {"times_real_time": speed, "in_folder": table.num_rows}))
        elif made:
            kept = f", {clips - made} were there" if made < clips else ""
            typer.echo(
                f"{made} clips of {seconds:g} s made in {folder}{kept}: {elapsed:.0f} s, {speed:.0f} times real time"
            )
        else:
            typer.echo(f"all {clips} clips are in {folder}")

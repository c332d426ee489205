"""The command `corpus make`: videos with music, composed by rule, for training and for evaluation."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from jobs.exits import exit_on_error
from jobs.options import Json, Verbosity, expand_options
from jobs.progress import progress_display

corpus_app = typer.Typer(
    help="Videos with music, made by rule: to train on, and to measure with.", no_args_is_help=True
)


class People(StrEnum):
    """What a film may have; `none` makes films without people."""

    DANCE = "dance"
    CONDUCTOR = "conductor"
    SPORT = "sport"
    TALK = "talk"
    NONE = "none"


_NO_SOUNDFONT = (
    "music played by oscillators: real instruments need the extra package diff-v2m[soundfont] and a soundfont, "
    "installed on the system or given by --soundfont"
)


@corpus_app.command("make")
@expand_options
def make_command(
    folder: Annotated[Path, typer.Argument(help="Takes the videos and truth.parquet.")],
    clips: Annotated[int, typer.Option(min=1, help="How many.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first; 10000 and up are held out from training.")] = 0,
    seconds: Annotated[float, typer.Option(min=2, max=600, help="Length of each.")] = 30.0,
    soundfont: Annotated[
        list[Path] | None,
        typer.Option(
            help="SF2 or SF3 file that plays the music; repeat it for more. The last of several plays held-out clips "
            "only. Those of the system are used if left out."
        ),
    ] = None,
    oscillators: Annotated[
        bool, typer.Option("--oscillators", help="Let oscillators play, without soundfonts.")
    ] = False,
    people: Annotated[
        People | None,
        typer.Option(help="People in every film; by chance if left out: about a third of the films then has some."),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one for each core if left out.")] = None,
    verbosity: Verbosity = Verbosity(),
    as_json: Json = False,
) -> None:
    """Make clips of consecutive seeds; those that are there are kept. The same seed makes the same clip."""
    if soundfont and oscillators:
        raise typer.BadParameter("choose --soundfont or --oscillators")
    with exit_on_error(verbosity=verbosity):
        from pipeline.datasets.synthetic_music import found_soundfonts, given_soundfonts, soundfont_of
        from pipeline.datasets.synthetic_videos import make_corpus

        fonts = () if oscillators else given_soundfonts(soundfont) if soundfont else found_soundfonts()
        heard = sorted({font.name for s in range(seed, seed + clips) if (font := soundfont_of(s, fonts))})
        started, made = time.monotonic(), 0
        with progress_display() as display:

            def on_clip(done: int, total: int) -> None:
                nonlocal made
                made += 1
                display.update("clips", done, total)

            table = make_corpus(folder, clips, seed, seconds, workers, on_clip, fonts, people)
        elapsed = time.monotonic() - started
        speed = round(made * seconds / elapsed, 1)
        if as_json:
            report = {"folder": str(folder), "clips": clips, "made": made, "seconds": round(elapsed, 3)}
            report |= {"times_real_time": speed, "in_folder": table.num_rows, "soundfonts": heard}
            typer.echo(json.dumps(report))
        elif made:
            kept = f", {clips - made} were there" if made < clips else ""
            number = "1 clip" if made == 1 else f"{made} clips"
            typer.echo(
                f"{number} of {seconds:g} s made in {folder}{kept}: {elapsed:.0f} s, {speed:.0f} times real time"
            )
        else:
            typer.echo(f"all {clips} clips are in {folder}" if clips > 1 else f"the clip is in {folder}")
        if not as_json:
            typer.echo(f"music played by {', '.join(heard)}" if heard else _NO_SOUNDFONT)

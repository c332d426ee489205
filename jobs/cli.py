"""The command line: what a person starts. Heavy imports wait until a command runs, so that `--help` answers at once."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.commands.bench import bench_command
from jobs.commands.corpus import corpus_app
from jobs.commands.evaluate import evaluate_command
from jobs.commands.inspect import cancel_command, failures_command, report_command, retry_command, status_command
from jobs.commands.prepare import prepare_command
from jobs.commands.submit import submit_command
from jobs.commands.train import train_command
from jobs.exits import ALL_DONE, SOME_FAILED, WRONG_USAGE, reported
from jobs.options import PrecisionName, PresetName, WeightSet

app = typer.Typer(
    help="Score videos with music: folders and buckets of clips in, each with its own soundtrack out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
weights_app = typer.Typer(help="Look into weight files, and fetch the released ones.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")
app.add_typer(corpus_app, name="corpus")


Out = Annotated[str, typer.Option("--out", "-o", help="Folder or s3://bucket/prefix that takes the results.")]
Preset = Annotated[PresetName, typer.Option(help="A model by name; diff-v2m wants `diff-v2m weights pull` first.")]
Weights = Annotated[Path | None, typer.Option(help="A checkpoint in the released layout, or its folder.")]
Set = Annotated[WeightSet, typer.Option("--weight-set", help="Weights as trained, or their moving average.")]
Clip = Annotated[Path | None, typer.Option(help="CLIP weights of open_clip; clip.safetensors beside the checkpoint.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Chooses the music; the same seed makes the same music.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Sampling steps; the model's default if left out.")]
Guidance = Annotated[
    float | None, typer.Option(min=0, max=100, help="How strongly the picture steers; the model's default if left out.")
]
Precision = Annotated[
    PrecisionName, typer.Option(help="Numbers of the networks' large layers; auto is bfloat16 on a GPU, else float32.")
]
Compiled = Annotated[
    bool, typer.Option("--compile", help="Compile the sampler's network first; pays in long runs, needs a compiler.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Score only the first so many videos.")]
Address = Annotated[str | None, typer.Option(help="A Ray cluster; one is started on this machine if left out.")]
Force = Annotated[bool, typer.Option("--force", help="Mix with music of other settings in the same destination.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done, as `plan`.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else, to standard output.")]


@app.command()
def score(
    context: typer.Context,
    sources: Annotated[
        list[str], typer.Argument(help="Videos, folders (searched all the way down) or s3:// prefixes.")
    ],
    out: Out,
    preset: Preset = PresetName.TINY,
    weights: Weights = None,
    weight_set: Set = WeightSet.ONLINE,
    clip: Clip = None,
    seed: Seed = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    precision: Precision = PrecisionName.AUTO,
    compiled: Compiled = False,
    limit: Limit = None,
    address: Address = None,
    force: Force = False,
    dry_run: DryRun = False,
    needs: Annotated[
        list[str] | None, typer.Option(help="Environment variable without which nothing is begun. Repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score videos: each gets a soundtrack, a .wav and a .json beside it. Run it again to go on where it stopped."""
    with reported():
        from jobs.commands.score import Order, check_environment, score_sources

        check_environment(needs or [])
        order = Order.of(context.params)
        if dry_run:
            from jobs.commands.plan import plan_sources

            failed = bool(plan_sources(order, as_json=as_json).unusable)
        else:
            failed = bool(score_sources(order, as_json=as_json).failures)
    raise typer.Exit(SOME_FAILED if failed else ALL_DONE)


@app.command()
def plan(
    context: typer.Context,
    sources: Annotated[
        list[str], typer.Argument(help="Videos, folders (searched all the way down) or s3:// prefixes.")
    ],
    out: Out,
    preset: Preset = PresetName.TINY,
    weights: Weights = None,
    weight_set: Set = WeightSet.ONLINE,
    clip: Clip = None,
    seed: Seed = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    precision: Precision = PrecisionName.AUTO,
    compiled: Compiled = False,
    limit: Limit = None,
    address: Address = None,
    force: Force = False,
    rates: Annotated[Path | None, typer.Option(help="A profile of rates, as --save-rates writes it.")] = None,
    rehearse: Annotated[
        int | None, typer.Option(min=1, help="Score so many of the videos here and now, for nothing but their rates.")
    ] = None,
    save_rates: Annotated[Path | None, typer.Option(help="File that takes the rates that --rehearse measures.")] = None,
    price: Annotated[float | None, typer.Option(min=0, help="Of an hour, for the cost.")] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Look at only so many videos, evenly spread.")] = None,
    as_json: Json = False,
) -> None:
    """Tell what `score` would do: what cannot be scored and why, how the machine is shared, hours, disk and cost."""
    with reported():
        from jobs.commands.plan import Reckoning, plan_sources
        from jobs.commands.score import Order, SettingsError

        if save_rates and not rehearse:
            raise SettingsError("--save-rates keeps what --rehearse measures: give both")
        order = Order.of(context.params)
        found = plan_sources(order, Reckoning(rates, rehearse, save_rates, price, sample), as_json=as_json)
    raise typer.Exit(SOME_FAILED if found.unusable else ALL_DONE)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the videos and results.")] = Path(
        "diff-v2m-demo"
    ),
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Make three short videos with known cuts, and score them."""
    with reported():
        from jobs.commands.demo import make_videos
        from jobs.commands.score import Order, score_sources

        videos = make_videos(out / "videos")
        order = Order(sources=[str(v) for v in videos], out=str(out / "scored"), seed=seed)
        summary = score_sources(order, as_json=as_json)
        failed = bool(summary.failures)
    raise typer.Exit(SOME_FAILED if failed else ALL_DONE)


@weights_app.command("inspect")
def weights_inspect(
    path: Annotated[Path, typer.Argument(help="A checkpoint, or its folder.")],
    as_json: Json = False,
) -> None:
    """Tell what a checkpoint is, and what keeps it from being used."""
    with reported():
        from models.weights.inspect import describe

        description = describe(path)
        if as_json:
            typer.echo(json.dumps({"facts": dict(description.facts), "faults": description.faults}))
        else:
            for what, value in description.facts:
                typer.echo(f"{what:24} {value}")
            typer.echo(f"{'usable':24} {'yes' if description.usable else 'no'}")
            for fault in description.faults:
                typer.echo(f"{'':24} {fault}", err=True)
    raise typer.Exit(ALL_DONE if description.usable else WRONG_USAGE)


@weights_app.command("pull")
def weights_pull(
    name: Annotated[str, typer.Argument(help="diff-v2m: the released weights.")] = "diff-v2m",
    to: Annotated[Path | None, typer.Option(help="Folder that takes them; where --preset looks if left out.")] = None,
) -> None:
    """Fetch released weights from the Hugging Face hub; goes on where a broken download stopped."""
    with reported():
        from jobs.commands.weights import fetch

        fetch(name, to)


app.command("status")(status_command)
app.command("failures")(failures_command)
app.command("retry")(retry_command)
app.command("report")(report_command)
app.command("cancel")(cancel_command)
app.command("submit", context_settings={"allow_extra_args": True})(submit_command)
app.command("prepare")(prepare_command)
app.command("evaluate")(evaluate_command)
app.command("train")(train_command)
app.command("bench")(bench_command)


def main(arguments: Any = None) -> None:
    """Entry point of the `diff-v2m` command. To be terminated is to be interrupted: both end in good order."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app(arguments)


if __name__ == "__main__":
    main()

"""The command `plan`: what `score` would do, before anything is computed; `score --dry-run` shows the same."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from jobs.console import as_markup, is_quiet, make_console
from jobs.exits import ALL_DONE, SOME_FAILED, exit_on_error
from jobs.options import Json, SettingsError, Verbosity, expand_options
from jobs.progress import Display, progress_display
from jobs.score_options import ScoreOptions
from jobs.summary import left_behind_text, passed_over_text

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.cluster.resources import Machine
    from pipeline.planning.cost_model import CostModel
    from pipeline.planning.estimate import Plan
    from pipeline.scoring.settings import RunSettings

MAX_UNUSABLE_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Options of a plan beside those of the run that it is about."""

    rates: Annotated[Path | None, typer.Option(help="A profile of rates, as --save-rates writes it.")] = None
    rehearse: Annotated[
        int | None, typer.Option(min=1, help="Score so many of the videos now, only to measure the speed.")
    ] = None
    save_rates: Annotated[Path | None, typer.Option(help="File that takes the rates that --rehearse measures.")] = None
    price: Annotated[float | None, typer.Option(min=0, help="Price of an hour, for the cost.")] = None
    sample: Annotated[int | None, typer.Option(min=1, help="Look at only so many videos, evenly spread.")] = None


@expand_options
def plan_command(
    options: ScoreOptions, plan_options: PlanOptions, verbosity: Verbosity = Verbosity(), as_json: Json = False
) -> None:
    """Show what `score` would do: what cannot be scored and why, how the machine is shared, hours, disk and cost."""
    with exit_on_error(verbosity=verbosity):
        if plan_options.save_rates and not plan_options.rehearse:
            raise SettingsError("--save-rates keeps what --rehearse measures: give both")
        plan = plan_sources(options, plan_options, as_json=as_json)
    raise typer.Exit(SOME_FAILED if plan.unusable else ALL_DONE)


def plan_sources(options: ScoreOptions, plan_options: PlanOptions = PlanOptions(), *, as_json: bool = False) -> Plan:
    """Estimates and prints what `score` would do with the same options.

    Raises:
        UserError: an error of `discover`, `ScoreOptions.settings`, `pipeline.planning.estimate.plan` or `CostModel`, or
            no such cluster.
    """
    from pipeline.discovery import find_videos
    from pipeline.planning.cost_model import RECORDED_RATES, CostModel
    from pipeline.planning.estimate import plan
    from pipeline.storage.storage import Storage

    destination = Storage.open(options.out)
    settings = options.settings()
    sources = find_videos(options.sources, destination, options.limit)
    manifest = sources.manifest
    machine = machine_at(options.address)
    with progress_display() as display:
        rates = CostModel.read(plan_options.rates) if plan_options.rates else None
        if plan_options.rehearse:
            rates = _rehearse(manifest, settings, machine, plan_options, display)
        found = plan(
            manifest, settings, destination, machine,
            cost_model=rates, price=plan_options.price, sample=plan_options.sample, mix=options.force,
            on_progress=partial(display.update, "looked at"),
            fallback=CostModel.read(RECORDED_RATES) if settings.model.preset is not None else None,
        )  # fmt: skip
    if as_json:
        print(json.dumps(found.to_dict() | {"passed_over": sources.passed_over}))
    else:
        show_plan(found, sources.passed_over)
    return found


def machine_at(address: str | None) -> Machine:
    """The resources of a Ray cluster, or of this machine if no address is given.

    Raises:
        ClusterError: there is no cluster at the address.
    """
    from pipeline.cluster.resources import Machine

    if not address:
        return Machine.here()
    from pipeline.cluster.session import check_address, cluster, machine_of_cluster

    check_address(address)
    with cluster(address):
        return machine_of_cluster()


def _rehearse(
    manifest: pa.Table, settings: RunSettings, machine: Machine, plan_options: PlanOptions, display: Display
) -> CostModel:
    """Rates measured on videos that are spread evenly over the manifest; kept in a file if the options name one."""
    from pipeline.planning.cost_model import CostModelError
    from pipeline.planning.profiling import profile_stages

    count = min(plan_options.rehearse or 1, manifest.num_rows)
    spread = [manifest.slice(manifest.num_rows * i // count, 1) for i in range(count)]
    rates = profile_stages(spread, settings, machine, partial(display.update, "rehearsed"))
    if plan_options.save_rates:
        try:
            rates.write(plan_options.save_rates)
        except OSError as error:
            raise CostModelError(f"cannot write the rates to {plan_options.save_rates}: {error.strerror}") from error
    return rates


def show_plan(plan: Plan, passed_over: Mapping[str, int]) -> None:
    """Prints a plan as tables and lines; as one line if the command is quiet.

    Args:
        passed_over: number of files that are no videos by their suffixes, for each suffix.
    """
    console = make_console()
    if is_quiet():
        hours = "" if plan.hours is None else f", about {time_text(3600 * plan.hours)}"
        console.print(f"{plan.todo} to score, {plan.done} done before, {len(plan.unusable)} cannot be scored{hours}")
        return
    if plan.unusable:
        table = Table("video", "why", title=f"{len(plan.unusable)} cannot be scored", title_justify="left")
        for video in plan.unusable[:MAX_UNUSABLE_SHOWN]:
            table.add_row(as_markup(video["uri"]), as_markup(f"{video['type']}: {video['message']}"))
        console.print(table)
        for kind, count in Counter(video["type"] for video in plan.unusable).most_common():
            console.print(f"  {count} {kind}")
    counts = Table("videos", "done before", "failed before", "cannot be scored", "to score", "of video")
    numbers = plan.total, plan.done, len(plan.failed_before), len(plan.unusable), plan.todo
    counts.add_row(*map(str, numbers), time_text(plan.seconds))
    console.print(counts)
    if passed_over:
        console.print(passed_over_text(passed_over))
    if plan.looked_at < plan.todo:
        console.print(f"{plan.looked_at} were looked at; the others are taken to be like them")
    if plan.guessed:
        console.print(f"of {plan.guessed} only decoding tells how long they last: taken to be like the others")
    if plan.other_containers:
        console.print(other_containers_table(plan))
    if plan.left_behind:
        console.print(left_behind_text(plan.left_behind))
    console.print(layouts_table(plan))
    if plan.hours is None or plan.cost_model is None:
        console.print("how long it takes is not known: measure with --rehearse 3, or name --rates FILE")
    else:
        console.print(f"about {time_text(3600 * plan.hours)}, by {as_markup(plan.cost_model.source)}")
        if plan.machine.gpus and not plan.cost_model.gpus:
            console.print("these rates are of processors alone: with a GPU it takes less")
    free = "" if plan.free is None else f", {plan.free / 1e9:.1f} GB are free"
    console.print(f"{plan.written / 1e9:.2f} GB of results{free}" + ("" if plan.fits else ": NOT ENOUGH ROOM"))
    if plan.cost is not None:
        console.print(f"cost {plan.cost:.2f}")


def other_containers_table(plan: Plan) -> Table:
    """A table of the videos that get another container, because theirs cannot hold their pictures."""
    title = f"{len(plan.other_containers)} with another container, because theirs cannot hold the pictures"
    table = Table("video", "result", title=title, title_justify="left")
    for video in plan.other_containers[:MAX_UNUSABLE_SHOWN]:
        table.add_row(as_markup(video["uri"]), as_markup(video["output"]))
    return table


def layouts_table(plan: Plan) -> Table:
    """A table of the workers of each stage and of what each worker takes, one row for each layout.

    Stages that share the workers of the stage before them have a ditto mark.
    """
    machine = f"{plan.machine.cores:g} processors, {plan.machine.gpus:g} GPUs"
    title = f"workers x processors + GPU of each ({machine} on {plan.machine.nodes} nodes)"
    table = Table("layout", *plan.layouts["here"].pools, title=title, title_justify="left")
    for name, layout in plan.layouts.items():
        cells = list[str]()
        for group in layout.groups:
            pool = layout[group[0]]
            gpu = f" + {pool.num_gpus:g}" if pool.num_gpus else ""
            cells += [f"{pool.workers} x {pool.num_cpus:.2f}{gpu}", *['"'] * (len(group) - 1)]
        table.add_row(name, *cells)
    return table


def time_text(seconds: float) -> str:
    """A span of time in seconds, minutes or hours, whichever suits it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

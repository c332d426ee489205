"""What `plan` and `score --dry-run` do: reckon a run, and show a person what would come."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.commands.score import Order
    from pipeline.cluster.resources import Machine
    from pipeline.planning.cost_model import Rates
    from pipeline.planning.estimate import Plan
    from pipeline.scoring.settings import RunSettings

SHOWN = 20


@dataclass(frozen=True)
class Reckoning:
    """What only a plan is told.

    Attributes:
        rates: a profile of rates.
        rehearse: videos to score here and now, to measure the rates.
        save: file that takes the rates that were measured.
        price: of an hour.
        sample: videos to look at.
    """

    rates: Path | None = None
    rehearse: int | None = None
    save: Path | None = None
    price: float | None = None
    sample: int | None = None


def plan_sources(order: Order, reckoning: Reckoning = Reckoning(), *, as_json: bool = False) -> Plan:
    """Reckon what `score` would do with the same order.

    Raises:
        The errors of `discover`, `Order.settings`, `pipeline.planning.estimate.plan`; RatesError,
            ClusterError: each one line.
    """
    from pipeline.discovery import discover
    from pipeline.planning.cost_model import RECORDED, Rates
    from pipeline.planning.estimate import plan
    from pipeline.storage.storage import Storage

    destination = Storage.open(order.out)
    settings = order.settings()
    manifest = discover(order.sources, destination, order.limit)
    machine = _machine(order.address)
    with _bar() as told:
        rates = Rates.read(reckoning.rates) if reckoning.rates else None
        if reckoning.rehearse:
            rates = _rehearsed(manifest, settings, machine, reckoning, told)
        found = plan(
            manifest, settings, destination, machine,
            rates=rates, price=reckoning.price, sample=reckoning.sample, mix=order.force,
            progress=lambda done, total: told("looked at", done, total),
            otherwise=Rates.read(RECORDED) if settings.model.preset is not None else None,
        )  # fmt: skip
    if as_json:
        print(json.dumps(found.facts))
    else:
        show_plan(found)
    return found


def _rehearsed(manifest: pa.Table, settings: RunSettings, machine: Machine, reckoning: Reckoning, told: Told) -> Rates:
    from pipeline.planning.cost_model import RatesError
    from pipeline.planning.profiling import rehearse

    count = min(reckoning.rehearse or 1, manifest.num_rows)
    spread = [manifest.slice(manifest.num_rows * i // count, 1) for i in range(count)]
    rates = rehearse(spread, settings, machine, lambda done, total: told("rehearsed", done, total))
    if reckoning.save:
        try:
            rates.write(reckoning.save)
        except OSError as fault:
            raise RatesError(f"cannot write the rates to {reckoning.save}: {fault.strerror}") from fault
    return rates


def _machine(address: str | None) -> Machine:
    from pipeline.cluster.resources import Machine

    if not address:
        return Machine.here()
    from pipeline.cluster.session import check_address, cluster, machine_of_cluster

    check_address(address)
    with cluster(address):
        return machine_of_cluster()


def show_plan(found: Plan) -> None:
    """Print a plan."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from jobs.progress import printable

    console = Console(highlight=False)
    if found.unusable:
        table = Table("video", "why", title=f"{len(found.unusable)} cannot be scored", title_justify="left")
        for look in found.unusable[:SHOWN]:
            table.add_row(*(escape(printable(t)) for t in (look["uri"], f"{look['type']}: {look['message']}")))
        console.print(table)
        for kind, count in Counter(look["type"] for look in found.unusable).most_common():
            console.print(f"  {count} {kind}")
    counts = Table("videos", "done before", "failed before", "cannot be scored", "to score", "of video")
    numbers = found.total, found.done, len(found.failed_before), len(found.unusable), found.todo
    counts.add_row(*map(str, numbers), _span(found.seconds))
    console.print(counts)
    if found.looked_at < found.todo:
        console.print(f"{found.looked_at} were looked at; the others are taken to be like them")
    if found.guessed:
        console.print(f"{found.guessed} do not say how long they last: taken to be like the others")
    console.print(_layouts(found))
    if found.hours is None or found.rates is None:
        console.print("how long it takes is not known: measure with --rehearse 3, or name --rates FILE")
    else:
        console.print(escape(f"about {_span(3600 * found.hours)}, by {printable(found.rates.source)}"))
        if found.machine.gpus and not found.rates.gpus:
            console.print("these rates are of processors alone: with a GPU it takes less")
    free = "" if found.free is None else f", {found.free / 1e9:.1f} GB are free"
    console.print(f"{found.written / 1e9:.2f} GB of results{free}" + ("" if found.fits else ": NOT ENOUGH ROOM"))
    if found.cost is not None:
        console.print(f"cost {found.cost:.2f}")


def _layouts(found: Plan) -> Any:
    """Workers of each stage, and what each takes."""
    from rich.table import Table

    machine = f"{found.machine.cores:g} processors, {found.machine.gpus:g} GPUs"
    title = f"workers x processors + GPU of each ({machine} on {found.machine.nodes} nodes)"
    stages = found.layouts["here"].pools
    table = Table("layout", *stages, title=title, title_justify="left")
    for name, layout in found.layouts.items():
        cells = []
        for pool in layout.pools.values():
            gpu = f" + {pool.num_gpus:g}" if pool.num_gpus else ""
            cells.append(f"{pool.workers} x {pool.num_cpus:.2f}{gpu}")
        table.add_row(name, *cells)
    return table


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


Told = Callable[[str, int, int], None]


@contextmanager
def _bar() -> Iterator[Told]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress, TaskID

    with Progress(console=Console(stderr=True)) as progress:
        bars: dict[str, TaskID] = {}

        def told(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=total)
            progress.update(bars[what], completed=done, total=total)

        yield told

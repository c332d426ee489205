"""What `weights pull` shows: progress, where the files lie, and whose they are."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from models.weights.hub import default_folder, pull


def fetch(name: str, to: Path | None) -> None:
    """Fetch released weights and say plainly what governs them.

    Raises:
        HubError: a file cannot be fetched; what came is kept and the next call goes on from there.
    """
    folder = to or default_folder(name)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def show(file: str, there: int, total: int) -> None:
            if file not in tasks:
                tasks[file] = bars.add_task(file, total=total)
            bars.update(tasks[file], completed=there)

        pulled = pull(name, folder, progress=show)
    typer.echo(f"{name} is in {folder}")
    for licence in pulled.licences:
        typer.echo(str(licence))

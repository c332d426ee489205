"""What `submit` does: hand a run to a Ray cluster as a job, or write it down as a Slurm batch script."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Annotated, Any

import typer

DASHBOARD = "http://127.0.0.1:8265"
SCRIPT = Path(__file__).with_name("slurm.sh")
LEFT_OUT = [".venv/", ".git/", "training/", "**/__pycache__/", "diff-v2m-demo/", "*.mp4", "*.wav"]
"""Of a working directory that is sent along."""

Jobs = Annotated[str, typer.Option("--address", help="The cluster's dashboard, where Ray takes jobs.")]
Needs = Annotated[
    list[str] | None,
    typer.Option("--env", help="Environment variable that the cluster must have; only its name is sent. Repeatable."),
]


@dataclass(frozen=True)
class Allocation:
    """What Slurm is asked for: nodes, GPUs of each, and the most time as HH:MM:SS."""

    nodes: int = 1
    gpus: int = 0
    time: str = "12:00:00"


class SubmitError(ValueError):
    """A run that cannot be handed over, in one line."""


def submit_command(
    context: typer.Context,
    address: Jobs = DASHBOARD,
    env: Needs = None,
    working_dir: Annotated[
        Path | None,
        typer.Option(help="This program's folder, to send along; else the cluster has it installed."),
    ] = None,
    slurm: Annotated[Path | None, typer.Option(help="Write an sbatch script there instead.")] = None,
    nodes: Annotated[int, typer.Option(min=1, help="Of the Slurm allocation.")] = 1,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of each node of the Slurm allocation.")] = 0,
    time: Annotated[str, typer.Option(help="Most time of the Slurm allocation, HH:MM:SS.")] = "12:00:00",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to standard output.")] = False,
) -> None:
    """Hand a run to a cluster: `submit [options] -- SOURCES --out DESTINATION [options of score]`.

    The job goes on when this machine is gone; `status`, `failures` and `report` work from its destination, and
    `cancel` stops it there.
    """
    from jobs.exits import reported

    with reported():
        order, names = checked(context.args), checked_names(env or [])
        if slurm is not None:
            write_script(slurm, order, names, Allocation(nodes, gpus, time))
            told = {"script": str(slurm), "start": f"sbatch {shlex.quote(str(slurm))}"}
        else:
            told = {"job": submit(order, names, address, working_dir), "address": address}
        if as_json:
            typer.echo(json.dumps(told))
        elif slurm is not None:
            typer.echo(f"written to {slurm}; start it with: {told['start']}")
        else:
            typer.echo(f"{told['job']}: follow it with: diff-v2m status --job {told['job']} --address {address}")


def checked(arguments: Sequence[str]) -> list[str]:
    """The arguments of `score`, if it would take them.

    Raises:
        SubmitError: it would not.
    """
    from typer.core import TyperGroup

    from jobs.cli import app

    if not arguments:
        raise SubmitError("nothing to score: submit [options] -- SOURCES --out DESTINATION [options of score]")
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    try:
        with group.commands["score"].make_context("score", list(arguments)) as parsed:
            elsewhere = parsed.params["address"]
    except typer.Exit:
        raise SubmitError("that asks for help, not for a run") from None
    except Exception as fault:  # typer brings the kinds of its parser under private names
        told = getattr(fault, "format_message", None)
        if told is None:
            raise
        raise SubmitError(f"score would not take that: {told()}") from None
    if elsewhere:
        raise SubmitError("--address belongs before the --: the job itself runs on the cluster that it names")
    return list(arguments)


def checked_names(names: Sequence[str]) -> list[str]:
    """Names of environment variables.

    Raises:
        SubmitError: one holds more than a name, such as its value.
    """
    for name in names:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise SubmitError(f"--env takes the name of a variable, never its value: {name.partition('=')[0]!r}")
    return list(names)


def entry_of(order: Sequence[str], names: Sequence[str]) -> list[str]:
    """The command that a job runs."""
    needs = [word for name in names for word in ("--needs", name)]
    return ["python", "-m", "jobs.cli", "score", *needs, "--address", "auto", *order]


def submit(order: Sequence[str], names: Sequence[str], address: str, working_dir: Path | None) -> str:
    """Hand a run to Ray's job server; the job's id.

    Raises:
        SubmitError: there is none, or it does not take the job.
    """
    environment: dict[str, Any] = {"env_vars": {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}}
    if working_dir is not None:
        if not (working_dir / "jobs" / "cli.py").is_file():
            raise SubmitError(f"{working_dir} is not the folder of this program: expected jobs/cli.py in it")
        environment |= {"working_dir": str(working_dir), "excludes": LEFT_OUT}
    try:
        client = _client(address)
        job: str = client.submit_job(
            entrypoint=shlex.join(entry_of(order, names)),
            submission_id=f"diff-v2m-{uuid.uuid4().hex[:12]}",
            runtime_env=environment,
        )
    except _refusals() as fault:
        raise SubmitError(f"{address} does not take the job: {_first_line(fault)}") from fault
    return job


def show_job(job: str, address: str, *, follow: bool = False) -> bool:
    """Print how a job stands and what it said last; follow it to its end if asked to. Whether it went well so far.

    Raises:
        SubmitError: there is no such cluster or job.
    """
    try:
        client = _client(address)
        if follow:
            import asyncio

            asyncio.run(_follow(client, job))
        status = client.get_job_status(job)
        if not follow:
            typer.echo(client.get_job_logs(job)[-4000:], nl=False)
    except _refusals() as fault:
        raise SubmitError(f"{address} knows nothing of {job}: {_first_line(fault)}") from fault
    typer.echo(f"{job}: {status.value}")
    return status.value != "FAILED"


async def _follow(client: Any, job: str) -> None:
    async for lines in client.tail_job_logs(job):
        typer.echo(lines, nl=False)


def _client(address: str) -> Any:
    from ray.job_submission import JobSubmissionClient

    return JobSubmissionClient(address)


def _refusals() -> tuple[type[Exception], ...]:
    """How Ray's client says that it cannot: no server, no such job, no right to ask (`RAY_AUTH_TOKEN` is missing)."""
    from ray.exceptions import RayError

    return RuntimeError, ValueError, OSError, RayError


def _first_line(fault: Exception) -> str:
    return (str(fault).strip() or type(fault).__name__).splitlines()[0][:300]


def write_script(path: Path, order: Sequence[str], names: Sequence[str], allocation: Allocation) -> None:
    """Write an sbatch script that starts Ray over its allocation and scores there.

    Raises:
        SubmitError: the time is none, or the file cannot be written.
    """
    if not re.fullmatch(r"(\d+-)?\d{1,3}(:\d{2}){0,2}", allocation.time):
        raise SubmitError(f"--time must be like 12:00:00, got {allocation.time!r}")
    text = Template(SCRIPT.read_text(encoding="utf-8")).substitute(
        nodes=allocation.nodes,
        gpus=f"#SBATCH --gpus-per-node={allocation.gpus}" if allocation.gpus else "# no GPUs",
        time=allocation.time,
        binaries=shlex.quote(os.path.dirname(sys.executable)),
        needs="\n".join(f': "${{{name}:?set it before sbatch}}"' for name in names) or "# none",
        order=shlex.join(order),
    )
    try:
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
    except OSError as fault:
        raise SubmitError(f"cannot write {path}: {fault.strerror or fault}") from fault

"""The command `submit`: a run is handed to a Ray cluster as a job, or written down as a Slurm batch script."""

from __future__ import annotations

import json
import re
import shlex
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.commands.score import score_command
from jobs.deployment.runtime_env import base_environment, complete_environment
from jobs.deployment.slurm import Allocation, write_script
from jobs.exits import exit_on_error
from jobs.options import Json
from jobs.ray_jobs import DASHBOARD, submit_job
from models.errors import UserError

NOT_SENT = ["/.venv/", "/.git/", "/training/", "**/__pycache__/", "/diff-v2m-demo/", "*.mp4", "*.wav"]
"""Files of a working directory that are not sent along with a job."""


class SubmitError(UserError):
    """A run that cannot be handed over."""


def submit_command(
    context: typer.Context,
    address: Annotated[str, typer.Option(help="The cluster's dashboard, where Ray takes jobs.")] = DASHBOARD,
    env: Annotated[
        list[str] | None,
        typer.Option(help="Environment variable that the cluster must have; only its name is sent. Repeatable."),
    ] = None,
    working_dir: Annotated[
        Path | None,
        typer.Option(help="This program's folder, to send along; else the cluster has it installed."),
    ] = None,
    install: Annotated[
        bool,
        typer.Option("--install", help="Bring this program and its packages along; the cluster has nothing but Ray."),
    ] = False,
    slurm: Annotated[Path | None, typer.Option(help="Write an sbatch script there instead.")] = None,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes of the Slurm allocation.")] = 1,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of each node of the Slurm allocation.")] = 0,
    time: Annotated[str, typer.Option(help="Most time of the Slurm allocation, HH:MM:SS.")] = "12:00:00",
    as_json: Json = False,
) -> None:
    r"""Hand a run to a cluster: `submit \[options] -- SOURCES --out DESTINATION \[options of score]`.

    The job goes on when this machine is gone; `status`, `failures` and `report` work from its destination, and
    `cancel` stops it there.
    """
    with exit_on_error():
        arguments, names = check_score_arguments(context.args), check_variable_names(env or [])
        if slurm is not None:
            write_script(slurm, arguments, names, Allocation(nodes, gpus, time))
            start = f"sbatch {shlex.quote(str(slurm))}"
            report = {"script": str(slurm), "start": start}
            line = f"written to {slurm}; start it with: {start}"
        else:
            job = submit(arguments, names, address, job_environment(working_dir, install=install))
            report = {"job": job, "address": address}
            line = f"{job}: follow it with: diff-v2m status --job {job} --address {address}"
        typer.echo(json.dumps(report) if as_json else line)


def check_score_arguments(arguments: Sequence[str]) -> list[str]:
    """Returns arguments for `score` after a check that it takes them.

    Raises:
        SubmitError: it does not.
    """
    if not arguments:
        raise SubmitError("nothing to score: submit [options] -- SOURCES --out DESTINATION [options of score]")
    app = typer.Typer()
    app.command("score")(score_command)
    try:
        with typer.main.get_command(app).make_context("score", list(arguments)) as context:
            address = context.params["address"]
    except typer.Exit:
        raise SubmitError("--help is not a run: name sources and --out") from None
    except Exception as error:  # typer's own parser has its errors under private names
        format_message = getattr(error, "format_message", None)
        if format_message is None:
            raise
        raise SubmitError(f"score does not take these arguments: {format_message()}") from None
    if address:
        raise SubmitError("--address belongs before the --: the job itself runs on the cluster that it names")
    return list(arguments)


def check_variable_names(names: Sequence[str]) -> list[str]:
    """Returns names of environment variables after a check that they are names.

    Raises:
        SubmitError: one holds more than a name, such as its value.
    """
    for name in names:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise SubmitError(f"--env takes the name of a variable, never its value: {name.partition('=')[0]!r}")
    return list(names)


def job_environment(working_dir: Path | None, *, install: bool) -> dict[str, Any]:
    """Returns Ray's runtime environment for a job.

    Args:
        working_dir: this program's folder, to send along; None where the cluster has the program installed.
        install: whether the job brings the program and all its packages along.

    Raises:
        SubmitError: the folder is not this program's, or both were asked for.
    """
    if install and working_dir is not None:
        raise SubmitError("--install sends this program along: leave out --working-dir")
    if install:
        return complete_environment()
    if working_dir is None:
        return base_environment()
    if not (working_dir / "jobs" / "cli.py").is_file():
        raise SubmitError(f"{working_dir} is not the folder of this program: expected jobs/cli.py in it")
    return base_environment() | {"working_dir": str(working_dir), "excludes": NOT_SENT}


def submit(arguments: Sequence[str], names: Sequence[str], address: str, environment: dict[str, Any]) -> str:
    """Hands a run to Ray's job server.

    Args:
        arguments: those of `score`.
        names: environment variables that the cluster must have.
        address: the cluster's dashboard.
        environment: Ray's runtime environment for the job.

    Returns:
        The job's name.

    Raises:
        RayJobError: there is no such cluster, or it does not take the job.
    """
    needs = [word for name in names for word in ("--needs", name)]
    # -P: nothing is imported from the folder that the cluster was started in.
    command = ["python", "-P", "-m", "jobs.cli", "score", *needs, "--address", "auto", *arguments]
    job = f"diff-v2m-{uuid.uuid4().hex[:12]}"
    submit_job(address, shlex.join(command), job, environment)
    return job

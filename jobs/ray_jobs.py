"""Jobs on a Ray cluster, through the cluster's dashboard."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from models.errors import UserError

DASHBOARD = "http://127.0.0.1:8265"
"""Address of a dashboard on this machine."""
LOG_CHARACTERS = 4000
"""Characters of a job's log that are shown, from its end."""


class RayJobError(UserError):
    """A cluster that does not take a job, or does not know it."""


def submit_job(address: str, entrypoint: str, job: str, runtime_env: dict[str, Any]) -> None:
    """Hands a job to a cluster.

    Args:
        address: the cluster's dashboard.
        entrypoint: the shell command that the job runs.
        job: name of the job.
        runtime_env: the job's environment; see Ray's documentation of runtime environments.

    Raises:
        RayJobError: there is no cluster, or it does not take the job.
    """
    with _translated_errors(f"{address} does not take the job"):
        _client(address).submit_job(entrypoint=entrypoint, submission_id=job, runtime_env=runtime_env)


def show_job(job: str, address: str, *, follow: bool = False) -> bool:
    """Prints the status of a job and the end of its log.

    Args:
        job: name of the job.
        address: the cluster's dashboard.
        follow: print the whole log instead, as it grows, until the job ends.

    Returns:
        Whether the job has not failed.

    Raises:
        RayJobError: there is no such cluster or job.
    """
    with _translated_errors(f"{address} knows nothing of {job}"):
        client = _client(address)
        if follow:
            import asyncio

            asyncio.run(_print_log(client, job))
        status = client.get_job_status(job)
        if not follow:
            typer.echo(client.get_job_logs(job)[-LOG_CHARACTERS:], nl=False)
    typer.echo(f"{job}: {status.value}")
    return bool(status.value != "FAILED")


async def _print_log(client: Any, job: str) -> None:
    async for lines in client.tail_job_logs(job):
        typer.echo(lines, nl=False)


def _client(address: str) -> Any:
    from ray.job_submission import JobSubmissionClient

    for name in ("ray", "ray.dashboard.modules.dashboard_sdk"):  # Ray would name every file that it sends
        logging.getLogger(name).setLevel(logging.ERROR)
    return JobSubmissionClient(address)


@contextmanager
def _translated_errors(failure: str) -> Iterator[None]:
    """Turns what Ray's client raises into a `RayJobError`: no server, no such job, no `RAY_AUTH_TOKEN` to ask with."""
    from ray.exceptions import RayError

    try:
        yield
    except (RuntimeError, ValueError, OSError, RayError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise RayJobError(f"{failure}: {reason}") from error

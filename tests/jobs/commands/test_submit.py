"""`submit`: what is handed over, and what never is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from jobs import ray_jobs
from jobs.commands import submit as submitting
from jobs.deployment.runtime_env import complete_environment
from tests.support.command_line import invoke

ARGUMENTS = ["s3://bucket/raw videos", "--out", "s3://bucket/scored", "--seed", "7"]


class Client:
    """Ray's job client, which remembers."""

    sent: dict[str, Any]

    def submit_job(self, **job: Any) -> str:
        type(self).sent = job
        return str(job["submission_id"])


def submit(*arguments: str) -> Result:
    return invoke("submit", *arguments)


def test_a_job_gets_the_arguments_and_names_but_no_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setattr(ray_jobs, "_client", lambda address: Client())
    result = submit("--env", "AWS_SECRET_ACCESS_KEY", "--json", "--", *ARGUMENTS)
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["job"] == Client.sent["submission_id"]
    assert Client.sent["entrypoint"] == (
        "python -P -m jobs.cli score --needs AWS_SECRET_ACCESS_KEY --address auto "
        "'s3://bucket/raw videos' --out s3://bucket/scored --seed 7"
    )
    assert "hush" not in json.dumps(Client.sent)


def test_the_program_can_travel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ray_jobs, "_client", lambda address: Client())
    root = Path(submitting.__file__).parents[2]
    assert submit("--working-dir", str(root), "--", *ARGUMENTS).exit_code == 0
    assert Client.sent["runtime_env"]["working_dir"] == str(root)
    assert "/.venv/" in Client.sent["runtime_env"]["excludes"]
    result = submit("--working-dir", str(tmp_path), "--", *ARGUMENTS)
    assert result.exit_code == 2
    assert "is not the folder of this program" in result.stderr


def test_the_program_and_its_packages_can_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setattr(ray_jobs, "_client", lambda address: Client())
    assert submit("--install", "--env", "AWS_SECRET_ACCESS_KEY", "--", *ARGUMENTS).exit_code == 0
    assert Client.sent["runtime_env"] == complete_environment()
    assert "hush" not in json.dumps(Client.sent)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "nothing to score"),
        (["--", "in/"], "score does not take these arguments: Missing option '--out'"),
        (["--", *ARGUMENTS, "--seeed", "1"], "score does not take these arguments: No such option: --seeed"),
        (["--env", "KEY=secret", "--", *ARGUMENTS], "--env takes the name of a variable, never its value: 'KEY'"),
        (["--", *ARGUMENTS, "--address", "ray://x:1"], "--address belongs before the --"),
        (["--address", "http://127.0.0.1:9", "--", *ARGUMENTS], "http://127.0.0.1:9 does not take the job"),
        (["--install", "--working-dir", "x", "--", *ARGUMENTS], "leave out --working-dir"),
        (["--slurm", "x.sh", "--time", "soon", "--", *ARGUMENTS], "--time must be like 12:00:00, got 'soon'"),
    ],
)
def test_arguments_that_score_would_not_take_are_one_line(arguments: list[str], line: str) -> None:
    result = submit(*arguments)
    assert result.exit_code == 2
    assert line in result.stderr
    assert "secret" not in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_variable_that_is_missing_on_the_cluster_is_named(tmp_path: Path) -> None:
    result = invoke("score", tmp_path, "--out", tmp_path / "o", "--needs", "NOT_SET_HERE")
    assert result.exit_code == 2
    assert "NOT_SET_HERE" in result.stderr

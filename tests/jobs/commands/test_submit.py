"""`submit`: what is handed over, what never is, and a batch script that does things in their order."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from jobs import ray_jobs
from jobs.commands import submit as submitting
from jobs.deployment.slurm import Allocation, write_script
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
    assert ".venv/" in Client.sent["runtime_env"]["excludes"]
    result = submit("--working-dir", str(tmp_path), "--", *ARGUMENTS)
    assert result.exit_code == 2
    assert "is not the folder of this program" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "nothing to score"),
        (["--", "in/"], "score does not take these arguments: Missing option '--out'"),
        (["--", *ARGUMENTS, "--seeed", "1"], "score does not take these arguments: No such option: --seeed"),
        (["--env", "KEY=secret", "--", *ARGUMENTS], "--env takes the name of a variable, never its value: 'KEY'"),
        (["--", *ARGUMENTS, "--address", "ray://x:1"], "--address belongs before the --"),
        (["--address", "http://127.0.0.1:9", "--", *ARGUMENTS], "http://127.0.0.1:9 does not take the job"),
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


def fake(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f'#!/bin/bash\necho "{name} $*" >> "$LOG"\n{body}\n')
    path.chmod(0o755)


def run_script(tmp_path: Path, score: str, **environment: str) -> tuple[int, list[str]]:
    """The script on a cluster of pretence: every command writes down how it was called."""
    tools, log = tmp_path / "tools", tmp_path / "log"
    tools.mkdir()
    fake(tools, "scontrol", "for node in n1 n2 n3; do echo $node; sleep 0.05; done")
    fake(tools, "srun", "sleep 30")
    fake(tools, "ray", "printf ' 1 node_a\\n 1 node_b\\n 1 node_c\\n'")
    fake(tools, "diff-v2m", score)
    script = tmp_path / "run.sh"
    write_script(script, ARGUMENTS, ["BUCKET_KEY"], Allocation(3, 2, "01:00:00"))
    text = script.read_text().replace("export PATH=", "true PATH=")
    script.write_text(text)
    allocation = {"SLURM_JOB_NODELIST": "n[1-3]", "SLURM_JOB_NUM_NODES": "3", "SLURM_JOB_ID": "7", "LOG": str(log)}
    env = {"PATH": f"{tools}:{os.environ['PATH']}"} | allocation | environment
    done = subprocess.run(["bash", str(script)], env=env, capture_output=True, timeout=600)
    return done.returncode, log.read_text().splitlines() if log.exists() else []


def test_the_script_starts_ray_on_every_node_and_then_the_run(tmp_path: Path) -> None:
    code, calls = run_script(tmp_path, "exit 3", BUCKET_KEY="hush")
    assert code == 3
    assert calls[0] == "scontrol show hostnames n[1-3]"
    starts = [call for call in calls if call.startswith("srun")]
    assert "--nodelist=n1 ray start --head --node-ip-address=n1 --port=20007" in starts[0]
    assert "--nodes=2 --ntasks=2 --exclude=n1 ray start --address=n1:20007" in starts[1]
    assert calls[-1] == "diff-v2m score --address n1:20007 s3://bucket/raw videos --out s3://bucket/scored --seed 7"
    assert "hush" not in (tmp_path / "run.sh").read_text()
    head = (tmp_path / "run.sh").read_text()
    assert "#SBATCH --nodes=3\n" in head
    assert "#SBATCH --gpus-per-node=2\n" in head


def test_the_script_wants_its_variables(tmp_path: Path) -> None:
    code, calls = run_script(tmp_path, "exit 0")
    assert code != 0
    assert not any(call.startswith("diff-v2m") for call in calls)

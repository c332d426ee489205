"""The batch script: it does things in their order, and holds no values of variables."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from jobs.deployment.slurm import Allocation, write_script

ARGUMENTS = ["s3://bucket/raw videos", "--out", "s3://bucket/scored", "--seed", "7"]


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

"""The container recipe: it installs the same list, and copies what the program is built from."""

from __future__ import annotations

from pathlib import Path

from jobs.deployment.runtime_env import PACKAGES, REQUIREMENTS
from tests.support.dockerfile import DOCKERFILE, instructions
from tests.support.installations import ROOT

STEPS = instructions(DOCKERFILE)


def test_it_installs_the_list_and_then_the_program() -> None:
    target = "/opt/diff-v2m"
    listed = f"{target}/{REQUIREMENTS.relative_to(ROOT)}"
    packages, program = [value for name, value in STEPS if name == "RUN"]
    assert packages == f"pip install --no-cache-dir --no-deps --only-binary :all: --requirement {listed}"
    assert program == f"pip install --no-cache-dir --no-deps {target}"


def test_it_copies_the_program_alone() -> None:
    copied = [Path(part) for name, value in STEPS if name == "COPY" for part in value.split()[:-1]]
    assert all((ROOT / path).exists() for path in copied)
    assert {str(path) for path in copied[1:]} == {"pyproject.toml", "README.md", *PACKAGES}
    assert copied[0] == REQUIREMENTS.relative_to(ROOT)


def test_it_runs_the_command() -> None:
    values = dict(STEPS)
    assert values["FROM"] == "python:3.11-slim"
    assert values["ENTRYPOINT"] == '["diff-v2m"]'

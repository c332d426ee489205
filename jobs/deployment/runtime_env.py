"""Ray's runtime environments: what a job brings along to a cluster.

The environment of a job is stored by the cluster and shown on its dashboard, so no credentials are ever put into one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
"""Every package that this program needs, with its exact version; see .ci/versions.py."""
PACKAGE_FOLDER = Path(__file__).resolve().parents[2]
PACKAGES = ("models", "stages", "pipeline", "jobs")
"""This program's own packages, all in `PACKAGE_FOLDER`."""
INSTALLATION_S = 3600
"""Seconds that a node may take to install the packages, about 3 GB of downloads."""


def base_environment() -> dict[str, Any]:
    """Returns the environment of a job on a cluster that has this program installed."""
    # Under `uv run` Ray would start its workers through `uv run` again, and they never come up.
    return {"env_vars": {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}}


def complete_environment() -> dict[str, Any]:
    """Returns the environment of a job on a cluster that has nothing but Ray.

    Each node installs the exact packages once, with pip, into an environment of its own beside Ray's, and keeps it for
    later jobs. This program travels as files: Ray would install a wheel together with the packages that it asks for,
    which pip cannot resolve.
    """
    return base_environment() | {
        "py_modules": [str(PACKAGE_FOLDER / package) for package in PACKAGES],
        "excludes": ["**/__pycache__/", "*.png"],
        "pip": {"packages": exact_packages(), "pip_install_options": ["--no-deps", "--disable-pip-version-check"]},
        "config": {"setup_timeout_seconds": INSTALLATION_S},
    }


def exact_packages() -> list[str]:
    """Returns the lines of `REQUIREMENTS` without its comments: `name==version`, some of them with a marker."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]

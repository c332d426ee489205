"""Container recipes, read and replayed without a container."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.support.installations import ROOT, run

DOCKERFILE = ROOT / "jobs" / "deployment" / "Dockerfile"


def instructions(path: Path) -> list[tuple[str, str]]:
    """Name and value of each instruction of a recipe without continued lines."""
    lines = (line.strip() for line in path.read_text().splitlines())
    split = (line.partition(" ") for line in lines if line and not line.startswith("#"))
    return [(name, value.strip()) for name, _, value in split]


def replay(path: Path, source: Path, root: Path, variables: Mapping[str, str]) -> None:
    """Does what the COPY and RUN instructions of a recipe say.

    Args:
        path: the recipe.
        source: folder of the repository's files.
        root: folder in place of the image's root; in commands, /opt becomes its /opt.
        variables: the environment of the commands.
    """
    for name, value in instructions(path):
        if name == "COPY":
            *files, target = value.split()
            place = root / target.lstrip("/")
            for file in files:
                if (source / file).is_dir():
                    shutil.copytree(source / file, place, dirs_exist_ok=True)
                else:
                    to = place / file if target.endswith("/") else place
                    to.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(source / file, to)
        elif name == "RUN":
            run(["sh", "-c", value.replace(" /opt/", f" {os.fspath(root)}/opt/")], root, variables)

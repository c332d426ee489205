"""A Slurm batch script that starts Ray over its allocation and scores there."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from models.errors import UserError

SCRIPT = Path(__file__).with_name("slurm.sh")


@dataclass(frozen=True)
class Allocation:
    """The request to Slurm: number of nodes, GPUs of each node, and the most time as HH:MM:SS."""

    nodes: int = 1
    gpus: int = 0
    time: str = "12:00:00"


class ScriptError(UserError):
    """A batch script that cannot be written."""


def write_script(path: Path, arguments: Sequence[str], names: Sequence[str], allocation: Allocation) -> None:
    """Writes the script. It uses the installation that this program runs from, which every node must see.

    Args:
        arguments: those of `score`.
        names: environment variables that the script must find.

    Raises:
        ScriptError: the allocation's time is not a time, or the file cannot be written.
    """
    if not re.fullmatch(r"(\d+-)?\d{1,3}(:\d{2}){0,2}", allocation.time):
        raise ScriptError(f"--time must be like 12:00:00, got {allocation.time!r}")
    text = Template(SCRIPT.read_text(encoding="utf-8")).substitute(
        nodes=allocation.nodes,
        gpus=f"#SBATCH --gpus-per-node={allocation.gpus}" if allocation.gpus else "# no GPUs",
        time=allocation.time,
        binaries=shlex.quote(os.path.dirname(sys.executable)),
        needs="\n".join(f': "${{{name}:?set it before sbatch}}"' for name in names) or "# none",
        arguments=shlex.join(arguments),
    )
    try:
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
    except OSError as error:
        raise ScriptError(f"cannot write {path}: {error.strerror or error}") from error

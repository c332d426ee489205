"""The command line as tests start it."""

from __future__ import annotations

import contextlib
import os
import pty
from pathlib import Path

from typer.testing import CliRunner, Result

from jobs.cli import app

C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""Environment of a process that Python starts without UTF-8."""


def invoke(*arguments: str | Path) -> Result:
    """Runs `diff-v2m` with some arguments in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run_on_terminal(command: list[str]) -> tuple[int, str]:
    """Exit code and screen of a command that runs on a terminal of its own, as a person's would."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(command[0], command)
    screen = bytearray()
    with contextlib.suppress(OSError):  # that is how a terminal shows that its last process is gone
        while chunk := os.read(terminal, 65536):
            screen += chunk
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), screen.decode(errors="replace")

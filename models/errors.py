"""Errors that a user can mend: one base class, which carries the exit code of the command that ends with it."""

from __future__ import annotations

from typing import ClassVar

WRONG_USAGE = 2
"""Exit code of a command that was given wrong options, files or settings."""
INTERNAL_ERROR = 1
"""Exit code of a command that ended with an internal error, or whose workers broke."""
STOPPED = 130
"""Exit code of a command that a person stopped."""


class UserError(Exception):
    """An error whose one line says all that a user needs: what was expected, what came, and what to do.

    A command that ends with it prints that line, without a traceback, and ends with `exit_code`.
    """

    exit_code: ClassVar[int] = WRONG_USAGE

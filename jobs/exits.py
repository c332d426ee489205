"""Exit codes of all commands, and how an error becomes one line and one of them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from jobs.console import quietly
from jobs.options import Verbosity
from models.errors import INTERNAL_ERROR, STOPPED, WRONG_USAGE, UserError

__all__ = ["ALL_DONE", "INTERNAL_ERROR", "SOME_FAILED", "STOPPED", "WRONG_USAGE", "exit_on_error"]

ALL_DONE = 0
"""Exit code of a command that did everything."""
SOME_FAILED = 3
"""Exit code of a command that did its work, but some videos failed or cannot be scored."""
FLOORS = ("jobs", "pipeline", "stages", "models")
"""Names of our own loggers."""


@contextmanager
def exit_on_error(
    stopped: str = "what is done is kept, the same command goes on from here", verbosity: Verbosity = Verbosity()
) -> Iterator[None]:
    """Ends the command with one clear line and the right exit code when an error leaves the block.

    A `UserError` gives the exit code of its class and no traceback. Every other error is an internal one: its
    traceback is logged, and the exit code is `INTERNAL_ERROR`.

    Args:
        stopped: what remains of the work, for a person who stops the command.
        verbosity: how much the command says. Libraries log warnings at most: what they log below that may hold secrets.
    """
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(message)s")
    try:
        with quietly(verbosity.quiet), _own_log_level(verbosity.log_level):
            yield
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        typer.echo(f"stopped; {stopped}", err=True)
        raise typer.Exit(STOPPED) from None
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except Exception as error:
        logging.getLogger(__name__).error("this is an internal error", exc_info=error)
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(INTERNAL_ERROR) from None


@contextmanager
def _own_log_level(level: int) -> Iterator[None]:
    """Sets the level of our own loggers within the block."""
    loggers = [logging.getLogger(floor) for floor in FLOORS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, old in zip(loggers, before, strict=True):
            logger.setLevel(old)

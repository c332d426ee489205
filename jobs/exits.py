"""Exit codes, and how an error becomes one line and one of them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

ALL_DONE, OUR_FAULT, WRONG_USAGE, SOME_FAILED, STOPPED = 0, 1, 2, 3, 130


@contextmanager
def reported(stopped: str = "what is done is kept, the same command goes on from here") -> Iterator[None]:
    """End the program with one clear line and the right exit code when something is wrong.

    Args:
        stopped: what a person who stops the command is told.
    """
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(message)s")
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        typer.echo(f"stopped; {stopped}", err=True)
        raise typer.Exit(STOPPED) from None
    except Exception as fault:
        code = STOPPED if type(fault).__name__ == "Cancelled" else _exit_code(fault)
        if code == OUR_FAULT and not _is_plain(fault):
            logging.getLogger(__name__).error("this is a fault of the program", exc_info=fault)
        typer.echo(f"error: {fault}", err=True)
        raise typer.Exit(code) from None


def _exit_code(fault: Exception) -> int:
    """Errors that a user can mend are wrong usage or input; any other is a fault of ours."""
    mendable = {
        "SourceError", "StorageError", "LedgerError", "SettingsError", "DemoError", "FingerprintError", "ClusterError",
        "CheckpointError", "ConfigError", "ClipWeightsError", "HubError", "DatasetError", "TrainingError",
        "CorpusError", "EvaluationError", "ClaimError", "RatesError", "SubmitError",
    }  # fmt: skip
    return WRONG_USAGE if any(kind.__name__ in mendable for kind in type(fault).__mro__) else OUR_FAULT


def _is_plain(fault: Exception) -> bool:
    """Whether a fault that is no user's is told in full by its one line: workers or a cluster that broke."""
    return any(kind.__name__ == "RunError" for kind in type(fault).__mro__)

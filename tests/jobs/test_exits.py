"""Exit codes follow from the types of errors, and so does what a person reads."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner, Result

import jobs
import models
import pipeline
import stages
from jobs.console import is_quiet
from jobs.exits import exit_on_error
from jobs.options import Verbosity
from models.errors import UserError
from pipeline.cluster.session import ClusterError, RunError
from pipeline.cluster.start import StartError
from pipeline.destination.run_lock import Cancelled
from pipeline.scoring.resume import FingerprintError

FAULTS_OF_THE_RUN = {RunError, StartError}
"""Errors of workers and machines; all other errors that derive from `UserError` are those of what a user gave."""


def raising(error: BaseException) -> Result:
    """The end of a command that raises an error."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def command() -> None:
        with exit_on_error("half of it is kept"):
            raise error

    return CliRunner().invoke(app)


def user_errors(kind: type[UserError] = UserError) -> Iterator[type[UserError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from user_errors(below)


@pytest.fixture(scope="module", autouse=True)
def every_module() -> None:
    """Imports everything that can be imported, so that all classes of errors are known."""
    for package in (models, stages, pipeline, jobs):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)


def test_a_user_error_is_one_line_and_wrong_usage() -> None:
    kinds = set(user_errors()) - FAULTS_OF_THE_RUN - {Cancelled}
    assert len(kinds) > 15
    assert {kind.exit_code for kind in kinds} == {2}
    assert FingerprintError in kinds
    assert ClusterError in kinds
    result = raising(UserError("expected a, got b"))
    assert (result.exit_code, result.stderr, result.stdout) == (2, "error: expected a, got b\n", "")


def test_a_broken_run_is_one_line_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        result = raising(RunError("a worker failed"))
    assert (result.exit_code, result.stderr) == (1, "error: a worker failed\n")
    assert caplog.records == []


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Cancelled("the run was cancelled"), "error: the run was cancelled\n"),
        (KeyboardInterrupt(), "stopped; half of it is kept\n"),
    ],
)
def test_a_run_that_is_stopped_is_told_apart(error: BaseException, line: str) -> None:
    result = raising(error)
    assert (result.exit_code, result.stderr) == (130, line)


@pytest.mark.parametrize("error", [ValueError("odd"), OSError("odd"), AssertionError("odd")])
def test_anything_else_is_our_fault_with_a_traceback_in_the_log(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    result = raising(error)
    assert result.exit_code == 1
    assert "error: odd" in result.stderr
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@pytest.mark.parametrize(
    ("verbosity", "shown"),
    [
        (Verbosity(quiet=True), ["ERROR"]),
        (Verbosity(), ["WARNING", "ERROR"]),
        (Verbosity(verbose=1), ["INFO", "WARNING", "ERROR"]),
        (Verbosity(verbose=3), ["DEBUG", "INFO", "WARNING", "ERROR"]),
    ],
)
def test_verbosity_chooses_what_we_log_and_not_what_libraries_log(
    verbosity: Verbosity, shown: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with exit_on_error(verbosity=verbosity):
        assert is_quiet() == verbosity.quiet
        for name in ("pipeline.discovery", "botocore.auth"):
            for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
                logging.getLogger(name).log(level, "x")
    assert [r.levelname for r in caplog.records if r.name == "pipeline.discovery"] == shown
    assert [r.levelname for r in caplog.records if r.name == "botocore.auth"] == ["WARNING", "ERROR"]
    assert not is_quiet()


def test_quiet_and_verbose_do_not_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught, exit_on_error(verbosity=Verbosity(quiet=True, verbose=1)):
        raise AssertionError("the command does not begin")
    assert caught.value.exit_code == 2
    assert capsys.readouterr().err == "error: --quiet and --verbose do not go together: choose one\n"


def test_exits_that_a_command_chooses_pass() -> None:
    assert raising(typer.Exit(3)).exit_code == 3

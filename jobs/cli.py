"""The command line `diff-v2m`. Heavy imports wait until a command runs, so that `--help` answers at once."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence

import typer

from jobs.commands.bench import bench_command
from jobs.commands.corpus import corpus_app
from jobs.commands.demo import demo_command
from jobs.commands.evaluate import evaluate_command
from jobs.commands.experiment import experiment_app
from jobs.commands.inspect import cancel_command, failures_command, report_command, status_command
from jobs.commands.plan import plan_command
from jobs.commands.prepare import prepare_command
from jobs.commands.retry import retry_command
from jobs.commands.score import score_command
from jobs.commands.submit import submit_command
from jobs.commands.train import train_command
from jobs.commands.weights import weights_app

app = typer.Typer(
    help="Score videos with music: folders and buckets of clips in, each with its own soundtrack out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("score")(score_command)
app.command("plan")(plan_command)
app.command("demo")(demo_command)
app.command("status")(status_command)
app.command("failures")(failures_command)
app.command("retry")(retry_command)
app.command("report")(report_command)
app.command("cancel")(cancel_command)
app.command("submit", context_settings={"allow_extra_args": True})(submit_command)
app.add_typer(weights_app, name="weights")
app.add_typer(corpus_app, name="corpus")
app.command("prepare")(prepare_command)
app.command("train")(train_command)
app.command("evaluate")(evaluate_command)
app.add_typer(experiment_app, name="experiment")
app.command("bench")(bench_command)


def use_utf8() -> None:
    """Makes this process and its children take names of files as UTF-8, and print any character, whatever the locale.

    Python chooses how it reads names once, when it starts. Where that is not UTF-8, this process starts again.
    """
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        environment = os.environ | {"PYTHONUTF8": "1"}
        os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], environment)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def open_standard_streams() -> None:
    """Opens standard input, output and error on nothing where they are closed, as by `>&-` in a job of cron.

    Otherwise the next files that are opened would take their numbers, and be written into by whatever prints.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command `diff-v2m`. A process that is terminated ends as one that is interrupted: in good order."""
    if arguments is None:
        open_standard_streams()
        use_utf8()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app(arguments)


if __name__ == "__main__":
    main()

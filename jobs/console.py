"""Text on the terminal: one kind of console for all commands, and names from strangers made harmless."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.markup import escape

_quiet = ContextVar("quiet", default=False)


def is_quiet() -> bool:
    """Whether the command was asked to print nothing but errors and its final line."""
    return _quiet.get()


@contextmanager
def quietly(quiet: bool = True) -> Iterator[None]:
    """Makes everything inside the block quiet, or not."""
    token = _quiet.set(quiet)
    try:
        yield
    finally:
        _quiet.reset(token)


def make_console() -> Console:
    """A console on standard output that colors nothing by itself."""
    return Console(highlight=False)


def printable(text: str) -> str:
    """A name from a stranger, with everything escaped that would move the cursor or break the line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def as_markup(text: str) -> str:
    """A name from a stranger as rich's markup: printable, and shown as it is written."""
    return escape(printable(text))

"""Names from strangers on a terminal."""

from __future__ import annotations

from rich.text import Text

from jobs.console import as_markup, printable


def test_names_cannot_move_the_cursor() -> None:
    assert printable("a\x1b[2Jb\r\n映像") == "a\\x1b[2Jb\\r\\n映像"


def test_names_are_no_markup() -> None:
    assert Text.from_markup(as_markup("[bold]a[/x]\n.mp4")).plain == "[bold]a[/x]\\n.mp4"

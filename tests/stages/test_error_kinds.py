"""The table of error kinds: every kind that the source code names is in it, and every kind in it is named."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.storage.errors import StorageError
from stages.error_kinds import ERROR_KINDS, Treatment, is_permanent, is_retryable, treatment_of

ROOT = Path(__file__).parents[2]
CONSTANTS = {"WorkerDied", "Finished"}
"""Kinds that the code names by a constant of the table's own module."""
CLASS_NAMES = {"OutOfMemoryError"}
"""Kinds that are names of exception classes of other libraries."""


def kinds_of(tree: ast.AST) -> Iterator[str]:
    """The literal kinds of a module: arguments of errors, class attributes `kind`, and `type` beside a `message`."""
    for node in ast.walk(tree):
        values: list[ast.expr | None] = []
        if isinstance(node, ast.Call) and _name(node.func) in ("ItemError", "StorageError"):
            values = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "kind")]
        elif isinstance(node, ast.ClassDef):
            assigned = [part for part in node.body if isinstance(part, ast.Assign | ast.AnnAssign)]
            values = [part.value for part in assigned if "kind" in map(_name, _targets(part))]
        elif isinstance(node, ast.Dict):
            entries = {key.value: value for key, value in zip(node.keys, node.values, strict=True) if _is_text(key)}
            values = [entries.get("type")] if "message" in entries else []
        yield from (value.value for value in values if _is_text(value))


def _targets(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _is_text(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def kinds_of_storage_errors() -> set[str]:
    """Words like NoBucket in the module that translates what storages raise, in whichever table they stand."""
    tree = ast.parse((ROOT / "pipeline/storage/errors.py").read_text())
    words = {node.value for node in ast.walk(tree) if _is_text(node)}
    return {word for word in words if re.fullmatch("([A-Z][a-z]+)+", word)}


@pytest.fixture(scope="module")
def named() -> dict[str, str]:
    """Each kind that the code of stages and pipeline names, with a file that names it."""
    files = [path for folder in ("stages", "pipeline") for path in sorted((ROOT / folder).rglob("*.py"))]
    return {kind: path.name for path in files for kind in kinds_of(ast.parse(path.read_text()))} | dict.fromkeys(
        kinds_of_storage_errors(), "errors.py"
    )


def test_the_search_finds_every_way_to_name_a_kind() -> None:
    code = """
raise ItemError("A", "no")
raise base.StorageError(kind="B", message="no")
class Killed(Exception):
    kind: str = "C"
row = {"stage": "x", "type": "D", "message": ""}
other = {"type": "button"}
"""
    assert sorted(kinds_of(ast.parse(code))) == ["A", "B", "C", "D"]
    assert {"NoBucket", "DiskFull", "NotFound", "Failed"} <= kinds_of_storage_errors()


def test_every_kind_in_the_code_is_in_the_table(named: dict[str, str]) -> None:
    assert {kind: file for kind, file in named.items() if kind not in ERROR_KINDS} == {}
    assert len(named) >= 35


def test_every_kind_in_the_table_is_in_the_code(named: dict[str, str]) -> None:
    assert set(ERROR_KINDS) - set(named) == CONSTANTS | CLASS_NAMES


def test_kinds_are_treated_as_documented() -> None:
    kinds = {
        treatment: {k for k, kind in ERROR_KINDS.items() if kind.treatment is treatment} for treatment in Treatment
    }
    assert kinds[Treatment.PERMANENT] == {
        "EmptyFile", "NotAVideo", "NoVideoStream", "UnsupportedCodec", "Truncated", "NoFrames", "TooShort", "TooLong",
        "TooLarge", "FramesLost", "NoContainer", "WorkerDied", "NoAudio", "NoTrack", "SilentAudio",
        "AudioFailed",
    }  # fmt: skip
    assert kinds[Treatment.RETRYABLE] == {
        "Killed", "Unavailable", "Unreachable", "CutShort", "Damaged", "MusicLost", "OutOfMemory", "OutOfMemoryError",
    }  # fmt: skip
    assert kinds[Treatment.FATAL] == {"DiskFull"}
    assert kinds[Treatment.FATAL_AT_DESTINATION] == {"Credentials", "AccessDenied", "NoBucket"}
    assert all(kind.meaning for kind in ERROR_KINDS.values())


def test_an_exception_that_nobody_foresaw_is_tried_by_the_next_run() -> None:
    assert treatment_of("ZeroDivisionError") is Treatment.NEXT_RUN
    assert treatment_of(None) is None
    assert not is_permanent(None)
    assert not is_retryable(None)


def test_a_storage_error_is_transient_if_its_kind_is_retryable() -> None:
    kinds = ("Unreachable", "Unavailable", "CutShort", "Damaged", "NotFound", "DiskFull", "Credentials", "BadName")
    assert [StorageError(kind, "").transient for kind in kinds] == [True] * 4 + [False] * 4

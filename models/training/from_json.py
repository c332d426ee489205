"""Reading frozen dataclasses from JSON values; the type hints of a dataclass say what each entry must be."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from models.errors import UserError
from models.training.checkpoints import TrainingError

T = TypeVar("T")

PLAIN_TYPES: dict[Any, tuple[str, type | tuple[type, ...]]] = {
    bool: ("true or false", bool),
    int: ("a whole number", int),
    float: ("a number", (int, float)),
    str: ("text", str),
    Path: ("text", str),
}
"""For each simple type hint, its name in error messages and the types of JSON values that it accepts."""


@dataclass(frozen=True)
class PathEntry:
    """Marks a text, by `Annotated[str, PathEntry(...)]`, as a path relative to the folder of the file.

    URLs stay as they are.

    Attributes:
        names: texts that are names of something and no paths; they stay as they are.
    """

    names: frozenset[str] = frozenset()


def read_dataclass(kind: type[T], raw: object, folder: Path, section: str = "", **given: Any) -> T:
    """Reads a dataclass from its entries; fields without an entry keep their defaults.

    Numbers stay as they are written; paths become absolute.

    Args:
        kind: the dataclass.
        raw: the entries.
        folder: folder that paths are relative to.
        section: name of the entry that contains these entries; empty for a whole file.
        given: values of fields that must not have an entry.

    Raises:
        TrainingError: an entry is missing, unknown or of another type, or the dataclass refuses a value.
    """
    if not isinstance(raw, Mapping):
        raise entry_error(section, f"expected entries in braces, got {raw!r}")
    hints = get_type_hints(kind, include_extras=True)
    known = {field.name: field for field in fields(kind) if field.name not in given}  # type: ignore[arg-type]
    if unknown := [name for name in raw if name not in known]:
        raise entry_error(section, f"unknown entry {unknown[0]!r}; known are {', '.join(known)}")
    for name, field in known.items():
        if name not in raw and field.default is MISSING and field.default_factory is MISSING:
            raise entry_error("", f"the entry {name!r} is missing" + (f" in {section}" if section else ""))
    values = {name: _value(hints[name], value, folder, section, name) for name, value in raw.items()}
    try:
        return kind(**values, **given)
    except (ValueError, UserError) as error:
        raise entry_error(section, str(error)) from error


def entry_error(section: str, problem: str) -> TrainingError:
    """Returns the error for a problem in a section of a file, or in the file itself if the section is empty."""
    return TrainingError(f"training: {section}: {problem}" if section else f"training: {problem}")


def is_number(value: object) -> bool:
    """Returns whether a value is a finite number; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _value(hint: Any, value: object, folder: Path, section: str, name: str) -> Any:
    """Returns a JSON value converted to its type hint."""
    origin, choices = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):  # a type or None
        if value is None:
            return None
        return _value(next(choice for choice in choices if choice is not NoneType), value, folder, section, name)
    if origin is Annotated:
        text = _value(choices[0], value, folder, section, name)
        return _resolve_path(text, choices[1], folder)
    if is_dataclass(hint):
        return read_dataclass(hint, value, folder, name)  # type: ignore[arg-type]
    if origin is tuple:
        if not isinstance(value, list) or len(value) != len(choices) or not all(map(is_number, value)):
            raise entry_error(section, f"{name} must be a list of {len(choices)} numbers, got {value!r}")
        return tuple(value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        names = [member.value for member in hint]
        if value not in names:
            raise entry_error(section, f"{name} must be {' or '.join(names)}, got {value!r}")
        return hint(value)
    description, types = PLAIN_TYPES[hint]
    is_right = isinstance(value, types) and (hint is bool or not isinstance(value, bool))
    if not is_right or (hint is float and not is_number(value)):
        raise entry_error(section, f"{name} must be {description}, got {value!r}")
    return Path(_resolve_path(str(value), PathEntry(), folder)) if hint is Path else value


def _resolve_path(text: str, marker: PathEntry, folder: Path) -> str:
    if text in marker.names or "://" in text:
        return text
    return os.path.abspath(folder / Path(text).expanduser())

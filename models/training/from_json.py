"""Frozen dataclasses out of plain values, as JSON holds them: their type hints say what each entry must be."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from models.training.checkpoints import TrainingError

T = TypeVar("T")

PLAIN: dict[Any, tuple[str, type | tuple[type, ...]]] = {
    bool: ("true or false", bool),
    int: ("a whole number", int),
    float: ("a number", (int, float)),
    str: ("text", str),
    Path: ("text", str),
}
"""What a person is told that a value must be, and what it may be."""


@dataclass(frozen=True)
class Place:
    """Marks text, by `Annotated[str, Place(...)]`, as a path from the file's folder on.

    URLs stay as they are, and so do `names`, which mean something by themselves.
    """

    names: frozenset[str] = frozenset()


def read(kind: type[T], raw: object, folder: Path, section: str = "", **given: Any) -> T:
    """A dataclass from its entries; those that are left out keep their defaults.

    Numbers stay as they are written; paths become absolute.

    Args:
        folder: that paths are relative to.
        section: name of the entry that holds the entries; none for a whole file.
        given: fields that are no entries.

    Raises:
        TrainingError: an entry is missing, unknown or of another kind, or the dataclass refuses a value.
    """
    if not isinstance(raw, Mapping):
        raise wrong(section, f"expected entries in braces, got {raw!r}")
    hints = get_type_hints(kind, include_extras=True)
    known = {field.name: field for field in fields(kind) if field.name not in given}  # type: ignore[arg-type]
    if unknown := [name for name in raw if name not in known]:
        raise wrong(section, f"unknown entry {unknown[0]!r}; known are {', '.join(known)}")
    for name, field in known.items():
        if name not in raw and field.default is MISSING and field.default_factory is MISSING:
            raise wrong("", f"the entry {name!r} is missing" + (f" in {section}" if section else ""))
    values = {name: _value(hints[name], value, folder, section, name) for name, value in raw.items()}
    try:
        return kind(**values, **given)
    except ValueError as fault:
        raise wrong(section, str(fault)) from fault


def wrong(section: str, what: str) -> TrainingError:
    """The error for something in a section of a file, or in the file itself."""
    return TrainingError(f"training: {section}: {what}" if section else f"training: {what}")


def is_number(value: object) -> bool:
    """Whether a value is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _value(hint: Any, value: object, folder: Path, section: str, name: str) -> Any:
    """A value as its type hint wants it."""
    origin, choices = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):  # of a kind, or nothing
        if value is None:
            return None
        return _value(next(choice for choice in choices if choice is not NoneType), value, folder, section, name)
    if origin is Annotated:
        text = _value(choices[0], value, folder, section, name)
        return _placed(text, choices[1], folder)
    if is_dataclass(hint):
        return read(hint, value, folder, name)  # type: ignore[arg-type]
    if origin is tuple:
        if not isinstance(value, list) or len(value) != len(choices) or not all(map(is_number, value)):
            raise wrong(section, f"{name} must be a list of {len(choices)} numbers, got {value!r}")
        return tuple(value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        names = [member.value for member in hint]
        if value not in names:
            raise wrong(section, f"{name} must be {' or '.join(names)}, got {value!r}")
        return hint(value)
    said, kinds = PLAIN[hint]
    is_right = isinstance(value, kinds) and (hint is bool or not isinstance(value, bool))
    if not is_right or (hint is float and not is_number(value)):
        raise wrong(section, f"{name} must be {said}, got {value!r}")
    return Path(_placed(str(value), Place(), folder)) if hint is Path else value


def _placed(text: str, place: Place, folder: Path) -> str:
    if text in place.names or "://" in text:
        return text
    return os.path.abspath(folder / Path(text).expanduser())

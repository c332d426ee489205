"""The list of exact versions: complete, closed, the same for uv and pip, and nothing but names and versions."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from collections.abc import Iterable

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from jobs.deployment.runtime_env import REQUIREMENTS, exact_packages
from tests.support.installations import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
UV = PROJECT["tool"]["uv"]
DIRECT = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
EXCLUDED = {canonicalize_name(name) for name in UV["exclude-dependencies"]}
OVERRIDES = {canonicalize_name(line.name): line for line in map(Requirement, UV["override-dependencies"])}


def versions(lines: Iterable[str]) -> dict[str, str]:
    """Exact versions by name, of those lines whose marker holds here; every line must pin one version."""
    found = {}
    for line in map(Requirement, lines):
        (pin,) = line.specifier
        assert pin.operator == "=="
        assert line.url is None
        if line.marker is None or line.marker.evaluate():
            found[canonicalize_name(line.name)] = pin.version
    return found


PINNED = versions(exact_packages())


def needs(name: str, extras: Iterable[str] = ()) -> list[Requirement]:
    """What an installed package asks for here, with what pyproject.toml puts in its place."""
    lines = map(Requirement, importlib.metadata.requires(name) or [])
    wanted = [
        line for line in lines if line.marker is None or any(line.marker.evaluate({"extra": e}) for e in ("", *extras))
    ]
    names = [(line, canonicalize_name(line.name)) for line in wanted]
    return [OVERRIDES.get(other, line) for line, other in names if other not in EXCLUDED]


def test_a_line_is_a_name_with_its_version() -> None:
    lines = REQUIREMENTS.read_text().splitlines()
    assert [n for n in lines if not re.fullmatch(r"# .*|[a-z0-9-]+==[a-z0-9.]+( ; [a-z_]+ [^/@]+)?", n)] == []
    assert len(exact_packages()) > 150


def test_uv_and_pip_install_the_same_versions() -> None:
    constraints = versions(UV["constraint-dependencies"])
    assert constraints | PINNED == constraints
    assert {name: importlib.metadata.version(name) for name in PINNED} == PINNED


def test_the_list_is_complete_and_fits() -> None:
    """Every package that one of the list asks for is on the list, in a version that it takes."""
    todo = [(line.name, line) for line in DIRECT]
    asked = set()
    while todo:
        by, line = todo.pop()
        name = canonicalize_name(line.name)
        assert name in PINNED, f"{by} asks for {line}"
        assert line.specifier.contains(PINNED[name], prereleases=True), f"{by} asks for {line}, got {PINNED[name]}"
        if (name, frozenset(line.extras)) not in asked:
            asked.add((name, frozenset(line.extras)))
            todo += [(name, other) for other in needs(name, line.extras)]
    assert {name for name, _ in asked} == set(PINNED)

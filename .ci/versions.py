#!/usr/bin/env python3
"""Writes the exact version of every package anew: the newest ones that fit what pyproject.toml asks for.

The versions stand in two places, because uv and pip read different files:

- `constraint-dependencies` of pyproject.toml, for uv: the packages of the program and of its tests;
- jobs/deployment/requirements.txt, for pip, images and clusters: the packages of the program.

With `--check` nothing is written. The command fails if the resolution with the written versions is not exactly what is
written: if a version does not fit any more, a package is missing, or one is no longer needed. A newer version of a
package, which appeared since, changes nothing.

It needs uv, and no other package.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ROOT / "pyproject.toml"
REQUIREMENTS = ROOT / "jobs" / "deployment" / "requirements.txt"
COMMAND = "python3 .ci/versions.py"
HEADER = f"""\
# Every package that diff-v2m needs, with its exact version. Written by `{COMMAND}`.
# Install with --no-deps: stable-audio-tools asks for old versions of packages that it works without.
"""
CONSTRAINTS = re.compile(r"(?<=^constraint-dependencies = \[\n)[^]]*(?=^\]$)", re.MULTILINE)
EXPORT = ("--no-hashes", "--no-header", "--no-annotate", "--no-emit-project", "--locked")


def with_constraints(project: str, versions: list[str]) -> str:
    """Returns the text of pyproject.toml with these versions as its constraints."""
    lines = "".join(f'  "{version}",\n' for version in versions)
    text, count = CONSTRAINTS.subn(lambda _: lines, project)
    if count != 1:
        raise SystemExit("pyproject.toml: expected one list constraint-dependencies")
    return text


def resolve(project: str) -> tuple[list[str], list[str]]:
    """Resolves the text of a pyproject.toml without regard to an earlier uv.lock.

    Returns:
        The packages of the program, and those of the program and its tests: one `name==version ; marker` each.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, PROJECT.name).write_text(project, encoding="utf-8")
        uv("lock", folder)
        return export(folder, "--no-dev"), export(folder, "--all-groups")


def export(folder: str, *groups: str) -> list[str]:
    """Returns the lines of a locked project for pip."""
    return uv("export", folder, "--format", "requirements.txt", *EXPORT, *groups).splitlines()


def uv(command: str, folder: str, *options: str) -> str:
    """Returns what uv prints about the project in a folder; what goes wrong goes to standard error, and ends this."""
    done = subprocess.run(["uv", command, "--quiet", "--project", folder, *options], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"uv {command} failed: what pyproject.toml asks for has no solution, or no registry answers")
    return done.stdout


def pins(lines: Iterable[str]) -> set[str]:
    """Returns `name==version` of every line that holds one, without the marker, which each uv writes in its own way."""
    return {line.strip(' ",').partition(" ;")[0] for line in lines if "==" in line}


def check(path: Path, written: str, needed: list[str]) -> None:
    """Ends this with one line if a file does not pin exactly what is needed."""
    differences = sorted(pins(written.splitlines()) ^ pins(needed))
    if differences:
        names = ", ".join(differences[:5])
        raise SystemExit(f"{path.relative_to(ROOT)} does not pin exactly what is needed ({names}): run {COMMAND}")


def main(arguments: list[str]) -> None:
    """Writes the versions, or checks them."""
    if arguments not in ([], ["--check"]):
        raise SystemExit(f"expected no argument or --check, got {' '.join(arguments)}")
    project = PROJECT.read_text(encoding="utf-8")
    if arguments:
        program, everything = resolve(project)
        match = CONSTRAINTS.search(project)
        check(PROJECT, match[0] if match else "", everything)
        check(REQUIREMENTS, REQUIREMENTS.read_text(encoding="utf-8") if REQUIREMENTS.is_file() else "", program)
    else:
        program, everything = resolve(with_constraints(project, []))
        PROJECT.write_text(with_constraints(project, everything), encoding="utf-8")
        REQUIREMENTS.write_text(HEADER + "".join(f"{line}\n" for line in program), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

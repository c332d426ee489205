"""The architecture: imports run one way between the floors and inside each folder, and folders stay small."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
FLOORS = ("models", "stages", "pipeline", "jobs")
"""From the lowest to the highest; a floor imports itself and those below it."""
MOST_FILES = 16
"""Python files beside each other in one folder, packages apart."""

Graph = Mapping[str, set[str]]
"""Name of a module -> names of the modules that it imports, wherever in it the import stands."""


def modules() -> dict[str, Path]:
    """The product's modules by name; a package has the name of its folder."""
    files = (path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py")))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Every name that may be a module among the imports of a file; relative imports are not used here."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def import_graph() -> Graph:
    found = modules()
    return {
        name: {other for other in imported_names(ast.parse(path.read_text())) if other in found and other != name}
        for name, path in found.items()
    }


def cycles(graph: Graph) -> list[list[str]]:
    """Groups of modules that import each other: strongly connected components of more than one (Tarjan)."""
    order, low, stack, found = dict[str, int](), dict[str, int](), list[str](), list[list[str]]()

    def visit(module: str) -> None:
        order[module] = low[module] = len(order)
        stack.append(module)
        for other in sorted(graph[module]):
            if other not in order:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], order[other])
        if low[module] == order[module]:
            group = [stack.pop()]
            while group[-1] != module:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for module in graph:
        if module not in order:
            visit(module)
    return found


def upward_imports(graph: Graph) -> list[str]:
    """Imports against the direction of the floors."""
    heights = {floor: height for height, floor in enumerate(FLOORS)}
    return [
        f"{module} imports {other}"
        for module, others in graph.items()
        for other in sorted(others)
        if heights[other.partition(".")[0]] > heights[module.partition(".")[0]]
    ]


def test_imports_run_one_way_between_floors() -> None:
    assert upward_imports(import_graph()) == []


def test_no_modules_import_each_other() -> None:
    assert cycles(import_graph()) == []


def test_tests_are_imported_by_tests_alone() -> None:
    names = {
        other.partition(".")[0] for path in modules().values() for other in imported_names(ast.parse(path.read_text()))
    }
    assert "tests" not in names


def test_the_checks_find_what_is_wrong() -> None:
    graph = {"models.a": {"stages.b"}, "stages.b": {"stages.c"}, "stages.c": {"stages.b"}, "jobs.d": {"models.a"}}
    assert upward_imports(graph) == ["models.a imports stages.b"]
    assert cycles(graph) == [["stages.b", "stages.c"]]


def test_folders_show_their_parts_at_a_glance() -> None:
    folders: dict[Path, int] = {}
    for path in modules().values():
        if path.name != "__init__.py":
            folders[path.parent] = folders.get(path.parent, 0) + 1
    assert {str(folder.relative_to(ROOT)): n for folder, n in folders.items() if n > MOST_FILES} == {}


def test_every_folder_of_tests_mirrors_one_of_the_product() -> None:
    extra = {"support", "data"}
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    assert [str(f) for f in sorted(folders) if f.parts and f.parts[0] not in extra and not (ROOT / f).is_dir()] == []

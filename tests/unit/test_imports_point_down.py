"""The rooms of the package and the direction of its imports, read from the syntax trees.

``MAY_IMPORT`` is the house's plan: a room imports itself, ``errors``, and the rooms named here.
Imports inside functions and under ``TYPE_CHECKING`` count as well: they couple all the same.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import tinydocker

PACKAGE = Path(tinydocker.__file__).parent
OBJECTS = "objects"  # the modules at the top of the package: what users touch
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "linux": set(),
    "store": {"linux"},
    "launch": {"linux", "store"},
    "image_store": {"linux", "store"},
    "spec": set(),
    "oci": {"spec"},
    OBJECTS: {"spec", "oci", "store", "launch", "image_store", "linux"},
    "cli": {OBJECTS},
    "__main__": {"cli"},
    "pytest_plugin": {OBJECTS},
}
# Loaded by no module of this package, or by those of one room alone.
FOREIGN_OWNERS: dict[str, set[str]] = {
    "ctypes": {"linux"},
    "pyroute2": set(),
    "iptc": set(),
    "asyncio": set(),
}
LINES_MEANT = 400
LINES_AT_MOST = 420
# What the supervisor may load of the standard library, counted in modules: it has to start in milliseconds.
SUPERVISOR_MODULES_AT_MOST = 90


@dataclass(frozen=True)
class Import:
    """One module that another one names in an import statement."""

    importer: str
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.name}"


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = ["tinydocker", *path.relative_to(PACKAGE).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text(encoding="utf-8"))


def room(name: str) -> str:
    parts = name.split(".")
    if len(parts) == 1:
        return OBJECTS
    return parts[1] if parts[1] in MAY_IMPORT else OBJECTS


def imports(name: str) -> Iterator[Import]:
    is_package = modules()[name].name == "__init__.py"
    package = name.split(".") if is_package else name.split(".")[:-1]
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield Import(name, node.lineno, inner if inner in modules() else base)


def all_imports() -> Iterator[Import]:
    for name in sorted(modules()):
        yield from imports(name)


def calls(name: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def test_the_plan_has_no_circle() -> None:
    order = list(TopologicalSorter(MAY_IMPORT).static_order())
    assert order.index("linux") < order.index("launch") < order.index(OBJECTS) < order.index("cli")


def test_imports_point_down() -> None:
    wrong = []
    for found in all_imports():
        if found.name.split(".")[0] != "tinydocker":
            continue
        here, there = room(found.importer), room(found.name)
        if there not in (here, "errors") and there not in MAY_IMPORT[here]:
            wrong.append(f"{found}: {here} may import {sorted(MAY_IMPORT[here])}")
    assert not wrong, "\n".join(wrong)


def test_modules_that_have_one_owner() -> None:
    wrong = [
        str(found)
        for found in all_imports()
        for top in [found.name.split(".")[0]]
        if top in FOREIGN_OWNERS and room(found.importer) not in FOREIGN_OWNERS[top]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_mocks_anywhere() -> None:
    assert not [str(found) for found in all_imports() if found.name.startswith("unittest")]


def test_only_the_command_line_prints_and_exits() -> None:
    wrong = [
        f"{name}:{line} calls {called}"
        for name in sorted(modules())
        if room(name) != "cli"
        for line, called in calls(name)
        if called in ("print", "sys.exit", "exit", "quit")
    ]
    assert not wrong, "\n".join(wrong)


def test_files_keep_to_one_subject() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules().items()}
    wrong = [f"{name} has {lines}, meant are {LINES_MEANT}" for name, lines in lengths.items() if lines > LINES_AT_MOST]
    assert not wrong, "\n".join(wrong)


def loaded_by(statement: str, *options: str) -> set[str]:
    """Return the modules that a statement loads in a fresh interpreter, beyond those of its own start."""
    script = (
        f"import sys; sys.path.append({str(PACKAGE.parent)!r}); old = set(sys.modules); {statement}; "
        "print(*sorted(set(sys.modules) - old))"
    )
    done = subprocess.run(
        [sys.executable, *options, "-c", script], capture_output=True, text=True, encoding="utf-8", check=True
    )
    return set(done.stdout.split())


def tops(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def test_the_supervisor_starts_from_the_standard_library_alone() -> None:
    loaded = loaded_by("import tinydocker.launch.supervisor", "-I", "-S")
    own = {name for name in loaded if name.startswith("tinydocker.")}
    assert {room(name) for name in own} <= {"launch", "linux", "store", "errors"}
    assert tops(loaded - own) - {"tinydocker"} <= sys.stdlib_module_names
    assert not tops(loaded) & {"asyncio", "logging", "subprocess", "tarfile", "threading", "inspect"}
    assert len(loaded - own) <= SUPERVISOR_MODULES_AT_MOST, sorted(loaded - own)


def test_importing_the_package_loads_little() -> None:
    loaded = loaded_by("import tinydocker")
    heavy = {"pyroute2", "iptc", "rich", "asyncio", "ctypes", "subprocess", "attr", "attrs", "tarfile"}
    assert not tops(loaded) & heavy
    assert {name for name in loaded if name.startswith("tinydocker.")} <= {"tinydocker.errors"}


def test_no_public_name_is_hidden_by_a_module_of_that_name() -> None:
    everything = "; ".join(f"import {name}" for name in sorted(modules()) if "__main__" not in name)
    script = (
        f"import sys, types; sys.path.append({str(PACKAGE.parent)!r}); {everything}; import tinydocker as td; "
        "print(*(name for name in td.__all__ if isinstance(getattr(td, name), types.ModuleType)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, encoding="utf-8", check=True)
    assert done.stdout.split() == []

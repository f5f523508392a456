"""The project's files say the same thing as each other, and nothing of the machine they came from."""

from __future__ import annotations

import ast
import configparser
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOP = {
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "docs",
    "examples",
    "pyproject.toml",
    "ruff.toml",
    "setup.cfg",
    "src",
    "tests",
    "tox.ini",
}
VAGUE = {"utils", "util", "common", "helpers", "helper", "base", "misc", "core"}
UNFINISHED = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "X" * 3]))


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def sources(*folders: str, suffix: str = ".py") -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob(f"*{suffix}"))


def test_the_top_level_is_complete() -> None:
    assert not TOP - {path.name for path in ROOT.iterdir()}


def test_pyproject_holds_the_build_system_alone() -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("[")] == ["[build-system]"]


def test_the_license_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_version_is_said_once_and_has_its_change_log(setup: configparser.ConfigParser) -> None:
    version = setup["metadata"]["version"]
    assert importlib.metadata.version("tinydocker") == version
    newest = re.search(r"^## \[(\d[^]]*)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest and newest[1] == version


def test_every_python_that_is_claimed_is_tested(setup: configparser.ConfigParser) -> None:
    claimed = re.findall(r":: 3\.(\d+)$", setup["metadata"]["classifiers"], re.MULTILINE)
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    tested = re.search(r"^env_list = .*unit-py\{([\d,]+)\}", tox, re.MULTILINE)
    assert tested and tested[1].split(",") == [f"3{minor}" for minor in claimed]
    assert setup["options"]["python_requires"] == f">=3.{claimed[0]}"


def test_types_are_shipped() -> None:
    files = importlib.metadata.files("tinydocker") or []
    installed = any(str(file) == "tinydocker/py.typed" for file in files)
    assert installed or (ROOT / "src/tinydocker/py.typed").exists()


def test_no_file_is_named_for_nothing() -> None:
    assert not [path for path in sources("src", "tests", "tools") if path.stem in VAGUE or path.parent.name in VAGUE]


def test_tests_are_no_packages() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_tests_neither_mock_nor_sleep() -> None:
    wrong = []
    for path in sources("tests"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import) and any(alias.name.startswith("unittest") for alias in node.names):
                wrong.append(f"{path}:{node.lineno} imports unittest")
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unittest"):
                wrong.append(f"{path}:{node.lineno} imports unittest")
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.sleep", "sleep", "asyncio.sleep"):
                wrong.append(f"{path}:{node.lineno} sleeps")
    assert not wrong, "\n".join(wrong)


def test_nothing_is_left_unfinished() -> None:
    code = sources("src", "tests", "tools", "examples", "benchmarks", "docs")
    wrong = []
    for path in [*code, *sources("docs", suffix=".md"), *ROOT.glob("*.md")]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if UNFINISHED.search(line):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not wrong, "\n".join(wrong)


def test_ci_runs_the_commands_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python3 -m venv \.venv && .*tox run$", readme, re.MULTILINE)
    assert len(commands) == 1
    assert commands[0] in (ROOT / ".ci/run").read_text(encoding="utf-8")

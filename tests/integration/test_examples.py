"""The examples run as they stand, on a busybox archive and on this machine's own root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import engineroots
import supervisors

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(path for path in EXAMPLES.glob("[0-9]*.py") if "pytest" not in path.name)
PYTEST_FILES = sorted(path for path in EXAMPLES.glob("[0-9]*.py") if "pytest" in path.name)

SAID = {
    "01_hello.py": "hello from a container\nhello, you\n65534\nended with 3 and said no\nstopped after 'begun\\n'\n",
    "02_workspace.py": "A /srv/site/build.log\nA /srv/site/index.html\nfork: <h1>second</h1>\noriginal: <h1>first</h1>\n",
    "03_two_from_one_base.py": "left says hello\nright says good morning\n"
    "their files differ: True\ntheir names differ: True\nremoved removed\n",
}
needs_root = pytest.mark.needs("root", "overlay", "busybox")


def run(command: list[str], roots: engineroots.Roots, folder: Path, **variables: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **roots.environment(), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    supervisors.await_end(roots.token)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stderr
    return done.stdout


def test_examples_are_numbered_and_short() -> None:
    names = sorted(path.name for path in EXAMPLES.glob("*.py"))
    assert [name[:3] for name in names] == [f"{number:02}_" for number in range(1, len(names) + 1)]
    assert set(SAID) == {path.name for path in SCRIPTS}
    for path in EXAMPLES.glob("*.py"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert 15 <= len(lines) <= 40, f"{path.name} has {len(lines)} lines"


@needs_root
@pytest.mark.leaves("images")
@pytest.mark.parametrize("image", ["busybox", "host"])
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_an_example_prints_what_it_says(
    path: Path, image: str, busybox: Path, roots: engineroots.Roots, tmp_path: Path
) -> None:
    argument = str(busybox) if image == "busybox" else "host"
    printed = run([sys.executable, str(path), argument], roots, tmp_path)
    said = SAID[path.name].splitlines()
    assert [line for line in printed.splitlines() if line in said] == said, printed


@needs_root
@pytest.mark.leaves("images")
@pytest.mark.parametrize("image", ["busybox", "host"])
@pytest.mark.parametrize("path", PYTEST_FILES, ids=lambda path: path.name)
def test_the_fixture_serves_its_tests(
    path: Path, image: str, busybox: Path, roots: engineroots.Roots, tmp_path: Path
) -> None:
    argument = str(busybox) if image == "busybox" else "host"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(path)]
    assert "2 passed" in run(command, roots, tmp_path, TINYDOCKER_EXAMPLE_IMAGE=argument)

"""The fixture around every integration test: a leak of any kind fails the test that leaks, and no other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SUITE = """
import os, subprocess, threading
import pytest

kept = []

def test_clean(roots):
    subprocess.run(["true"], check=True)
    (roots.root / "containers").mkdir()
    assert os.environ["TINYDOCKER_ROOT"] == str(roots.root)

def test_leaks_a_descriptor():
    kept.append(os.open("/", os.O_RDONLY))

def test_leaks_a_container(roots):
    (roots.root / "containers/0123456789ab").mkdir(parents=True)

def test_leaks_a_layer(roots):
    keep_a_layer(roots)

@pytest.mark.leaves("images")
def test_may_keep_a_layer(roots):
    keep_a_layer(roots)

@pytest.mark.leaves("imagse")
def test_misspells(roots):
    pass

def keep_a_layer(roots):
    layer = roots.root / "layers" / ("ab" * 32)
    (layer / "rootfs").mkdir(parents=True)
    (layer / "record.json").touch()

def test_leaks_a_child():
    kept.append(subprocess.Popen(["cat"], stdin=subprocess.PIPE))

def test_patches(monkeypatch, tmp_path, capfd, recwarn):
    monkeypatch.setenv("PATCHED", "1")
    monkeypatch.chdir(tmp_path)

def test_clean_after_all_of_them():
    pass
"""
CONFIGURATION = """
[pytest]
pythonpath = .
addopts = --import-mode=importlib -p no:cacheprovider
markers =
  leaves(*what): what the test may leave
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("suite")
    for path in [*TESTS.glob("*.py"), *(TESTS.parent / "tools").glob("*.py")]:
        if path.name != "conftest.py":
            shutil.copy(path, folder)
    shutil.copy(TESTS / "integration/conftest.py", folder)
    (folder / "pytest.ini").write_text(CONFIGURATION, encoding="utf-8")
    (folder / "test_suite.py").write_text(SUITE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--color=no", "-rA"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    return done.stdout


def test_the_count(report: str) -> None:
    assert report.splitlines()[-1].strip("= ").startswith("9 passed, 5 errors")


@pytest.mark.parametrize(
    ("test", "line"),
    [
        ("test_leaks_a_descriptor", "open files: appeared: "),
        ("test_leaks_a_container", "containers/0123456789ab"),
        ("test_leaks_a_layer", "layers/abab"),
        ("test_leaks_a_child", "processes: appeared: "),
        ("test_misspells", "leaves() knows images and volumes, not imagse"),
    ],
)
def test_a_leak_fails_its_test_and_is_named(report: str, test: str, line: str) -> None:
    start = report.index(f"ERROR at teardown of {test} ")
    assert line in report[start:].split("\n____", 1)[0]


@pytest.mark.parametrize(
    "test", ["test_clean", "test_may_keep_a_layer", "test_patches", "test_clean_after_all_of_them"]
)
def test_no_leak_is_no_error(report: str, test: str) -> None:
    assert f"ERROR at teardown of {test} " not in report

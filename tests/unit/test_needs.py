"""Needs are probed, named when they are missing, and never skipped in silence where all must run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import host

TESTS = Path(__file__).parents[1]
SUITE = """
import pytest

@pytest.mark.needs(kernel=(99, 0))
def test_kernel(): pass

@pytest.mark.needs(tool="no-such-tool")
def test_tool(): pass

def test_plain(): pass
"""
OTHER_SKIPS = """
import pytest

@pytest.mark.skip(reason="out of laziness")
def test_mark(): pass
"""
MODULE_SKIP = "import pytest\npytest.importorskip('no_such_module')\n"
XFAIL = """
import pytest

@pytest.mark.xfail(reason="known")
def test_fails(): raise AssertionError

def test_passes(): pass
"""
MISSPELT = "import pytest\n\n@pytest.mark.needs('rooot')\ndef test_x(): pass\n"


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    shutil.copy(TESTS / "conftest.py", tmp_path)
    shutil.copy(TESTS / "host.py", tmp_path)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\npythonpath = .\naddopts = -ra -p no:cacheprovider\nmarkers =\n  needs(*what): needs\n",
        encoding="utf-8",
    )
    return tmp_path


def run(suite: Path, source: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (suite / "test_inner.py").write_text(source, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--color=no"],
        cwd=suite,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


def test_a_missing_need_skips_and_is_named(suite: Path) -> None:
    done = run(suite, SUITE)
    assert done.returncode == 0
    assert "1 passed, 2 skipped" in done.stdout
    assert "needs kernel 99.0: this is " in done.stdout
    assert "needs tool no-such-tool: not on PATH" in done.stdout


def test_must_run_makes_it_a_failure(suite: Path) -> None:
    done = run(suite, SUITE, TINYDOCKER_MUST_RUN="1")
    assert done.returncode == 1
    assert "1 passed, 2 errors" in done.stdout


def test_may_skip_excepts_a_need(suite: Path) -> None:
    done = run(suite, SUITE, TINYDOCKER_MUST_RUN="1", TINYDOCKER_MAY_SKIP="tool no-such-tool, kernel 99.0")
    assert done.returncode == 0
    assert "1 passed, 2 skipped" in done.stdout


@pytest.mark.parametrize("source", [OTHER_SKIPS + SUITE.partition("\n\n@")[0] + "\ndef test_ok(): pass\n", MODULE_SKIP])
def test_any_other_skip_fails_a_run_that_must_run(suite: Path, source: str) -> None:
    (suite / "test_passes.py").write_text("def test_passes(): pass\n", encoding="utf-8")
    assert run(suite, source).returncode == 0
    done = run(suite, source, TINYDOCKER_MUST_RUN="1")
    assert done.returncode == 1
    assert "skipped without a need" in done.stdout


def test_an_expected_failure_is_no_skip(suite: Path) -> None:
    assert run(suite, XFAIL, TINYDOCKER_MUST_RUN="1").returncode == 0


def test_an_unknown_need_is_an_error(suite: Path) -> None:
    done = run(suite, MISSPELT)
    assert done.returncode == 1
    assert "nobody has defined the need 'rooot'" in done.stdout


@pytest.mark.parametrize("need", sorted(host.PROBES))
def test_every_probe_answers(need: str) -> None:
    assert isinstance(host.probe(need)(), str)


def test_a_capability_is_read_from_the_kernel() -> None:
    drop_it = ["setpriv", "--inh-caps", "-all", "--bounding-set", "-chown"] if not host.unmet(["root"]) else []
    done = subprocess.run(
        [*drop_it, sys.executable, "-c", "import host; print(host.unmet(['cap.chown']))"],
        env={"PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert "cap.chown: this process lacks CAP_CHOWN" in done.stdout, done.stderr


def test_an_unknown_capability_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such capability"):
        host.unmet(["cap.everything"])

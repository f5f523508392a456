"""What integration tests stand on: a private engine, real root filesystems, and the host differ."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import engineroots
import hostdiff
import make_busybox
from commandline import CommandLine

if TYPE_CHECKING:
    import tinydocker


@pytest.fixture
def roots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[engineroots.Roots]:
    """Give the test's engine directories of its own; they are also the default engine's."""
    token = f"td-{secrets.token_hex(6)}"
    base = tmp_path_factory.mktemp(token, numbered=False)
    roots = engineroots.Roots(base / "root", base / "run", token)
    roots.root.mkdir(mode=0o700)
    roots.run_root.mkdir(mode=0o700)
    # A patch of its own: the test's ``monkeypatch`` has to be undone before the host is compared.
    with pytest.MonkeyPatch.context() as patch:
        for name, value in roots.environment().items():
            patch.setenv(name, value)
        yield roots
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(autouse=True)
def host_unchanged(request: pytest.FixtureRequest, roots: engineroots.Roots) -> Iterator[None]:
    """Fail the test when it leaves anything on the host."""
    allowed = [word for mark in request.node.iter_markers("leaves") for word in mark.args]
    before = hostdiff.picture(roots.token)
    yield
    close_default_engine()
    left = hostdiff.difference(before, roots.token) + engineroots.left_below(roots, allowed)
    if left:
        pytest.fail("the test left something behind:\n  " + "\n  ".join(left), pytrace=False)


def close_default_engine() -> None:
    """Close the engine that the module-level functions share, where one was opened."""
    module = sys.modules.get("tinydocker.engine")
    if module is not None and module._default is not None:
        module._default.close()
        module._default = None  # the next test's has other directories


@pytest.fixture
def engine(roots: engineroots.Roots) -> Iterator[tinydocker.Engine]:
    """Give an engine with private directories, closed at the end of the test."""
    import tinydocker

    engine = tinydocker.Engine(root=roots.root, run_root=roots.run_root)
    yield engine
    engine.close()


@pytest.fixture
def cli(roots: engineroots.Roots) -> CommandLine:
    """Give the installed command, with private directories."""
    return CommandLine(Path(sys.executable).with_name("tinydocker"), roots)


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the path of a root filesystem archive made from Debian's busybox."""
    return make_busybox.make_archive(tmp_path_factory.mktemp("busybox") / "busybox.tar.xz")


@pytest.fixture(scope="session")
def busybox_dir(tmp_path_factory: pytest.TempPathFactory, busybox: Path) -> Path:
    """Give the same root filesystem as a directory; tests read it and never write to it."""
    folder = tmp_path_factory.mktemp("busybox-rootfs")
    owner = [] if os.geteuid() == 0 else ["--no-same-owner"]
    subprocess.run(["tar", "-xpf", busybox, "-C", folder, *owner], check=True)
    return folder

"""Every block of the documentation and of the README does what the page says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import docpages
import engineroots
import supervisors
import tinydocker

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if docpages.blocks(page.read_text(encoding="utf-8"))
]


@pytest.mark.needs("root", "overlay", "busybox")
@pytest.mark.leaves("images", "volumes")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_does_what_it_says(
    page: Path, busybox: Path, roots: engineroots.Roots, engine: tinydocker.Engine, tmp_path: Path
) -> None:
    shutil.copy(busybox, tmp_path / "busybox.tar.xz")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, docpages.__file__, page],
        cwd=tmp_path,
        env={**os.environ, **roots.environment(), "PATH": path, "HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    supervisors.await_end(roots.token)
    if "```console" in page.read_text(encoding="utf-8"):
        for container in engine.containers(status="exited"):  # which the command line keeps, as docker does
            container.remove()
    assert done.returncode == 0, done.stdout + done.stderr

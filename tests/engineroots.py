"""The private directories of a test's engine, and what may be left in them.

``SKELETON`` names the directories that an engine makes once and keeps. Everything else below
them is somebody's: it must be gone when the test ends, unless the test says ``leaves(...)``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

# directory -> the word of ``leaves`` that lets something stay in it, "" where nothing ever may
SKELETON = {
    "containers": "",
    "names": "",
    "workspaces": "",
    "trash": "",
    "ready": "",
    "volumes": "volumes",
    "layers": "images",
    "images": "images",
    "archives": "images",
    "rootfs": "",  # below the run root: where each container's own mount namespace has its root
}
# Mount points for images that lack them: the same for every container, made with the engine.
KEPT = frozenset({"scaffold", "lock"})
LAYER = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Roots:
    """Where one test's engine keeps its state; ``token`` is in every path below, and nowhere else."""

    root: Path
    run_root: Path
    token: str

    def names(self) -> list[str]:
        """Return the names that containers have."""
        return [name for name in os.listdir(self.root / "names") if not name.startswith(".")]

    def environment(self) -> dict[str, str]:
        """Return the variables that make the command line use these directories."""
        return {"TINYDOCKER_ROOT": str(self.root), "TINYDOCKER_RUN_ROOT": str(self.run_root)}


def left_below(roots: Roots, allowed: Collection[str] = ()) -> list[str]:
    """Return a line for each thing that an engine left and that the test does not allow."""
    if unknown := set(allowed) - set(SKELETON.values()) | set(allowed) & {""}:
        raise ValueError(f"leaves() knows images and volumes, not {', '.join(sorted(unknown))}")
    found = [f"engine's root: {path}" for path in _left(roots.root, allowed)]
    return found + [f"engine's run root: {path}" for path in _left(roots.run_root, ())]


def _left(root: Path, allowed: Collection[str]) -> Iterator[Path]:
    for entry in _entries(root):
        if entry.name in KEPT:
            continue
        if entry.name not in SKELETON:
            yield entry
            continue
        for thing in _entries(entry):
            if thing.name == ".lock":  # a mutex stays as long as the directory that it guards
                continue
            if SKELETON[entry.name] not in allowed or not _complete(thing):
                yield thing


def _complete(thing: Path) -> bool:
    """Tell a finished layer from the beginnings of one; other things are finished by their name."""
    if thing.name.startswith(".") or thing.name.endswith((".tmp", ".partial")):
        return False
    if thing.parent.name != "layers":
        return True
    return LAYER.fullmatch(thing.name) is not None and (thing / "rootfs").is_dir() and (thing / "record.json").exists()


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []

"""Let tox find the Pythons that a version manager keeps beside PATH.

pyenv puts one ``python3.N`` for every version on PATH, yet each refuses to run unless that
version was selected. The real interpreters stand below the manager's root; appended to PATH,
they are found after everything that the user put there himself. tox reads this file by its name.
"""

from __future__ import annotations

import os
from pathlib import Path


def interpreters(environ: dict[str, str]) -> list[str]:
    """Return the directories of version managers that hold a Python of their own, newest last."""
    home = Path(environ.get("HOME", "/"))
    shelves = [
        Path(environ.get("PYENV_ROOT") or home / ".pyenv") / "versions",
        Path(environ.get("ASDF_DATA_DIR") or home / ".asdf") / "installs" / "python",
        Path(environ.get("MISE_DATA_DIR") or home / ".local/share/mise") / "installs" / "python",
        Path(environ.get("UV_PYTHON_INSTALL_DIR") or home / ".local/share/uv/python"),
    ]
    return [str(python.parent) for shelf in shelves for python in sorted(shelf.glob("*/bin/python3"))]


os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), *interpreters(dict(os.environ))])

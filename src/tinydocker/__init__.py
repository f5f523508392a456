"""Containers as Python values: an embeddable, daemonless container engine for Linux.

::

    import tinydocker as td

    td.run("host", ["echo", "hi"]).stdout

Everything here loads when it is first used, so importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import errors

if TYPE_CHECKING:
    from .completed import Completed as Completed
    from .completed import Usage as Usage
    from .container import Container as Container
    from .engine import Engine as Engine
    from .errors import *  # noqa: F403 - its __all__ is the tree of errors
    from .image import Image as Image
    from .image_store.diff import Change as Change
    from .inspection import Process as Process
    from .one_shot import run as run
    from .process import DEVNULL as DEVNULL
    from .process import PIPE as PIPE
    from .process import STDOUT as STDOUT
    from .process import ContainerProcess as ContainerProcess
    from .rootpath import RootPath as RootPath
    from .spec.container import ContainerSpec as ContainerSpec
    from .spec.logs import LogConfig as LogConfig
    from .workspace import Workspace as Workspace

__version__ = "0.1.0"

_HOMES: dict[str, Sequence[str]] = {
    "container": ("Container",),
    "engine": ("Engine",),
    "errors": errors.__all__,
    "image": ("Image",),
    "image_store.diff": ("Change",),
    "inspection": ("Process",),
    "completed": ("Completed", "Usage"),
    "process": ("DEVNULL", "PIPE", "STDOUT", "ContainerProcess"),
    "rootpath": ("RootPath",),
    "one_shot": ("run",),
    "spec.container": ("ContainerSpec",),
    "spec.logs": ("LogConfig",),
    "workspace": ("Workspace",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [*_HOME_OF, "containers", "get", "images", "prune"]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def containers(
    all: bool = False, *, label: str | None = None, name: str | None = None, status: str | None = None
) -> list[Container]:
    """Return the containers of the default engine; see :meth:`Engine.containers`."""
    from .engine import default

    return default().containers(all, label=label, name=name, status=status)


def get(name: str) -> Container:
    """Return the container of that name or id; see :meth:`Engine.get`."""
    from .engine import default

    return default().get(name)


def images() -> list[Image]:
    """Return the images in the default engine's store; see :meth:`Engine.images`."""
    from .engine import default

    return default().images()


def prune(dry_run: bool = False) -> list[str]:
    """Remove what is ended and unused; see :meth:`Engine.prune`."""
    from .engine import default

    return default().prune(dry_run)

"""Names of containers: each a symbolic link ``names/<name>`` to an id.

Making a link is atomic and fails where one exists, so of any number of processes exactly one
gets a name. A link whose container is gone is taken over. Links are removed under a mutex alone,
so that what is removed is what was looked at.

Source: symlink(2), unlink(2).
"""

from __future__ import annotations

import os

from ..errors import NameInUse
from . import locks

_QUALITIES = (
    "amber bold brave brief bright brisk calm clear clever cool crisp deft eager early even fair fine firm fleet fond "
    "frank free fresh glad grand green happy keen kind late light lively lucid mellow merry mild neat nimble noble "
    "plain proud quick quiet rapid ready rosy round sharp smart snug solid sound spry steady still sunny swift tidy"
).split()
_THINGS = (
    "acorn alder anchor apple arrow aspen badger beacon birch bison brook canyon cedar cliff clover comet condor coral "
    "crane creek dune eagle ember falcon fern finch fjord forest fox garnet glacier grove harbor hawk hazel heron hill "
    "ibis island ivy jay juniper lagoon lake lark laurel lemur linden lynx maple marten meadow mesa moss oak orchid "
    "otter owl pebble pine plover pond poplar quail quartz raven reef ridge river robin sage salmon shore swan wren"
).split()


def made_up() -> str:
    """Return a name for a container that was given none; it may be taken."""
    first, second, third, fourth = os.urandom(4)
    number = third << 8 | fourth
    return f"{_QUALITIES[first % len(_QUALITIES)]}-{_THINGS[second % len(_THINGS)]}-{number % 10000}"


def claim(names_dir: str, containers_dir: str, name: str, container_id: str) -> None:
    """Give ``name`` to ``container_id``, whose directory exists already; raise NameInUse where it is taken."""
    link = f"{names_dir}/{name}"
    try:
        os.symlink(container_id, link)
        return
    except FileExistsError:
        pass
    mutex = _mutex(names_dir)
    try:
        held_by = holder(names_dir, name)
        if held_by is None and os.path.lexists(link):
            raise NameInUse(f"the name {name!r} is taken by {link}, which is not ours: choose another name")
        if held_by is not None and os.path.isdir(f"{containers_dir}/{held_by}"):
            raise NameInUse(
                f"the name {name!r} belongs to container {held_by}: "
                "remove it, choose another name, or pass replace=True"
            )
        if held_by is not None:
            os.unlink(link)
    finally:
        os.close(mutex)
    claim(names_dir, containers_dir, name, container_id)


def holder(names_dir: str, name: str) -> str | None:
    """Return the id that ``name`` stands for, or None."""
    try:
        return os.readlink(f"{names_dir}/{name}")
    except OSError:
        return None


def release(link: str, container_id: str) -> bool:
    """Give the name ``link`` back, if it still stands for ``container_id``; tell whether it did."""
    names_dir, name = os.path.split(link)
    if holder(names_dir, name) != container_id:
        return False
    mutex = _mutex(names_dir)
    try:
        if holder(names_dir, name) != container_id:
            return False
        os.unlink(link)
    finally:
        os.close(mutex)
    return True


def _mutex(names_dir: str) -> int:
    return locks.hold(f"{names_dir}/.lock", exclusive=True, wait=True)

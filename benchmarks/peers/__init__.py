"""The contenders, each in a file of its own, and the shape that they share."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import ClassVar

from attrs import Factory, define

from benchmarks.ground import Ground
from benchmarks.harness import Contender
from benchmarks.report import Report, Unable

Action = Callable[[], float]  # does something once and returns the seconds it took
PAYLOAD = ("sleep", "31536000")  # the idle container's own process, known by this command line


class Peer:
    """One contender.  A method that it cannot offer raises `Unable` with the reason.

    Attributes:
        name: how the table calls it.
        order: its place in the table.
        heavy: whether it is so slow that it takes part in fewer rounds.
        note: what the reader of a figure must know about the form that was measured.
    """

    name: ClassVar[str]
    order: ClassVar[int] = 50
    heavy: ClassVar[bool] = False
    note: str = ""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground

    def version(self) -> str:
        """Return the version that is installed."""
        raise Unable("it is not installed")

    def open(self) -> None:
        """Make ready to be measured."""

    def close(self) -> None:
        """Remove everything that it made."""

    def daemons(self) -> set[int]:
        """Return the processes that are there even without a container."""
        return set()

    def run_argv(self) -> Sequence[str]:
        """Return a command that runs `true` in a new container and leaves nothing."""
        raise Unable("it has no command that runs a container")

    def run(self) -> float:
        """Run `true` in a new container, from nothing to torn down; return the seconds it took."""
        return self.ground.runner.run(self.run_argv())

    def run_many(self, total: int, at_once: int) -> float:
        """Run *total* containers, *at_once* at any time; return the seconds it took."""
        return self.ground.runner.run_many((self.run_argv() for _ in range(total)), at_once)

    def sleeper(self) -> AbstractContextManager[int]:
        """Hold a container that sleeps; the value is the pid of its first process."""
        raise Unable("it has no containers that go on in the background")

    def execs(self) -> AbstractContextManager[Action]:
        """Hold a running container; the value runs `true` in it to its end."""
        raise Unable("it cannot run a command in a running container")

    def idle(self, count: int) -> AbstractContextManager[None]:
        """Hold *count* idle containers, each running the payload."""
        raise Unable("it has no containers that go on in the background")


def classes() -> list[type[Peer]]:
    """Return every peer's class, in the order of the table."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    found = set(Peer.__subclasses__())
    for one in list(found):
        found |= set(one.__subclasses__())
    return sorted((one for one in found if "name" in vars(one)), key=lambda one: one.order)


@define(eq=False)
class Field:
    """The peers that are able to run here, opened when first asked for."""

    able: dict[str, Peer]
    versions: dict[str, str]
    _report: Report
    _undo: ExitStack
    _opened: set[str] = Factory(set)

    def __iter__(self) -> Iterator[Peer]:
        for name in list(self.able):
            if peer := self.get(name):
                yield peer

    def get(self, name: str) -> Peer | None:
        """Return an opened peer, None when it cannot run here."""
        peer = self.able.get(name)
        if peer and name not in self._opened:
            self._opened.add(name)
            self._undo.callback(peer.close)
            with self._report.attempt("", name):
                peer.open()
                return peer
            del self.able[name]
            return None
        return peer


@contextmanager
def field(ground: Ground, report: Report, wanted: Sequence[str]) -> Iterator[Field]:
    """Find out who is installed; close whoever was opened at the end."""
    with ExitStack() as undo:
        found = Field({}, {}, report, undo)
        for cls in classes():
            if wanted and cls.name not in wanted:
                continue
            peer = cls(ground)
            with report.attempt("", cls.name):
                found.versions[peer.name] = peer.version()
                found.able[peer.name] = peer
        yield found


def contender(peer: Peer, action: Action) -> Contender:
    """Return the peer as somebody to measure by an action of it."""
    return Contender(peer.name, action, peer.heavy, peer.note)

"""What a subcommand is given: its options and arguments, and the engine that it works on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..errors import TinydockerError
from . import messages
from .parser import Values

if TYPE_CHECKING:
    from ..container import Container
    from ..engine import Engine


class Session:
    """One subcommand's run."""

    def __init__(self, general: Values, values: Values, arguments: list[str]) -> None:
        self.values = values
        self.arguments = arguments
        self._general = general
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The engine in the directories that the command line or the environment names."""
        if self._engine is None:
            from ..engine import Engine

            self._engine = Engine(self._general.text("root"), self._general.text("run_root"))
        return self._engine

    def prepare(self) -> None:
        """Let the supervisor start while this process goes on loading; without the privilege nothing is started."""
        if os.geteuid() == 0:
            self.engine.prepare()

    def close(self) -> None:
        """End what is attached to this process, and wait until it is gone."""
        if self._engine is not None:
            self._engine.close()

    def for_each(self, names: Iterable[str], action: Callable[[str], str | None]) -> int:
        """Print what ``action`` returns for each name; an error for one is told and does not stop the others."""
        code = 0
        for name in names:
            try:
                said = action(name)
            except (TinydockerError, OSError) as err:
                messages.report(err)
                code = 1
            else:
                if said is not None:
                    print(said, flush=True)
        return code

    def container(self, name: str) -> Container:
        """Return the container of that name, id or beginning of an id."""
        return self.engine.get(name)

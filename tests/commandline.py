"""Run the installed ``tinydocker`` command in a test, with its output captured or on a terminal."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from engineroots import Roots
from terminal import Terminal


@dataclass(frozen=True)
class CommandLine:
    """The command of this environment, which keeps its state in the test's directories.

    ``cli("ps", "-a")`` runs it to its end; ``cli.terminal("run", ...)`` starts it on a terminal of
    its own; ``cli.command`` and ``cli.environment`` are for a test that starts it in another way.
    """

    program: Path
    roots: Roots

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment with the test's directories in it."""
        return {**os.environ, **self.roots.environment()}

    def command(self, *arguments: str | os.PathLike[str]) -> list[str]:
        """Return the whole command for these arguments."""
        return [str(self.program), *(os.fspath(argument) for argument in arguments)]

    def __call__(
        self,
        *arguments: str | os.PathLike[str],
        input: str = "",
        timeout: float = 60,
        check: bool = False,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end; ``check`` raises with its output when it failed."""
        done = subprocess.run(
            self.command(*arguments),
            input=input,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            env=self.environment,
            timeout=timeout,
            cwd=cwd,
        )
        if check and done.returncode:
            raise AssertionError(f"{done.args} ended with {done.returncode}: {done.stderr}{done.stdout}")
        return done

    def terminal(self, *arguments: str | os.PathLike[str], rows: int = 24, columns: int = 80) -> Terminal:
        """Start the command on a terminal of its own."""
        return Terminal(self.command(*arguments), env=self.environment, rows=rows, columns=columns)

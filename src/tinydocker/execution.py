"""Streams for commands, and commands executed in a running container."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import attrs

from .errors import InvalidSpec
from .launch.client import Channel
from .oci.translate import user_of
from .process import DEVNULL, PIPE, STDOUT, ContainerProcess
from .spec.command import parse_command, parse_workdir
from .spec.pairs import parse_env
from .spec.users import parse_user
from .starting import with_console_size

if TYPE_CHECKING:
    from .engine import Engine


@attrs.define(eq=False)
class Streams:
    """Both ends of a command's three streams."""

    theirs: dict[str, int] = attrs.field(factory=dict)
    ours: dict[str, int] = attrs.field(factory=dict)
    _to_close: ExitStack = attrs.field(factory=ExitStack)

    @classmethod
    def open(cls, stdin: Any, stdout: Any, stderr: Any) -> Streams:
        """Open what is asked for as subprocess does: PIPE, DEVNULL, STDOUT, a descriptor or a file; None is DEVNULL."""
        made = cls()
        try:
            for name, wanted in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
                made._open_one(name, wanted)
        except BaseException:
            made.close()
            raise
        return made

    def _open_one(self, name: str, wanted: Any) -> None:
        if wanted is None or wanted == DEVNULL:
            return
        if wanted == PIPE:
            reading, writing = os.pipe2(os.O_CLOEXEC)
            theirs, ours = (reading, writing) if name == "stdin" else (writing, reading)
            self.theirs[name], self.ours[name] = theirs, ours
            self._to_close.callback(os.close, theirs)
        elif wanted == STDOUT and name == "stderr":
            if "stdout" in self.theirs:
                self.theirs[name] = self.theirs["stdout"]
        else:
            fd = wanted if isinstance(wanted, int) else getattr(wanted, "fileno", lambda: -1)()
            if fd < 0:
                raise InvalidSpec(name, wanted, "PIPE, DEVNULL, a descriptor or an open file")
            self.theirs[name] = fd

    def close_theirs(self) -> None:
        """Close the ends that the command has now."""
        self._to_close.close()
        self.theirs.clear()

    def close(self) -> None:
        """Close both ends."""
        self.close_theirs()
        for fd in self.ours.values():
            os.close(fd)
        self.ours.clear()


def execute(
    engine: Engine,
    record: Mapping[str, Any],
    container: int,
    command: Any,
    streams: Streams,
    *,
    env: Any = None,
    user: Any = None,
    workdir: Any = None,
    tty: bool = False,
    size: tuple[int, int] | None = None,
    text: bool = True,
    detach: bool = False,
) -> ContainerProcess:
    """Execute ``command`` in the running container whose init the pidfd ``container`` stands for.

    Environment, user, directory and privileges are the container's unless given. The streams'
    ends of the command are closed, whatever happens.
    """
    try:
        process = _process(record, command, env, user, workdir, tty=tty)
        order = {
            "op": "exec",
            "config": json.dumps(with_console_size({"process": process}, size)),
            "terminal": tty,
            "attached": not detach,
            "remove": "never" if detach else "at_close",
        }
        channel: Channel = engine._order(order, {"container": container, **streams.theirs})
        try:
            message, fds = channel.answer()
        except BaseException:
            channel.close()
            raise
    except BaseException:
        streams.close()
        raise
    streams.close_theirs()
    started = message["started"]
    terminal = fds[1] if len(fds) > 1 else None
    return ContainerProcess(
        process["args"],
        channel,
        started["pid"],
        fds[0],
        text=text,
        terminal=terminal,
        detached=detach,
        **streams.ours,
    )


def _process(
    record: Mapping[str, Any], command: Any, env: Any, user: Any, workdir: Any, *, tty: bool
) -> dict[str, Any]:
    base = dict(record["config"]["process"])
    base.pop("terminal", None)
    variables = dict(pair.partition("=")[::2] for pair in base.get("env", ()))
    if tty:
        variables.setdefault("TERM", "xterm")
    if user is not None:
        variables.pop("HOME", None)
        base["user"] = user_of(parse_user("user", user), base["user"]["umask"]).to_dict()
    variables.update(parse_env("env", env or {}))
    base["env"] = [f"{name}={value}" for name, value in variables.items()]
    base["args"] = list(parse_command("command", command))
    if workdir is not None:
        base["cwd"] = parse_workdir("workdir", workdir)
    if tty:
        base["terminal"] = True
    return base

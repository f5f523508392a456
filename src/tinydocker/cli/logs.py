"""The subcommand logs."""

from __future__ import annotations

import sys

from ..errors import InvalidSpec
from . import listing
from .parser import Command, Option
from .session import Session

_OPTIONS = (
    Option("-f --follow", "go on until the container has ended"),
    Option("-t --timestamps", "put the time before each line"),
    Option("-n --tail", "the last NUMBER lines only, or all", "NUMBER"),
    Option("--since", "what was said since then: seconds since the epoch, a date and time, or such as 10m", "TIME"),
)


def logs(session: Session) -> int:
    """Print what a container has said: its standard output on ours, its standard error on ours."""
    values = session.values
    since = values.text("since")
    lines = session.container(session.arguments[0]).log_lines(
        tail=_tail(values.text("tail")),
        since=None if since is None else listing.moment("--since", since),
        follow=values.flag("follow"),
    )
    stamped, follow = values.flag("timestamps"), values.flag("follow")
    for line in lines:
        stream = sys.stderr.buffer if line.stream == "stderr" else sys.stdout.buffer
        stream.write(line.raw(stamped))
        if follow or stream is sys.stderr.buffer:
            stream.flush()
    sys.stdout.buffer.flush()
    return 0


def _tail(text: str | None) -> int | None:
    if text is None or text == "all":
        return None
    if not (text.isascii() and text.isdigit()):
        raise InvalidSpec("--tail", text, "a number of lines, or all")
    return int(text)


COMMANDS = {"logs": Command("CONTAINER", logs, _OPTIONS, least=1, most=1)}

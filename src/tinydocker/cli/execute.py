"""The subcommand exec."""

from __future__ import annotations

from .parser import Command, Option, UsageError
from .run_options import environment
from .session import Session

_OPTIONS = (
    Option("-i --interactive", "pass standard input on; without, the command's is empty"),
    Option("-t --tty", "give the command a terminal"),
    Option("-d --detach", "do not wait for the command; its output goes nowhere"),
    Option("-e --env", "set a variable; NAME alone takes the caller's, if it is set", "NAME[=VALUE]", many=True),
    Option("--env-file", "set the variables that FILE lists, one a line", "FILE", many=True),
    Option("-w --workdir", "start in this directory of the container", "DIR"),
    Option("-u --user", "run as this user", "USER[:GROUP]"),
)
_NOTES = """
Options end at CONTAINER. The command ends with this program, unless -d is given; INT, TERM, HUP,
QUIT, USR1 and USR2 are passed on to it. Exit codes are those of `tinydocker run`.
"""


def execute(session: Session) -> int:
    """Run a command in a running container."""
    values = session.values
    name, *command = session.arguments
    detached, interactive, tty = values.flag("detach"), values.flag("interactive"), values.flag("tty")
    if detached and interactive:
        raise UsageError("-d and -i exclude each other: a command in the background has nobody who types")
    if interactive and tty:
        from .terminal import demand_terminal

        demand_terminal()
    env = environment(values)
    session.prepare()
    container = session.container(name)

    from ..process import PIPE
    from . import terminal

    process = container.popen(
        command,
        stdin=PIPE if interactive else None,
        stdout=None if detached else PIPE,
        stderr=None if detached else PIPE,
        env=env,
        user=values.text("user"),
        workdir=values.text("workdir"),
        tty=tty,
        size=terminal.size() if tty else None,
        text=False,
        detach=detached,
    )
    try:
        if detached:
            return 0
        from . import foreground

        with foreground.Signals() as signals:
            return foreground.follow(process, signals, stdin=interactive, tty=tty)
    finally:
        process.close()


COMMANDS = {
    "exec": Command("CONTAINER COMMAND [ARGUMENT]...", execute, _OPTIONS, least=2, stops_at_first=True, notes=_NOTES)
}

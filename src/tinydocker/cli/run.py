"""The subcommand run."""

from __future__ import annotations

from .parser import Command
from .run_options import LATER_OPTIONS, OPTIONS, library_options
from .session import Session

_NOTES = """
Options end at IMAGE: a directory, a rootfs archive (.tar, .gz, .bz2, .xz, .zst), the word host for
this machine's own root, or an image of the store. Without -d the command's streams are this
program's: INT, TERM, HUP, QUIT, USR1 and USR2 are passed on to it, and it ends with this program,
however that ends. Its container is kept until `tinydocker rm`, unless --rm is given.

Exit code: the command's own; 128+N when signal N ended it; 127 when it is not found; 126 when it
cannot be executed; 125 when it was not started, for another reason.

Read already and refused, as this version lacks them: -m --memory --memory-swap -c --cpus
--cpu-shares --cpuset-cpus --pids-limit -p --publish --network NAME --network-alias --ip --device
--privileged --userns --restart --health-cmd.
"""


def run(session: Session) -> int:
    """Run a command in a new container, attached to this process or detached."""
    options = library_options(session.values)
    detached = session.values.flag("detach")
    if not detached and session.values.flag("tty"):
        from .terminal import demand_terminal

        demand_terminal()
    session.prepare()
    image, *command = session.arguments
    container = session.engine.container(image, command or None, **options)
    if detached:
        container.start()
        print(container.id)
        return 0
    from . import foreground

    return foreground.run(container)


COMMANDS = {
    "run": Command(
        "IMAGE [COMMAND [ARGUMENT]...]", run, (*OPTIONS, *LATER_OPTIONS), least=1, stops_at_first=True, notes=_NOTES
    )
}

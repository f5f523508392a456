"""The table of subcommands, and how a command line is read up to its subcommand."""

from __future__ import annotations

import importlib

from ..errors import NotSupported
from .parser import Command, Option, UsageError, Values, option_lines, parse

HELP = Option("-h --help", "show this help")
GLOBAL_OPTIONS = (
    Option("--root", "where containers and images are kept (TINYDOCKER_ROOT, /var/lib/tinydocker)", "DIR"),
    Option("--run-root", "where mount points are kept (TINYDOCKER_RUN_ROOT, /run/tinydocker)", "DIR"),
    Option("--debug", "show where an error comes from"),
    Option("--version", "show the version"),
    HELP,
)
# subcommand: (module, what it does); `Command` objects are under the same names in the module's COMMANDS
SUBCOMMANDS = {
    "run": ("run", "run a command in a new container"),
    "exec": ("execute", "run a command in a running container"),
    "ps": ("processes", "list containers"),
    "top": ("processes", "list the processes of a container"),
    "start": ("lifetime", "start ended containers again, in the background"),
    "stop": ("lifetime", "end containers: their stop signal, then, after a while, kill"),
    "restart": ("lifetime", "stop containers and start them again, in the background"),
    "kill": ("lifetime", "send a signal to containers"),
    "wait": ("lifetime", "wait until containers have ended and print their exit codes"),
    "rm": ("lifetime", "remove containers"),
    "logs": ("logs", "print what a container has said"),
    "inspect": ("processes", "print all that is recorded of containers, as JSON"),
    "diff": ("files", "list what differs from the image"),
    "commit": ("files", "keep a container's files as an image archive"),
    "export": ("files", "write a container's files as a tar archive"),
    "cp": ("files", "copy files into a container or out of it"),
    "images": ("images", "list the images in the store"),
    "rmi": ("images", "remove images from the store"),
    "prune": ("images", "remove ended containers and images that nothing uses"),
    "version": ("version", "print the version"),
}
# Subcommands that the interface has and this version does not carry out yet.
LATER = (
    "attach", "build", "check", "events", "load", "network", "pause", "port", "pull", "push", "save", "stats",
    "unpause", "update", "volume",
)  # fmt: skip


class Found:
    """A command line that has been read: a subcommand and what it was given, or else a help text to be shown."""

    def __init__(self, name: str, general: Values) -> None:
        self.name = name
        self.general = general
        self.command: Command | None = None
        self.values = Values()
        self.arguments: list[str] = []
        self.help_text = ""


def find(line: list[str]) -> Found:
    """Read ``line``; raise UsageError for what cannot be understood, NotSupported for what is to come."""
    general, rest = parse(GLOBAL_OPTIONS, line, stops_at_first=True)
    if general.flag("version"):
        rest = ["version"]
    name = rest[0] if rest else ""
    if not name or general.flag("help") or name == "help":
        return _helped(general, rest[1:] if name == "help" else rest)
    if name in LATER:
        raise NotSupported(f"{name} is not in this version")
    if name not in SUBCOMMANDS:
        raise UsageError(f"unknown command {name!r}{_guess(name)}")
    try:
        return _parsed(general, name, rest[1:])
    except UsageError as err:
        err.command = name
        raise


def _parsed(general: Values, name: str, line: list[str]) -> Found:
    command = load(name)
    found = Found(name, general)
    values, arguments = parse(_with_help(command), line, stops_at_first=command.stops_at_first)
    if values.flag("help"):
        found.help_text = command_help(name, command)
        return found
    command.check(arguments)
    found.command, found.values, found.arguments = command, values, arguments
    return found


def _with_help(command: Command) -> tuple[Option, ...]:
    taken = any("-h" in option.names for option in command.options)
    return (*command.options, Option("--help", HELP.help) if taken else HELP)


def load(name: str) -> Command:
    """Return the subcommand ``name``."""
    module = importlib.import_module(f".{SUBCOMMANDS[name][0]}", __package__)
    found: Command = module.COMMANDS[name]
    return found


def _helped(general: Values, rest: list[str]) -> Found:
    if rest and rest[0] in SUBCOMMANDS:
        return _parsed(general, rest[0], ["--help"])
    found = Found("", general)
    found.help_text = general_help()
    return found


def general_help() -> str:
    """Return the help of the whole program."""
    lines = [
        "Usage: tinydocker [OPTION]... COMMAND [ARGUMENT]...",
        "",
        "Run containers without a daemon.",
        "",
        "Commands:",
    ]
    lines += [f"  {name:<10}{what}" for name, (_, what) in SUBCOMMANDS.items()]
    lines += ["", "Not in this version: " + " ".join(LATER), "", "Options:", *option_lines(GLOBAL_OPTIONS), ""]
    lines += ["`tinydocker COMMAND --help` explains a command. Exit codes: 0, 1 when something could not be done,",
              "125 when the command line cannot be understood or this version or user cannot do it; run and exec",
              "end with the code of the command that they run."]  # fmt: skip
    return "\n".join(lines)


def command_help(name: str, command: Command) -> str:
    """Return the help of one subcommand."""
    usage = f"Usage: tinydocker {name} [OPTION]... {command.arguments}".rstrip()
    what = SUBCOMMANDS[name][1]
    lines = [usage, "", what[0].upper() + what[1:] + ".", "", "Options:", *option_lines(_with_help(command))]
    if command.notes:
        lines += ["", command.notes.strip()]
    return "\n".join(lines)


def _guess(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, SUBCOMMANDS, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""

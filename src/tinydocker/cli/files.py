"""The subcommands about a container's files: cp, diff, commit, export."""

from __future__ import annotations

import os
import sys

from ..errors import NotSupported
from . import listing
from .parser import Command, Option, UsageError
from .session import Session


def cp(session: Session) -> int:
    """Copy files into a container or out of it."""
    source, target = session.arguments
    archive = session.values.flag("archive")
    if "-" in (source, target):
        raise NotSupported("copying a tar stream (-) is not in this version: `tinydocker export` writes one")
    source_name, source_path = _split(source)
    target_name, target_path = _split(target)
    if bool(source_name) == bool(target_name):
        raise UsageError("one of the two is CONTAINER:PATH, the other a path of this machine")
    if source_name:
        session.container(source_name).get(source_path, target_path, archive=archive)
    else:
        session.container(target_name).put(source_path, target_path, archive=archive)
    return 0


def _split(text: str) -> tuple[str, str]:
    """Return (container, path); the container is "" for a path of this machine, such as one with a / or . at first."""
    name, colon, path = text.partition(":")
    if not colon or not name or name[0] in "./" or "/" in name:
        return "", text
    return name, path or "/"


def diff(session: Session) -> int:
    """List what differs from the image: A is added, C changed, D deleted."""
    changes = session.container(session.arguments[0]).changes()
    if session.values.flag("json"):
        listing.print_json([{"kind": change.kind, "path": change.path} for change in changes])
    else:
        for change in changes:
            print(f"{change.kind} {change.path}")
    return 0


def commit(session: Session) -> int:
    """Keep a container's files as an image archive."""
    name = session.arguments[0]
    container = session.container(name)
    path = session.arguments[1] if len(session.arguments) > 1 else f"{container.name}.tar"
    container.commit(path)
    print(path)
    return 0


def export(session: Session) -> int:
    """Write a container's files as a tar archive, to a file or to standard output."""
    container = session.container(session.arguments[0])
    output = session.values.text("output")
    if output is not None:
        container.export(output)
    elif os.isatty(1):
        raise UsageError("a tar archive is not for a terminal: name a file with -o, or redirect the output")
    else:
        container.export(sys.stdout.buffer)
        sys.stdout.buffer.flush()
    return 0


COMMANDS = {
    "cp": Command(
        "SOURCE TARGET",
        cp,
        (Option("-a --archive", "keep owners"),),
        least=2,
        most=2,
        notes="One of the two is CONTAINER:PATH. A path of this machine with a colon in it is written ./such:a:path.",
    ),
    "diff": Command("CONTAINER", diff, (listing.JSON,), least=1, most=1),
    "commit": Command(
        "CONTAINER [ARCHIVE]",
        commit,
        least=1,
        most=2,
        notes="ARCHIVE is NAME.tar in the working directory unless given; .gz, .bz2, .xz and .zst behind it compress.\n"
        "What is in volumes, /proc, /sys and /dev is left out.",
    ),
    "export": Command(
        "CONTAINER",
        export,
        (Option("-o --output", "write to FILE; its suffix says how it is compressed", "FILE"),),
        least=1,
        most=1,
    ),
}

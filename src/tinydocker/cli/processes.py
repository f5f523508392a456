"""The subcommands that look: ps, top, inspect."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from ..errors import InvalidSpec, TinydockerError
from . import listing, messages
from .parser import Command, Option
from .session import Session

if TYPE_CHECKING:
    from ..container import Container
    from ..inspection import Process

_COLUMNS = ("CONTAINER_ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAMES")
_COMMAND_WIDTH = 20
_STATUSES = ("created", "running", "exited")
_FILTERS = "label=NAME[=VALUE], name=PART or status=" + "|".join(_STATUSES)
_TOP_COLUMNS = ("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")
_PTS_MAJORS = range(136, 144)


def ps(session: Session) -> int:
    """List containers."""
    values = session.values
    wanted = _Filters(values.texts("filter"))
    found = session.engine.containers(all=values.flag("all") or bool(wanted.statuses))
    facts = [fact for fact in map(_facts, found) if fact is not None and wanted.match(fact)]
    if values.flag("quiet"):
        for fact in facts:
            print(fact["id"])
    elif values.flag("json"):
        listing.print_json(facts)
    else:
        whole = values.flag("no_trunc")
        listing.print_table(_COLUMNS, [_row(fact, whole=whole) for fact in facts])
    return 0


class _Filters:
    """What a container must be like: each name of a filter by one of its values, labels by all."""

    def __init__(self, texts: list[str]) -> None:
        self.names: list[str] = []
        self.labels: list[str] = []
        self.statuses: list[str] = []
        for text in texts:
            key, _, value = text.partition("=")
            if key == "name" and value:
                self.names.append(value)
            elif key == "label" and value:
                self.labels.append(value)
            elif key == "status" and value in _STATUSES:
                self.statuses.append(value)
            else:
                raise InvalidSpec("--filter", text, _FILTERS)

    def match(self, fact: dict[str, Any]) -> bool:
        """Tell whether a container is wanted."""
        if self.statuses and fact["status"] not in self.statuses:
            return False
        if self.names and not any(part in fact["name"] for part in self.names):
            return False
        return all(self._has(fact["labels"], label) for label in self.labels)

    def _has(self, labels: dict[str, str], wanted: str) -> bool:
        key, equals, value = wanted.partition("=")
        return key in labels and (not equals or labels[key] == value)


def _facts(container: Container) -> dict[str, Any] | None:
    """Return what is told of a container; None when it has just been removed."""
    try:
        record = container.inspect()
    except (TinydockerError, OSError):
        return None
    state = record["state"]
    code = state.get("returncode")
    return {
        "id": record["id"],
        "name": record["name"],
        "image": record["image"]["source"],
        "command": record["config"]["process"]["args"],
        "created": record["created"],
        "status": state["status"],
        "started": state.get("started"),
        "finished": state.get("finished"),
        "exit_code": None if code is None else _exit_code(code),
        "pid": state.get("pid") if state["status"] == "running" else None,
        "labels": record["labels"],
    }


def _row(fact: dict[str, Any], *, whole: bool) -> tuple[str, ...]:
    image, command = fact["image"], " ".join(fact["command"])
    if not whole:
        image = os.path.basename(image) or image
        command = listing.shortened(command, _COMMAND_WIDTH)
    return (fact["id"], image, f'"{command}"', listing.ago(fact["created"]), _status(fact), fact["name"])


def _status(fact: dict[str, Any]) -> str:
    if fact["status"] == "running":
        return f"Up {listing.duration(time.time() - fact['started'])}"
    if fact["status"] == "exited":
        code = "unknown" if fact["exit_code"] is None else fact["exit_code"]
        return f"Exited ({code}) {listing.ago(fact['finished'])}".rstrip()
    return str(fact["status"]).capitalize()


def _exit_code(returncode: int) -> int:
    return returncode if returncode >= 0 else 128 - returncode


def top(session: Session) -> int:
    """List the processes of a container."""
    processes = session.container(session.arguments[0]).top()
    if session.values.flag("json"):
        import attrs

        listing.print_json([attrs.asdict(process) for process in processes])
    else:
        listing.print_table(_TOP_COLUMNS, [_top_row(process) for process in processes])
    return 0


def _top_row(process: Process) -> tuple[str, ...]:
    now = time.time()
    share = int(100 * process.cpu_seconds / max(now - process.started, 0.01))
    recent = now - process.started < 24 * 3600
    began = time.strftime("%H:%M" if recent else "%b%d", time.localtime(process.started))
    minutes, seconds = divmod(int(process.cpu_seconds), 60)
    return (
        process.user,
        str(process.host_pid),
        str(process.host_ppid),
        str(min(share, 99)),
        began,
        _terminal(process.tty),
        f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}",
        process.command,
    )


def _terminal(device: int) -> str:
    if device == 0:
        return "?"
    major, minor = os.major(device), os.minor(device)
    if major in _PTS_MAJORS:
        return f"pts/{minor + 256 * (major - _PTS_MAJORS.start)}"
    return f"tty{minor}" if major == 4 else f"{major}:{minor}"


def inspect(session: Session) -> int:
    """Print all that is recorded of containers."""
    found, code = [], 0
    for name in session.arguments:
        try:
            found.append(session.container(name).inspect())
        except TinydockerError as err:
            messages.report(err)
            code = 1
    listing.print_json(found)
    return code


COMMANDS = {
    "ps": Command(
        "",
        ps,
        (
            Option("-a --all", "ended and created ones too, not only those that run"),
            Option("-q --quiet", "print ids only"),
            Option("-f --filter", _FILTERS, "FILTER", many=True),
            Option("--no-trunc", "print images and commands in full"),
            listing.JSON,
        ),
        most=0,
    ),
    "top": Command(
        "CONTAINER",
        top,
        (listing.JSON,),
        least=1,
        most=1,
        notes="The table is that of `ps -f`. PID and PPID are the host's numbers, UID is the name in the container.",
    ),
    "inspect": Command("CONTAINER...", inspect, least=1),
}

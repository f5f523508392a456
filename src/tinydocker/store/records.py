"""Write and read the JSON records that the engine remembers things by.

A record is written beside its place and renamed in, so a reader sees the old one or the new
one and never a mixture. A record that cannot be understood is set aside under the name
``<name>.damaged`` and reported, and blocks nothing else.

Imported by the supervisor: the standard library alone.

Source: rename(2), fsync(2), proc_pid_stat(5).
"""

from __future__ import annotations

import json
import os
from typing import Any

from ..errors import StateCorrupt

SCHEMA = 1

_LARGEST = 16 << 20
_boot_id = ""


def write(path: str, record: dict[str, Any], durable: bool = True) -> None:
    """Replace the record at ``path``; ``record["schema"]`` is filled in.

    With ``durable`` the record outlives a loss of power once this returns; without, only the
    death of processes.
    """
    data = json.dumps({"schema": SCHEMA, **record}, separators=(",", ":"), allow_nan=False).encode("ascii")
    directory, name = os.path.split(path)
    beside = os.path.join(directory, f".{name}.{os.urandom(6).hex()}")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            rest = data
            while rest:
                rest = rest[os.write(fd, rest) :]
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(beside, path)
    except BaseException:
        _unlink_if_there(beside)
        raise
    if durable:
        sync_directory(directory or ".")


def read(path: str) -> dict[str, Any]:
    """Return the record at ``path``.

    Raises FileNotFoundError where there is none and StateCorrupt where it is damaged; it is
    then no longer at its place.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        data = _content(fd)
    except (OSError, ValueError) as err:
        raise set_aside(path, str(err)) from err
    finally:
        os.close(fd)
    try:
        record = json.loads(data)
    except (ValueError, RecursionError) as err:
        raise set_aside(path, f"not JSON ({err})" if data.strip(b"\0") else "empty") from err
    if not isinstance(record, dict):
        raise set_aside(path, f"a {type(record).__name__} where an object is expected")
    if record.get("schema") != SCHEMA:
        raise set_aside(path, f"schema {record.get('schema')!r} where {SCHEMA} is expected")
    return record


def set_aside(path: str, reason: str) -> StateCorrupt:
    """Rename a damaged record away and return the error that says so."""
    place = aside(path)
    try:
        os.rename(path, place)
    except OSError as err:
        return StateCorrupt(f"the record {path} is damaged: {reason}; it could not be set aside: {err.strerror}")
    return StateCorrupt(f"the record {path} is damaged: {reason}; it was set aside as {place}")


def aside(path: str) -> str:
    """Return where the damaged record of ``path`` is put."""
    return f"{path}.damaged"


def sync_directory(path: str) -> None:
    """Make the names in the directory ``path`` outlive a loss of power."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def boot_id() -> str:
    """Return the kernel's name for this boot: records of another boot's processes are stale."""
    global _boot_id
    if not _boot_id:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            _boot_id = file.read().strip()
    return _boot_id


def process_start_time(pid: int) -> int | None:
    """Return when ``pid`` started, in clock ticks since boot, or None where there is no such process.

    A pid together with its start time and the boot id names one process for ever.
    """
    fields = _stat_fields(pid)
    return int(fields[22 - 3]) if fields else None


def is_zombie(pid: int) -> bool:
    """Tell whether ``pid`` has ended and was not reaped yet."""
    fields = _stat_fields(pid)
    return bool(fields) and fields[0] in (b"Z", b"X")


def _stat_fields(pid: int) -> list[bytes]:
    """Return what procfs says of a process, from its state (field 3) on; nothing where there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return []
    # Field 2 is the command in parentheses and may itself hold spaces and parentheses.
    return stat[stat.rindex(b")") + 2 :].split()


def _content(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    if size > _LARGEST:
        raise ValueError(f"{size} bytes, more than the {_LARGEST} a record may have")
    parts = []
    while part := os.read(fd, max(size + 1, 4096)):
        parts.append(part)
    return b"".join(parts)


def _unlink_if_there(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return

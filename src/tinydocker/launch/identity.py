"""Who a command runs as: looked up in the container's own files, then assumed for good.

The files belong to the image, so they are opened inside its root, must be regular files, and are
read up to a bound.

Source: passwd(5), group(5), credentials(7); the order is that of runc's init.
"""

from __future__ import annotations

import errno
import os
import resource
import stat
from typing import Any

from ..linux import capabilities, files, process

_MOST_BYTES = 8 << 20
_FIRST_BAD_ID = 2**32 - 1


class UnknownUser(Exception):
    """The rootfs knows no user or group of that name."""


class Identity:
    """The ids and the home directory of a command."""

    __slots__ = ("gid", "groups", "home", "uid")

    def __init__(self, uid: int, gid: int, groups: list[int], home: str) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.home = home


def _rows(root_fd: int, path: str) -> list[list[bytes]]:
    try:
        fd = files.open_in_root(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return []
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return []
        data = os.read(fd, min(found.st_size, _MOST_BYTES))
    finally:
        os.close(fd)
    return [line.split(b":") for line in data.splitlines()]


def _number(text: bytes) -> int | None:
    return int(text) if text.isdigit() and len(text) < 11 and int(text) < _FIRST_BAD_ID else None


def look_up(root_fd: int, user: dict[str, Any]) -> Identity:
    """Turn the ``user`` of an OCI process into numbers, by the rootfs's /etc/passwd and /etc/group.

    ``username`` (``name[:group]``, where each may be a number) is looked up; plain numbers are taken.
    """
    wanted = os.fsencode(user.get("username") or "")
    name, _, group = wanted.partition(b":")
    uid = _number(name) if wanted else int(user.get("uid", 0))
    gid = None if wanted else int(user.get("gid", 0))
    home = b"/"
    login = b""
    for row in _rows(root_fd, "etc/passwd"):
        if len(row) < 6 or (row[0] != name if uid is None else _number(row[2]) != uid):
            continue
        found = _number(row[2])
        if found is None:
            continue
        login, uid, home = row[0], found, row[5] or b"/"
        gid = _number(row[3]) if gid is None else gid
        break
    if uid is None:
        raise UnknownUser(f"no user {os.fsdecode(name)!r} in its /etc/passwd")
    groups = [int(g) for g in user.get("additionalGids", ())]
    named_gid = _number(group)
    by_membership = bool(wanted) and not group
    for row in _rows(root_fd, "etc/group") if by_membership or (group and named_gid is None) else ():
        if len(row) < 4 or (number := _number(row[2])) is None:
            continue
        if group and named_gid is None and row[0] == group:
            named_gid = number
        elif by_membership and login and login in row[3].split(b","):
            groups.append(number)
    if group:
        if named_gid is None:
            raise UnknownUser(f"no group {os.fsdecode(group)!r} in its /etc/group")
        gid = named_gid
    return Identity(uid, gid or 0, groups, os.fsdecode(home))


def limit_resources(rlimits: list[dict[str, Any]], inherited_nofile: tuple[int, int]) -> None:
    """Set the resource limits; one that would need CAP_SYS_RESOURCE is lowered to what is allowed."""
    if not any(r["type"] == "RLIMIT_NOFILE" for r in rlimits):
        resource.setrlimit(resource.RLIMIT_NOFILE, inherited_nofile)
    for limit in rlimits:
        kind = getattr(resource, limit["type"])
        soft, hard = (-1 if v >= 2**63 else v for v in (limit["soft"], limit["hard"]))
        try:
            resource.setrlimit(kind, (soft, hard))
        except (OSError, ValueError):
            most = resource.getrlimit(kind)[1]
            resource.setrlimit(kind, (_within(soft, most), _within(hard, most)))


def _within(value: int, most: int) -> int:
    if most < 0:
        return value
    return most if value < 0 else min(value, most)


def assume(identity: Identity, config: dict[str, Any]) -> None:
    """Take on ``identity`` and the capabilities of the OCI process ``config``, and give up all others."""
    wanted = config.get("capabilities", {})
    effective, permitted = (_granted(wanted.get(kind, ())) for kind in ("effective", "permitted"))
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
    if identity.uid == 0:
        capabilities.clear_ambient()
        capabilities.set_thread(effective, permitted, 0)
    if config.get("noNewPrivileges", True):
        process.prctl(process.PR_SET_NO_NEW_PRIVS, 1)


def _granted(names: list[str]) -> int:
    """Return the set of ``names``; all of them means all that root has on this host."""
    mask, held = capabilities.mask_of(names), capabilities.held()
    lacking = [name for name in names if not capabilities.mask_of([name]) & held]
    if lacking and len(names) < len(capabilities.NAMES):
        raise PermissionError(errno.EPERM, f"root lacks {', '.join(lacking)} on this host")
    return mask & held

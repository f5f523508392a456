"""Say "in use" in a way that ends with the user: locks of open file descriptions.

An OFD lock belongs to an open file description. It lives while any descriptor of that
description is open, in whatever process: it is shared by dup(2) and fork(2), travels over a
socket with SCM_RIGHTS, and is dropped by the kernel when the last copy is closed, however its
holders died. "Locked" therefore means "alive". flock(2) locks live equally long, but nobody can
ask about one without taking it, and two who probe at once disturb each other; F_OFD_GETLK asks
and takes nothing. The classic record locks of fcntl(2) would vanish when any descriptor of the
file is closed anywhere in the process.

Imported by the supervisor: the standard library alone.

Source: fcntl_locking(2), section "Open file description locks (non-POSIX)".
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from contextlib import suppress

_FLOCK = struct.Struct("@hhqqi4x")  # l_type, l_whence, l_start, l_len, l_pid (must be 0)
_WHOLE_FILE = (os.SEEK_SET, 0, 0, 0)


def hold(target: str | int, exclusive: bool = True, wait: bool = False) -> int:
    """Lock ``target`` and return the descriptor that holds the lock: close it to let go.

    ``target`` is a path (made where missing, held from the first, but not its directory) or a descriptor of one's
    own, which is then returned; locking a descriptor again converts its lock in one step.
    Raises BlockingIOError where others hold it and ``wait`` is false.

    A path that was unlinked or renamed away while we waited is looked up again, so the lock held
    is always that of the file that bears the name now.
    """
    kind = fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK
    if isinstance(target, int):
        _set(target, kind, wait)
        return target
    while True:
        try:
            fd = os.open(target, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            made = _born_held(target, kind)
            if made is not None:
                return made
            continue
        try:
            _set(fd, kind, wait)
            if _bears_name(fd, target):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def shared(target: str | int, wait: bool = False) -> int:
    """Hold ``target`` together with others who share it; see `hold`."""
    return hold(target, exclusive=False, wait=wait)


def make_directory(path: str) -> int:
    """Make the directory ``path`` with the file ``lock`` in it, and return the descriptor that holds that lock.

    Until it is there a sweeper may take the directory for one whose maker has died, and remove
    it: then it is made again. Raises FileExistsError where ``path`` is another's.
    """
    os.mkdir(path, 0o700)
    while True:
        try:
            return hold(f"{path}/lock")
        except FileNotFoundError:
            os.makedirs(path, 0o700, exist_ok=True)


def sweep_directory(path: str) -> bool:
    """Remove a directory of `make_directory` that never got its lock, as its maker has died; tell whether it went."""
    try:
        for name in os.listdir(path):
            if not name.startswith("lock."):
                return False
            os.unlink(f"{path}/{name}")
        os.rmdir(path)
    except OSError:
        return False
    return True


def is_held(target: str | int) -> bool:
    """Whether any *other* open file description holds a lock on ``target``, of either kind.

    Takes nothing. A path that does not exist is held by nobody.
    """
    if isinstance(target, int):
        return _probe(target)
    try:
        fd = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        return _probe(fd)
    finally:
        os.close(fd)


def release(fd: int) -> None:
    """Let go of the lock for every copy of the descriptor, and keep the descriptor."""
    _set(fd, fcntl.F_UNLCK, wait=False)


def _born_held(path: str, kind: int) -> int | None:
    """Make a lock that is held before anybody can see it: one that is there and free has lost its holder.

    None where another has made it meanwhile.
    """
    beside = f"{path}.{os.urandom(6).hex()}"
    fd = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _set(fd, kind, wait=False)
        os.link(beside, path)
    except FileExistsError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    finally:
        with suppress(FileNotFoundError):  # a sweeper was quicker
            os.unlink(beside)
    return fd


def _set(fd: int, kind: int, wait: bool) -> None:
    command = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
    try:
        fcntl.fcntl(fd, command, _FLOCK.pack(kind, *_WHOLE_FILE))
    except OSError as err:
        if err.errno in (errno.EAGAIN, errno.EACCES):
            raise BlockingIOError(errno.EAGAIN, "another process holds the lock") from err
        raise


def _probe(fd: int) -> bool:
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, *_WHOLE_FILE))
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def _bears_name(fd: int, path: str) -> bool:
    mine = os.fstat(fd)
    try:
        named = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (named.st_dev, named.st_ino)

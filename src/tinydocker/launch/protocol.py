"""What the program and its supervisor say to each other.

The program holds one socket to its supervisor. Every order carries a *channel*: one end of a
socket pair, on which the answers come and whose life is the life of what was ordered.

================  ==========================================================  =====================================
order (``op``)    descriptors, beside the channel                             answers on its channel
================  ==========================================================  =====================================
``start``         lock, stdin, stdout, stderr, leases, trees of volumes       ``started`` with pidfd (and terminal),
                                                                              later ``ended``; or ``failed``
``exec``          container (its init's pidfd), stdin, stdout, stderr         the same
``mount``         none                                                        ``mounted`` with the root's descriptor
``tmpfs``         none                                                        the same, with its upper directory's
``rootfs``        container                                                   ``rootfs`` with a tree's descriptor
================  ==========================================================  =====================================

On the channel of a container that has ended the program may say ``keep``, to start it again: the
answer is ``kept`` with its lock, and closing the channel then removes nothing.

On a channel the program may ask to ``keep`` what would go with it, or to ``kill`` a command with
all that it has started. Closing the channel of an attached container or command kills it; closing that of a mount
unmounts it. A message is one datagram of JSON; what does not fit in one travels in a memfd.

Source: unix(7), recvmsg(2), SCM_RIGHTS.
"""

from __future__ import annotations

import _socket
import array
import json
import os
from collections.abc import Sequence
from typing import Any

Message = dict[str, Any]

_DATAGRAM_BYTES = 64 * 1024
_MAX_FDS = 253  # SCM_MAX_FD
_INT_BYTES = array.array("i").itemsize


def pair() -> tuple[_socket.socket, _socket.socket]:
    """Return two connected ends, each close-on-exec, that keep the borders of messages."""
    return _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)


def send(sock: _socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Send ``message`` and copies of ``fds``."""
    if len(fds) >= _MAX_FDS:
        raise ValueError(f"a message carries {_MAX_FDS - 1} descriptors at most, not {len(fds)}")
    data = json.dumps(message, separators=(",", ":")).encode("utf-8", "surrogateescape")
    if len(data) <= _DATAGRAM_BYTES:
        _send(sock, b" " + data, fds)
        return
    body = os.memfd_create("tinydocker-message", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(body), "wb") as file:
            file.write(data)
        _send(sock, b"@", (*fds, body))
    finally:
        os.close(body)


def _send(sock: _socket.socket, data: bytes, fds: Sequence[int]) -> None:
    ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", fds).tobytes())] if fds else []
    sock.sendmsg([data], ancillary, _socket.MSG_NOSIGNAL)


def is_pending(sock: _socket.socket) -> bool:
    """Tell whether a message can be received now, rather than the other side's closing."""
    try:
        return bool(sock.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT))
    except OSError:
        return False


def receive(sock: _socket.socket, *, peek: bool = False) -> tuple[Message | None, list[int]]:
    """Return the next message and its descriptors; (None, []) when the other side has closed.

    With ``peek`` the message stays where it is, and its descriptors are not taken.
    """
    flags = _socket.MSG_PEEK if peek else 0
    data, fds = _receive(sock, flags, 0 if peek else _MAX_FDS)
    if not data:
        return None, fds
    if data[:1] == b"@":
        if peek:  # copies of its descriptors, as the text is in one of them
            _, fds = _receive(sock, flags, _MAX_FDS)
        with os.fdopen(fds.pop(), "rb") as file:
            file.seek(0)
            data = file.read()
        while peek and fds:
            os.close(fds.pop())
    message: Message = json.loads(data)
    return message, fds


def _receive(sock: _socket.socket, flags: int, most_fds: int) -> tuple[bytes, list[int]]:
    room = _socket.CMSG_SPACE(most_fds * _INT_BYTES) if most_fds else 0
    data, ancillary, _, _ = sock.recvmsg(_DATAGRAM_BYTES + 1, room, flags | _socket.MSG_CMSG_CLOEXEC)
    received = array.array("i")
    for level, kind, content in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            received.frombytes(content[: len(content) - len(content) % _INT_BYTES])
    return data, received.tolist()

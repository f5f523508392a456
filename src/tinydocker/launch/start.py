"""What a child knows of the start that it carries out."""

from __future__ import annotations

import _socket
from typing import Any

from .identity import Identity


class Start:
    """One start on its way: what is known of it, its descriptors, and how far it has come."""

    def __init__(
        self, report: _socket.socket, template: dict[str, Any], root: dict[str, Any], nofile: tuple[int, int]
    ) -> None:
        """``root`` is an overlay's ``lower``, ``upper`` and ``work``, or the descriptor of a mount as ``tree``."""
        self.report = report
        self.template = template
        self.root = root
        self.nofile = nofile
        self.order: dict[str, Any] = {}
        self.config: dict[str, Any] = {}
        self.process: dict[str, Any] = {}
        self.fds: dict[str, int] = {}
        self.root_fd = -1
        self.stage_fd = -1
        self.null_fd = -1
        self.who = Identity(0, 0, [], "/")
        self.mark = 0  # tells an executed command and its descendants from the container's other processes
        self.at = ""  # what the step in hand is tried on

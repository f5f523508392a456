"""Paths into mounts that only a descriptor names."""

from __future__ import annotations

import os
from pathlib import PosixPath


class MountPath(PosixPath):
    """A path into a mount that only a descriptor names: ``/proc/<pid>/fd/<n>/…``.

    It works for any program of this host while the workspace is open. ``resolve`` keeps the
    prefix, which names no place in the host's own tree.
    """

    def resolve(self, strict: bool = False) -> MountPath:
        """Return the path without ``.`` and ``..``, still below the mount; links are left as they are."""
        prefix, inner = self.parts[:5], os.path.normpath("/" + "/".join(self.parts[5:]))
        found = type(self)(*prefix, inner.lstrip("/"))
        if strict:
            os.lstat(found)
        return found

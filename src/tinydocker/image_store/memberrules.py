"""What a member of an archive may be called, belong to and carry. Pure: the same on every host."""

from __future__ import annotations

import os

from .archive import ArchiveDamaged
from .tarstream import Member

_NO_OWNER = 0xFFFFFFFF  # chown(2) takes it for "leave as it is"
_OVERLAYS_OWN = (b"trusted.overlay.", b"user.overlay.")


def words_of(name: bytes) -> list[bytes]:
    """Split a path into its names; refuse the one that leads upwards."""
    words = [word for word in without_nul(name).split(b"/") if word not in (b"", b".")]
    if b".." in words:
        raise ArchiveDamaged(f"the name {shown(name)} leads out of its directory")
    return words


def ids_of(member: Member) -> tuple[int, int]:
    """Return a member's owner and group, which must be numbers that a file can have."""
    if 0 <= member.uid < _NO_OWNER and 0 <= member.gid < _NO_OWNER:
        return member.uid, member.gid
    raise ArchiveDamaged(f"{shown(member.name)} belongs to {member.uid}:{member.gid}, which cannot be")


def refuse_overlay_attributes(member: Member) -> None:
    """Refuse attributes with which overlayfs keeps its own books."""
    for key in member.xattrs or ():
        refuse_overlay_attribute(key, member.name)


def refuse_overlay_attribute(key: bytes, name: bytes) -> None:
    """Refuse the attribute ``key`` if overlayfs keeps its own books with it."""
    if key.startswith(_OVERLAYS_OWN):
        raise ArchiveDamaged(f"{shown(name)} has the attribute {shown(key)}, which is overlayfs's own")


def without_nul(value: bytes) -> bytes:
    """Return the name, in which the kernel would see an end."""
    if b"\0" in value:
        raise ArchiveDamaged(f"the name {shown(value)} contains NUL")
    return value


def shown(name: bytes) -> str:
    """Return a name as a message shows it."""
    return repr(os.fsdecode(name if len(name) <= 200 else name[:200] + b"..."))

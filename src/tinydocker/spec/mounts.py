"""Read volumes and tmpfs mounts.

Targets are only cleaned lexically here; what they lead to is decided inside the container's own
root when the mount is made.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from ..errors import InvalidSpec
from .command import clean_path
from .parse import is_name, parse_int, parse_items, parse_path_text, parse_size
from .users import ID_MAX

_VOLUMES_ACCEPTED = (
    "a mapping of a host path or volume name to a target or (target, 'ro' or 'rw'), "
    "or a list of 'SOURCE:TARGET[:ro|rw]' (paths with a colon need the mapping)"
)
_TARGET_ACCEPTED = "an absolute target other than /, /dev and /proc, without '..', each target once"
_SOURCE_ACCEPTED = "a path with a '/' in it, a pathlib.Path, or the name of a volume (letters, digits, '_', '.', '-')"
_TMPFS_ACCEPTED = (
    "a mapping of targets to options, or a list of 'TARGET[:OPTIONS]'; options are size=, mode=, uid=, gid=, "
    "ro or rw, exec or noexec, suid or nosuid, dev or nodev, each once"
)


@attrs.frozen
class VolumeMount:
    """A directory or file of the host, or a named volume, at ``target`` inside the container.

    ``source`` is what was given: a path (relative ones are relative to the program's directory),
    or a volume's name where ``named`` is true.
    """

    source: str
    target: str
    read_only: bool = False
    named: bool = False


@attrs.frozen
class TmpfsMount:
    """An empty file system in memory at ``target``; without ``size_bytes`` it is the kernel's half of memory.

    Source: tmpfs(5), mount(8).
    """

    target: str
    size_bytes: int | None = None
    mode: int = 0o1777
    read_only: bool = False
    exec: bool = False
    suid: bool = False
    dev: bool = False
    uid: int = 0
    gid: int = 0

    @property
    def options(self) -> tuple[str, ...]:
        """The mount options, in the form of mount(8)."""
        flags = (("ro", self.read_only, "rw"), ("exec", self.exec, "noexec"),
                 ("suid", self.suid, "nosuid"), ("dev", self.dev, "nodev"))  # fmt: skip
        found = [yes if on else no for yes, on, no in flags]
        found.append(f"mode={self.mode:o}")
        if self.size_bytes is not None:
            found.append(f"size={self.size_bytes}")
        found += [f"{key}={number}" for key, number in (("uid", self.uid), ("gid", self.gid)) if number]
        return tuple(found)


def parse_target(option: str, value: object) -> str:
    """Return the clean absolute path of a mount inside the container."""
    text = parse_path_text(option, value, _TARGET_ACCEPTED)
    path = clean_path(text)
    if text[0] != "/" or ".." in text.split("/") or path in ("/", "/dev", "/proc") or path.startswith("/proc/"):
        raise InvalidSpec(option, value, _TARGET_ACCEPTED)
    return path


def duplicate_target(mounts: Iterable[VolumeMount | TmpfsMount]) -> str | None:
    """Return the first target that two of ``mounts`` share, or None."""
    seen: set[str] = set()
    for mount in mounts:
        if mount.target in seen:
            return mount.target
        seen.add(mount.target)
    return None


def parse_volumes(option: str, value: object) -> tuple[VolumeMount, ...]:
    """Return the volumes in the order given.

    Items of a list are ``SOURCE:TARGET[:ro|rw]``, ``(source, target[, "ro" | "rw"])`` or a `VolumeMount`.
    """
    if isinstance(value, Mapping):
        found = [_volume(option, source, *_target_and_mode(option, target)) for source, target in value.items()]
    else:
        found = [
            _volume(option, *_volume_parts(option, item)) for item in parse_items(option, value, _VOLUMES_ACCEPTED)
        ]
    if duplicate_target(found) is not None:
        raise InvalidSpec(option, value, _TARGET_ACCEPTED)
    return tuple(found)


def _target_and_mode(option: str, value: object) -> tuple[object, object]:
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise InvalidSpec(option, value, _VOLUMES_ACCEPTED)
        return value[0], value[1]
    return value, "rw"


def _volume_parts(option: str, item: object) -> tuple[object, object, object]:
    if isinstance(item, VolumeMount):
        return item.source, item.target, "ro" if item.read_only else "rw"
    parts = item.split(":") if isinstance(item, str) else item
    if not isinstance(parts, (tuple, list)) or len(parts) not in (2, 3):
        raise InvalidSpec(option, item, _VOLUMES_ACCEPTED)
    return parts[0], parts[1], parts[2] if len(parts) == 3 else "rw"


def _volume(option: str, source: object, target: object, mode: object) -> VolumeMount:
    text = parse_path_text(option, source, _SOURCE_ACCEPTED)
    is_path = "/" in text or text in (".", "..")
    if isinstance(source, os.PathLike) and not is_path:
        # Spelled so that its text alone tells it from a volume's name, in records too.
        text, is_path = "./" + text, True
    if not is_path and not is_name(text):
        raise InvalidSpec(option, source, _SOURCE_ACCEPTED)
    if mode not in ("ro", "rw"):
        raise InvalidSpec(option, mode, _VOLUMES_ACCEPTED)
    return VolumeMount(text, parse_target(option, target), mode == "ro", not is_path)


def parse_tmpfs(option: str, value: object) -> tuple[TmpfsMount, ...]:
    """Return the tmpfs mounts in the order given; without options they are noexec, nosuid, nodev, mode 1777."""
    found: list[TmpfsMount] = []
    if isinstance(value, Mapping):
        found = [_tmpfs(option, target, options) for target, options in value.items()]
    else:
        for item in parse_items(option, value, _TMPFS_ACCEPTED):
            if isinstance(item, TmpfsMount):
                found.append(_tmpfs(option, item.target, ",".join(item.options)))
                continue
            target, colon, options = parse_path_text(option, item, _TMPFS_ACCEPTED).partition(":")
            if colon and not options:
                raise InvalidSpec(option, item, _TMPFS_ACCEPTED)
            found.append(_tmpfs(option, target, options))
    if duplicate_target(found) is not None:
        raise InvalidSpec(option, value, _TARGET_ACCEPTED)
    return tuple(found)


_FLAGS = {
    "ro": ("read_only", True), "rw": ("read_only", False),
    "exec": ("exec", True), "noexec": ("exec", False),
    "suid": ("suid", True), "nosuid": ("suid", False),
    "dev": ("dev", True), "nodev": ("dev", False),
}  # fmt: skip


def _tmpfs(option: str, target: object, options: object) -> TmpfsMount:
    if not isinstance(options, str):
        raise InvalidSpec(option, options, _TMPFS_ACCEPTED)
    fields: dict[str, Any] = {}
    for word in options.split(",") if options else ():
        field, setting = _tmpfs_option(option, word)
        if field in fields:
            raise InvalidSpec(option, options, _TMPFS_ACCEPTED)
        fields[field] = setting
    return TmpfsMount(parse_target(option, target), **fields)


def _tmpfs_option(option: str, word: str) -> tuple[str, int | bool]:
    if word in _FLAGS:
        return _FLAGS[word]
    key, _, text = word.partition("=")
    if key == "size":
        return "size_bytes", parse_size(option, text)
    if key in ("uid", "gid"):
        return key, parse_int(option, text, 0, ID_MAX)
    if key == "mode" and re.fullmatch(r"[0-7]{1,5}", text) and int(text, 8) <= 0o7777:
        return "mode", int(text, 8)
    raise InvalidSpec(option, word, _TMPFS_ACCEPTED)

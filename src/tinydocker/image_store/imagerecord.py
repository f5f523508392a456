"""What is remembered of an image, and how its id follows from its content.

Source: OCI image-spec, config.md ("ImageID": the digest of the configuration).
"""

from __future__ import annotations

import hashlib
import json
import platform
from typing import Any

from attrs import asdict, frozen

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@frozen
class ImageRecord:
    """One image, as remembered: its layers lowest first, its OCI image configuration."""

    id: str
    kind: str  # "archive"
    source: str  # what it was first made from
    layers: tuple[str, ...]
    config: dict[str, Any]
    created: float  # seconds since the epoch
    size: int  # bytes of its layers' files
    tags: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()  # every path that led to it

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> ImageRecord:
        """Read a record; raises ValueError where something is missing, unknown or of a wrong type."""
        try:
            values = {name: value for name, value in found.items() if name != "schema"}
            for name in ("layers", "tags", "sources"):
                values[name] = tuple(map(_text, values[name]))
            image = cls(**values)
            _text(image.id), _text(image.source)
        except (TypeError, KeyError) as err:
            raise ValueError(f"not the record of an image: {err}") from err
        return image


def root_filesystem_config(diff_ids: list[str]) -> dict[str, Any]:
    """Return the OCI image configuration of bare layers: the same for the same content."""
    machine = platform.machine()
    return {
        "architecture": _ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }


def image_id(config: dict[str, Any]) -> str:
    """Return the id of the image with this configuration: 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value

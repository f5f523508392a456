"""What an image says about the containers made from it.

Source: https://github.com/opencontainers/image-spec, config.md, object ``config``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from ..errors import ImageCorrupt
from ..spec.pairs import Pairs


@attrs.frozen
class ImageConfig:
    """The part of an image's configuration that a container inherits; empty means that the image does not say."""

    env: Pairs = ()
    cmd: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""
    labels: Pairs = ()
    stop_signal: str = ""
    volumes: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any] | None) -> ImageConfig:
        """Read the object ``config`` of an image; unknown keys are left alone, as the specification asks.

        Raises `ImageCorrupt` where a known key has a value of another type.
        """
        if data is None:
            return cls()
        if not isinstance(data, Mapping):
            raise ImageCorrupt(f"the image's configuration is not an object: {data!r}")
        pairs = (entry.partition("=") for entry in _texts(data, "Env"))
        labels = _object(data, "Labels")
        if not all(isinstance(text, str) for text in labels.values()):
            raise _unexpected("Labels", labels)
        return cls(
            # A name alone sets nothing; of several entries with one name the last counts.
            env=tuple({name: text for name, equals, text in pairs if name and equals}.items()),
            cmd=_texts(data, "Cmd"),
            entrypoint=_texts(data, "Entrypoint"),
            user=_text(data, "User"),
            workdir=_text(data, "WorkingDir"),
            labels=tuple(labels.items()),
            stop_signal=_text(data, "StopSignal"),
            volumes=tuple(_object(data, "Volumes")),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the object ``config`` with the specification's names, without what is empty."""
        found: dict[str, Any] = {
            "User": self.user,
            "Env": [f"{name}={text}" for name, text in self.env],
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.cmd),
            "Volumes": {path: {} for path in self.volumes},
            "WorkingDir": self.workdir,
            "Labels": dict(self.labels),
            "StopSignal": self.stop_signal,
        }
        return {key: value for key, value in found.items() if value}


def _unexpected(key: str, value: object) -> ImageCorrupt:
    return ImageCorrupt(f"the image's configuration has an unexpected {key}: {value!r}")


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or "\0" in value:
        raise _unexpected(key, value)
    return value


def _texts(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = data.get(key)
    if value is None:
        return ()
    if isinstance(value, str):  # early images wrote a single argument without a list
        value = [value]
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) and "\0" not in item for item in value):
        raise _unexpected(key, value)
    return tuple(value)


def _object(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise _unexpected(key, value)
    return dict(value)

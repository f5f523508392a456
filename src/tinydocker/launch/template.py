"""What of a configuration can be carried out before the container is known.

The kernel's own file systems, namespaces, masks and the capabilities' bound are alike for most
containers of a program: a child that has them ready only waits for the rest of its order.
"""

from __future__ import annotations

import json
from typing import Any

_STAGED_ROOTS = ("/proc", "/sys", "/dev")
_LINUX_PARTS = ("namespaces", "devices", "sysctl", "maskedPaths", "readonlyPaths")


def split(config: dict[str, Any]) -> tuple[str, str]:
    """Return the part of an OCI configuration that can be prepared, and the whole, each as JSON text."""
    linux = config.get("linux", {})
    capabilities = config["process"].get("capabilities", {})
    template = {
        "root": config["root"]["path"],
        "mounts": [entry for entry in config.get("mounts", ()) if is_staged(entry)],
        "linux": {part: linux[part] for part in _LINUX_PARTS if part in linux},
        "bounding": capabilities.get("bounding", []),
    }
    rest = {
        **config,
        "mounts": [entry for entry in config.get("mounts", ()) if not is_staged(entry)],
        "linux": {part: value for part, value in linux.items() if part not in _LINUX_PARTS},
    }
    return json.dumps(template, separators=(",", ":")), json.dumps(rest, separators=(",", ":"))


def is_staged(entry: dict[str, Any]) -> bool:
    """Tell whether a mount is a file system of the kernel in one of its usual places."""
    destination: str = entry["destination"]
    inside = any(destination == root or destination.startswith(root + "/") for root in _STAGED_ROOTS)
    return inside and entry.get("type", "bind") != "bind"

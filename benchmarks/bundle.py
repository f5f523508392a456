"""An OCI bundle with the posture that a tinydocker container has by default, for crun and runc.

Written out here rather than taken from tinydocker, so that the peers can be measured without it.

Source: https://github.com/opencontainers/runtime-spec/blob/main/config.md
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "SETGID", "SETUID", "SETFCAP", "SETPCAP"),
    *("NET_BIND_SERVICE", "SYS_CHROOT", "KILL"),
)
MASKED = [
    *(f"/proc/{name}" for name in ("acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "sched_debug")),
    *("/proc/scsi", "/proc/timer_list", "/proc/timer_stats"),
    *("/sys/firmware", "/sys/fs/selinux", "/sys/devices/virtual/powercap"),
]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
CLOSED = ["nosuid", "noexec", "nodev"]
MOUNTS = [
    ("/proc", "proc", "proc", CLOSED),
    ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ("/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
    ("/dev/shm", "tmpfs", "shm", [*CLOSED, "mode=1777", "size=65536k"]),
    ("/dev/mqueue", "mqueue", "mqueue", CLOSED),
    ("/sys", "sysfs", "sysfs", [*CLOSED, "ro"]),
    ("/sys/fs/cgroup", "cgroup", "cgroup", [*CLOSED, "relatime", "ro"]),
]


def process(command: Sequence[str]) -> dict[str, Any]:
    """Return the ``process`` object: root without the dangerous capabilities, no new privileges."""
    capabilities = [f"CAP_{name}" for name in CAPABILITIES]
    return {
        "terminal": False,
        "user": {"uid": 0, "gid": 0},
        "args": list(command),
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"],
        "cwd": "/",
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
        "noNewPrivileges": True,
    }


def config(rootfs: Path, command: Sequence[str]) -> dict[str, Any]:
    """Return the whole of a ``config.json``."""
    return {
        "ociVersion": "1.0.2",
        "process": process(command),
        "root": {"path": str(rootfs), "readonly": True},
        "hostname": "bench",
        "mounts": [dict(zip(("destination", "type", "source", "options"), mount, strict=True)) for mount in MOUNTS],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
        },
    }


def write(path: Path, rootfs: Path, command: Sequence[str]) -> None:
    """Make a bundle directory at *path*."""
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config(rootfs, command)))

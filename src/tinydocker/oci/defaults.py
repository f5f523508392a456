"""What every container gets without asking: capabilities, mounts, devices, masks.

The capabilities are Podman's defaults; the mounts, masks and devices are Docker's.
Source: proc(5), sysfs(5), capabilities(7), Documentation/filesystems/devpts.rst,
Documentation/admin-guide/devices.txt.
"""

from __future__ import annotations

from .config import Device, Mount, Namespace

CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_SETFCAP",
)

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def thermal_throttle_paths(cpus: int) -> tuple[str, ...]:
    """Return the paths that tell about the temperature of the CPUs 0 to ``cpus`` - 1, which are masked too."""
    return tuple(f"/sys/devices/system/cpu/cpu{n}/thermal_throttle" for n in range(cpus))


def mounts(shm_size_bytes: int) -> tuple[Mount, ...]:
    """Return the mounts of every container in the order of their making; /dev/shm has the given size."""
    shm = Mount("/dev/shm", "tmpfs", "shm", ("nosuid", "noexec", "nodev", "mode=1777", f"size={shm_size_bytes}"))
    return (*_MOUNTS_UP_TO_SHM, shm, *_MOUNTS_AFTER_SHM)


_MOUNTS_UP_TO_SHM = (
    Mount("/proc", "proc", "proc", ("nosuid", "noexec", "nodev")),
    Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    Mount("/dev/pts", "devpts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")),
)
_MOUNTS_AFTER_SHM = (
    Mount("/dev/mqueue", "mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
    Mount("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
    Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("ro", "nosuid", "noexec", "nodev")),
)

DEVICES = (
    Device("/dev/null", "c", 1, 3),
    Device("/dev/zero", "c", 1, 5),
    Device("/dev/full", "c", 1, 7),
    Device("/dev/random", "c", 1, 8),
    Device("/dev/urandom", "c", 1, 9),
    Device("/dev/tty", "c", 5, 0),
)

NAMESPACES = tuple(Namespace(kind) for kind in ("pid", "mount", "uts", "ipc", "cgroup"))
NETWORK_NAMESPACE = Namespace("network")

# Ping without CAP_NET_RAW, and low ports without CAP_NET_BIND_SERVICE: both end at the container's network.
NETWORK_SYSCTLS = {
    "net.ipv4.ping_group_range": "0 2147483647",
    "net.ipv4.ip_unprivileged_port_start": "0",
}

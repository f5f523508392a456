"""What a test may need of the host, and how each need is probed.

``unmet(needs, kernel, tool)`` answers with one sentence for each need that this host does not
meet, and raises ``ValueError`` for a need that nobody has defined: a misspelt need must not
silently skip a test. Every probe runs once per process and tries the thing itself where that is
possible without a trace.
"""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

Probe = Callable[[], str]  # returns "" when the need is met, else why it is not

# The kernel's numbers: include/uapi/linux/capability.h
CAPABILITIES = {
    name: number
    for number, name in enumerate(
        (
            "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable "
            "net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot "
            "sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease "
            "audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read "
            "perfmon bpf checkpoint_restore"
        ).split()
    )
}


def unmet(needs: Iterable[str], kernel: tuple[int, int] | None = None, tool: str | tuple[str, ...] = ()) -> list[str]:
    """Return a sentence for each need that is not met, in the order in which they were named."""
    reasons = [f"{need}: {reason}" for need in needs if (reason := probe(need)())]
    if kernel is not None and (running := kernel_version()) < kernel:
        reasons.append(f"kernel {kernel[0]}.{kernel[1]}: this is {running[0]}.{running[1]}")
    tools = (tool,) if isinstance(tool, str) else tool
    reasons.extend(f"tool {name}: not on PATH" for name in tools if shutil.which(name) is None)
    return reasons


def probe(need: str) -> Probe:
    """Return the probe of a need."""
    if need.startswith("cap."):
        name = need.removeprefix("cap.")
        if name not in CAPABILITIES:
            raise ValueError(f"nobody has defined the need {need!r}: there is no such capability")
        return functools.partial(capability, name)
    if need not in PROBES:
        raise ValueError(f"nobody has defined the need {need!r}; known are cap.* and {', '.join(sorted(PROBES))}")
    return PROBES[need]


def kernel_version() -> tuple[int, int]:
    """Return the running kernel's major and minor number."""
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    assert found, platform.release()
    return int(found[1]), int(found[2])


def capability(name: str) -> str:
    """Tell whether this process has a capability in its effective set."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    held = int(found[1], 16) if found else 0
    return "" if held >> CAPABILITIES[name] & 1 else f"this process lacks CAP_{name.upper()}"


def _root() -> str:
    return "" if os.geteuid() == 0 else f"this is user {os.geteuid()}"


def _unprivileged() -> str:
    return "" if os.geteuid() != 0 else "this is root"


@functools.cache
def _overlay() -> str:
    with tempfile.TemporaryDirectory(prefix="overlay-probe-") as folder:
        parts = {name: Path(folder, name) for name in ("lower", "upper", "work", "merged")}
        for part in parts.values():
            part.mkdir()
        options = f"lowerdir={parts['lower']},upperdir={parts['upper']},workdir={parts['work']}"
        mount = ["mount", "-t", "overlay", "overlay", "-o", options, str(parts["merged"])]
        # The mount lives and ends with the namespace of this one command.
        return _try(["unshare", "--mount", "--propagation", "private", "--", *mount])


@functools.cache
def _userns() -> str:
    return _try(["unshare", "--user", "--map-root-user", "--", "true"])


@functools.cache
def _busybox() -> str:
    if not Path("/bin/busybox").exists():
        return "there is no /bin/busybox (Debian's busybox-static)"
    done = subprocess.run(["/bin/busybox", "--list-full"], capture_output=True)
    return "" if b"bin/sh\n" in done.stdout else "/bin/busybox does not list its applets with their paths"


@functools.cache
def _cgroup2() -> str:
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        if " - cgroup2 " in line:
            return ""
    return "no cgroup2 file system is mounted"


@functools.cache
def _xattr() -> str:
    with tempfile.NamedTemporaryFile(prefix="xattr-probe-") as file:
        try:
            os.setxattr(file.name, "user.tinydocker", b"1")
        except OSError as err:
            return f"extended attributes below {tempfile.gettempdir()}: {err.strerror}"
    return ""


def _try(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        return f"{command[0]} is not on PATH"
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8")
    return "" if done.returncode == 0 else (done.stderr.strip() or f"{command[0]} ended with {done.returncode}")


PROBES: dict[str, Probe] = {
    "busybox": _busybox,
    "cgroup2": _cgroup2,
    "overlay": _overlay,
    "root": _root,
    "unprivileged": _unprivileged,
    "userns": _userns,
    "xattr": _xattr,
}

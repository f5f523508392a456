"""What runs between clone and exec: how a container starts, top to bottom.

The supervisor clones itself into new namespaces; the copy carries out an OCI runtime
configuration step by step and becomes the command. What is alike for all containers it does first,
and then it waits for its order: a child that was cloned ahead of need has only the rest to do.

It makes system calls and executes: everything was imported before, and after the root has changed
nothing is looked up in the image without care. What fails is reported as (step, errno, path) on
the report socket, and the process ends.

Source: the OCI runtime specification, config.md and config-linux.md; the order is that of runc's init.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import json
import os
import signal
import struct
from collections.abc import Callable
from typing import NoReturn

from ..linux import capabilities, files, mounts, process
from . import identity, kill, protocol, reaper, rootfs, terminal
from .start import Start

_IFF_UP = 0x1
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOT_EXECUTABLE = (errno.EACCES, errno.ENOEXEC, errno.ETXTBSY, errno.EISDIR, errno.ELOOP, errno.EPERM)
_RESTORED_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)
_FIRST_FREE_FD = 3

Steps = tuple[tuple[str, Callable[[Start], None]], ...]


def run(start: Start, steps: Steps) -> NoReturn:
    """Carry out ``steps`` and become the command; report the first failure and end."""
    step = "begin"
    try:
        for name, act in steps:
            step, start.at = name, ""
            act(start)
    except OSError as err:
        _fail(start, step, err.errno or 0, "")
    except BaseException as err:  # noqa: BLE001 - whatever it is, the program is told and nothing runs
        _fail(start, step, 0, str(err) or type(err).__name__)
    finally:
        os._exit(125)


def _fail(start: Start, step: str, number: int, reason: str) -> None:
    protocol.send(start.report, {"failed": {"step": step, "errno": number, "path": start.at, "reason": reason}})


# -- before the order ----------------------------------------------------------------------------


def leave_supervisor(start: Start) -> None:
    """Close what was the supervisor's, such as the locks of other containers, and end when it ends."""
    kept = [start.report.fileno(), *([start.root["tree"]] if "tree" in start.root else [])]
    start.report.detach()
    for number, fd in enumerate([fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64) for fd in kept], _FIRST_FREE_FD):
        os.dup2(fd, number, inheritable=False)
    process.close_from(_FIRST_FREE_FD + len(kept))
    start.report = _socket.socket(fileno=_FIRST_FREE_FD)
    if "tree" in start.root:
        start.root = {"tree": _FIRST_FREE_FD + 1}
    process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)
    process.new_session_keyring()
    start.null_fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    if os.fstat(start.null_fd).st_rdev != os.makedev(1, 3):
        raise RuntimeError("/dev/null of this host is not the null device")


def set_kernel_values(start: Start) -> None:
    """Bring the loopback up and write the sysctls, all of them the container's own."""
    linux = start.template["linux"]
    if any(namespace["type"] == "network" for namespace in linux["namespaces"]):
        start.at = "lo"
        _loopback_up()
    for name, value in linux.get("sysctl", {}).items():
        start.at = name
        fd = files.open_in_root(start.stage_fd, "proc/sys/" + name.replace(".", "/"), os.O_WRONLY)
        os.write(fd, value.encode())
        os.close(fd)


def _loopback_up() -> None:
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC, 0)
    request = struct.pack("16sH22x", b"lo", 0)
    flags = struct.unpack("16sH22x", fcntl.ioctl(sock.fileno(), _SIOCGIFFLAGS, request))[1]
    fcntl.ioctl(sock.fileno(), _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))
    sock.close()


def bound_capabilities(start: Start) -> None:
    """Give up for good what no command of this container may ever have."""
    kept = start.template["bounding"] if start.template else start.process["capabilities"].get("bounding", ())
    capabilities.drop_bounding(capabilities.mask_of(kept))


def await_order(start: Start) -> None:
    """Say that all is prepared, and wait for the order and its descriptors; without one there is nothing to do."""
    protocol.send(start.report, {"prepared": True})
    message, fds = protocol.receive(start.report)
    if message is None:
        os._exit(0)
    start.order = message
    start.fds = dict(zip(message["fds"], fds, strict=True))
    start.config = json.loads(message["config"])
    start.process = start.config["process"]
    if not message["attached"]:
        process.prctl(process.PR_SET_PDEATHSIG, 0)


# -- the command ---------------------------------------------------------------------------------


def name_host(start: Start) -> None:
    """Give the container its host name."""
    start.at = start.config["hostname"]
    process.set_hostname(start.config["hostname"])


def join(start: Start) -> None:
    """Enter the namespaces of a running container; that of pids was entered by the supervisor.

    A cgroup namespace of its own marks the command and all that it starts, so that they can be
    told from the container's other processes; a process without CAP_SYS_ADMIN cannot shed it.
    """
    process.enter(
        start.fds["container"],
        process.CLONE_NEWNS
        | process.CLONE_NEWUTS
        | process.CLONE_NEWIPC
        | process.CLONE_NEWNET
        | process.CLONE_NEWCGROUP,
    )
    process.unshare(process.CLONE_NEWCGROUP)
    start.mark = kill.mark_of(os.getpid())
    start.root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def find_user(start: Start) -> None:
    """Look the user up in the files of the rootfs."""
    user = start.process.get("user", {})
    start.at = user.get("username") or str(user.get("uid", 0))
    start.who = identity.look_up(start.root_fd, user)


def take_stdio(start: Start) -> None:
    """Put the three streams in place, in a session of their own, and close all else but the report."""
    os.setsid()
    if start.process.get("terminal"):
        size = start.process.get("consoleSize", {})
        master, slave = terminal.open_pair(start.root_fd, size.get("height", 24), size.get("width", 80))
        protocol.send(start.report, {"terminal": True}, [master])
        os.fchown(slave, start.who.uid, -1)
        terminal.make_controlling(slave)
        if start.stage_fd >= 0:  # a start, not an exec: the terminal is the container's console
            console = rootfs.open_target(start.root_fd, "dev/console", directory=False)
            mounts.mount(f"/proc/self/fd/{slave}", mounts.fd_path(console), None, mounts.MS_BIND)
        streams = [slave, slave, slave]
    else:
        streams = [start.fds.get(name, start.null_fd) for name in ("stdin", "stdout", "stderr")]
    # All above 63 first: none of the three may be overwritten before it is used.
    report, verdict, root, *streams = (
        fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64) if fd >= 0 else -1
        for fd in (start.report.fileno(), start.fds.get("verdict", -1), start.root_fd, *streams)
    )
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
    start.report.detach()
    kept = [fd for fd in (report, root, verdict) if fd >= 0]
    for number, fd in enumerate(kept, _FIRST_FREE_FD):
        os.dup2(fd, number, inheritable=False)
    process.close_from(_FIRST_FREE_FD + len(kept))
    start.report = _socket.socket(fileno=_FIRST_FREE_FD)
    start.root_fd = _FIRST_FREE_FD + 1
    start.fds = {"verdict": _FIRST_FREE_FD + 2} if verdict >= 0 else {}


def limit(start: Start) -> None:
    """Set resource limits and the out-of-memory score."""
    identity.limit_resources(start.process.get("rlimits", []), start.nofile)
    score = start.process.get("oomScoreAdj")
    if score is not None:
        fd = files.open_in_root(start.root_fd, "proc/self/oom_score_adj", os.O_WRONLY)
        try:
            os.write(fd, b"%d" % score)
        except PermissionError:
            pass  # lowering it needs CAP_SYS_RESOURCE
        finally:
            os.close(fd)


def become_user(start: Start) -> None:
    """Go to the working directory, made where it is missing, and give up what the user has not."""
    cwd = start.at = start.process.get("cwd", "/")
    directory = rootfs.open_target(start.root_fd, cwd, directory=True)
    start.at = str(start.who.uid)
    identity.assume(start.who, start.process)
    start.at = cwd
    os.fchdir(directory)
    os.close(directory)
    os.umask(start.process.get("user", {}).get("umask", 0o022))
    if not os.getcwd().startswith("/"):  # the kernel says "(unreachable)" outside of the root
        raise RuntimeError("it is not inside of the container")


def execute(start: Start) -> None:
    """Become the command, found on PATH as execvp finds it."""
    arguments = [os.fsencode(a) for a in start.process["args"]]
    environment = {}
    for pair in start.process.get("env", ()):
        key, _, value = os.fsencode(pair).partition(b"=")
        environment[key] = value
    environment.setdefault(b"HOME", os.fsencode(start.who.home))
    name = start.at = start.process["args"][0]
    path = os.fsdecode(environment.get(b"PATH", _DEFAULT_PATH.encode()))
    candidates = [name] if "/" in name else [f"{d or '.'}/{name}" for d in path.split(":")]
    os.close(start.root_fd)
    if start.order["attached"]:
        process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)  # the change of user has cleared it
    if "verdict" in start.fds:
        _leave_reaper(start.fds["verdict"])
    for number in _RESTORED_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    protocol.send(start.report, {"ready": True, "mark": start.mark})
    found: OSError | None = None
    for candidate in candidates:
        try:
            os.execve(os.fsencode(candidate), arguments, environment)
        except OSError as err:
            if err.errno in _NOT_EXECUTABLE and (found is None or found.errno not in _NOT_EXECUTABLE):
                found = err
            elif found is None and os.path.lexists(candidate) and err.errno != errno.ENOTDIR:
                raise RuntimeError("it names an interpreter that does not exist") from err
    if found is None:
        raise FileNotFoundError(errno.ENOENT, "")
    raise found


def _leave_reaper(verdict: int) -> None:
    reaper.block_all()
    pid, _ = process.clone(0)
    if pid:
        reaper.run(pid, verdict)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.close(verdict)


_COMMAND = (
    ("prepare the streams", take_stdio),
    ("limit", limit),
    ("become the user in", become_user),
    ("execute", execute),
)

START = (
    ("leave the supervisor", leave_supervisor),
    ("isolate the mounts", rootfs.isolate_mounts),
    ("stage", rootfs.stage_file_systems),
    ("set", set_kernel_values),
    ("hide", rootfs.hide_paths),
    ("bound the capabilities", bound_capabilities),
    ("mount the root file system on", rootfs.mount_root),
    ("move in", rootfs.take_staged),
    ("change the root", rootfs.change_root),
    ("await the order", await_order),
    ("mount", rootfs.mount_rest),
    ("name the host", name_host),
    ("look up the user", find_user),
    ("protect", rootfs.protect_root),
    *_COMMAND,
)

EXEC = (
    ("leave the supervisor", leave_supervisor),
    ("await the order", await_order),
    ("join the container", join),
    ("bound the capabilities", bound_capabilities),
    ("look up the user", find_user),
    *_COMMAND,
)

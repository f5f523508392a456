"""Each detector of the host differ turns red on a leak of its kind, and only then."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import hostdiff

TOKEN = "td-hostdiff-unit"


@pytest.fixture
def before() -> hostdiff.Picture:
    return hostdiff.picture(TOKEN)


def found(before: hostdiff.Picture, subject: str) -> list[str]:
    return [line for line in hostdiff.difference(before, TOKEN) if line.startswith(f"{subject}: ")]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    yield child
    assert child.stdin is not None
    child.stdin.close()
    child.wait()


def test_nothing_left_is_no_difference(before: hostdiff.Picture) -> None:
    subprocess.run(["true"], check=True)
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    assert hostdiff.difference(before, TOKEN) == []


def test_a_child(before: hostdiff.Picture, sleeper: subprocess.Popen[bytes]) -> None:
    (line,) = found(before, "processes")
    assert f"{sleeper.pid} cat" in line


def test_a_zombie(before: hostdiff.Picture) -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    (line,) = found(before, "processes")
    assert "(zombie)" in line
    child.wait()
    assert found(before, "processes") == []


@contextlib.contextmanager
def orphan(*command: str, env: dict[str, str] | None = None) -> Iterator[int]:
    """Have a shell script start a process that reads our pipe, and end; the orphan ends with the block."""
    reader, writer = os.pipe()
    done = subprocess.run(command, env=env, stdin=reader, stdout=subprocess.PIPE, text=True, check=True)
    pid = int(done.stdout)
    pidfd = os.pidfd_open(pid)
    os.close(reader)
    try:
        yield pid
    finally:
        os.close(writer)
        select.select([pidfd], [], [], 10)
        os.close(pidfd)


READER = "exec 3<&0; {} <&3 >/dev/null & echo $!"


def test_an_orphan_is_found_by_the_token_in_its_environment(before: hostdiff.Picture) -> None:
    environment = {**os.environ, "SOMETHING": f"/x/{TOKEN}/y"}
    with orphan("sh", "-c", READER.format("cat"), env=environment) as pid:
        (line,) = found(before, "processes")
        assert f" {pid} cat" in line


def test_a_killed_process_is_waited_for(before: hostdiff.Picture) -> None:
    with orphan("sh", "-c", READER.format(f'cat - "/{TOKEN}"')) as pid:
        assert len(found(before, "processes")) == 1
        os.kill(pid, signal.SIGKILL)
        assert found(before, "processes") == []


def test_a_descriptor(before: hostdiff.Picture, tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    assert found(before, "open files") == [f"open files: appeared: {fd} -> {tmp_path}"]
    os.close(fd)
    assert found(before, "open files") == []


def test_a_thread(before: hostdiff.Picture) -> None:
    go = threading.Event()
    thread = threading.Thread(target=go.wait, name="left over")
    thread.start()
    (line,) = found(before, "threads")
    assert "left over" in line
    go.set()
    thread.join()
    assert found(before, "threads") == []


def test_a_signal_handler(before: hostdiff.Picture) -> None:
    old = signal.signal(signal.SIGUSR1, lambda *_: None)
    assert len(found(before, "signals")) == 1
    assert any("SigCgt" in line for line in found(before, "this process"))
    signal.signal(signal.SIGUSR1, old)
    assert found(before, "signals") == found(before, "this process") == []


def test_a_wake_up_descriptor(before: hostdiff.Picture) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    assert found(before, "signals") == [f"signals: wake-up descriptor -1 became wake-up descriptor {writer}"]
    signal.set_wakeup_fd(-1)
    os.close(reader)
    os.close(writer)


def test_a_blocked_signal(before: hostdiff.Picture) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    assert any("SigBlk" in line for line in found(before, "this process"))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])


def test_the_umask(before: hostdiff.Picture) -> None:
    old = os.umask(0o7)
    assert found(before, "this process") == [f"this process: Umask {old:04o} became Umask 0007"]
    os.umask(old)


def test_the_working_directory(before: hostdiff.Picture, tmp_path: Path) -> None:
    old = Path.cwd()
    os.chdir(tmp_path)
    assert len(found(before, "this process")) == 1
    os.chdir(old)


def test_a_limit(before: hostdiff.Picture) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (1 if soft == 0 else 0, hard))
    assert len(found(before, "this process")) == 1
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def test_the_environment(before: hostdiff.Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEFT_OVER", "1")
    assert found(before, "environment") == ["environment: appeared: LEFT_OVER='1'"]


def test_shared_memory(before: hostdiff.Picture) -> None:
    left = Path("/dev/shm", f"left-{os.getpid()}")
    left.touch()
    assert found(before, "shared memory") == [f"shared memory: appeared: {left}"]
    left.unlink()


def test_what_appeared_went_and_changed_is_told_apart() -> None:
    old = {"mounts": {"1": "/a ro", "2": "/b"}, "links": {}}
    new = {"mounts": {"1": "/a rw", "3": "/c"}, "links": {"9:veth": "veth"}}
    assert hostdiff.compare(old, new) == [
        "mounts: appeared: /c",
        "mounts: gone: /b",
        "mounts: /a ro became /a rw",
        "links: appeared: veth",
    ]


INSIDE = r"""
import os, subprocess, sys
import hostdiff
before = hostdiff.picture("td-inside")
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(*hostdiff.difference(before, "td-inside"), sep="\n")
"""


def differ_in_own_namespaces(*command: str) -> list[str]:
    """Run a command below a differ that has namespaces of its own; return what it finds left."""
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--ipc", "--propagation", "private", sys.executable, "-c", INSIDE, *command],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.needs("root", "cap.sys_admin")
def test_a_mount(tmp_path: Path) -> None:
    (line,) = differ_in_own_namespaces("mount", "-t", "tmpfs", "left", str(tmp_path))
    assert line.startswith("mounts: appeared: ")
    assert str(tmp_path) in line


@pytest.mark.needs("root", "cap.sys_admin", tool="ipcmk")
def test_a_system_v_object() -> None:
    lines = differ_in_own_namespaces("ipcmk", "--queue")
    assert any(line.startswith("shared memory: appeared: System V msg ") for line in lines)


@pytest.mark.needs("root", "cap.sys_admin", "cap.net_admin")
def test_a_link() -> None:
    siocbraddbr = 0x89A0  # include/uapi/linux/sockios.h
    add_bridge = f"import fcntl, socket; fcntl.ioctl(socket.socket(), {siocbraddbr}, b'left0')"
    lines = differ_in_own_namespaces(sys.executable, "-c", add_bridge)
    assert "links: appeared: left0" in lines


@pytest.mark.needs("root", "cap.sys_admin")
def test_a_namespace_of_a_child(before: hostdiff.Picture) -> None:
    child = subprocess.Popen(["unshare", "--uts", "sh", "-c", "echo; exec cat"], stdin=-1, stdout=-1)
    assert child.stdout is not None and child.stdout.readline() == b"\n"
    (line,) = found(before, "namespaces")
    assert line.startswith("namespaces: appeared: uts:[")
    child.communicate()
    assert found(before, "namespaces") == []


@pytest.mark.needs("root", "cap.sys_admin")
def test_an_orphan_is_found_by_the_mounts_of_its_namespace(before: hostdiff.Picture, tmp_path: Path) -> None:
    # Nothing of the token is in its environment, command, root, directory or files: as in a container.
    hidden = tmp_path / TOKEN
    hidden.mkdir()
    script = 'mount -t tmpfs x "$1"; ' + READER.format("env -i cat")
    with orphan("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", str(hidden)) as pid:
        (line,) = found(before, "processes")
        assert f" {pid} " in line

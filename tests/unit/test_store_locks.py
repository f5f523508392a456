"""Locks: held as long as a descriptor lives anywhere, and probed without being taken."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tinydocker.store import locks


def test_an_exclusive_lock_keeps_others_out_until_it_is_closed(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    assert not locks.is_held(path)
    fd = locks.hold(path)
    assert not os.get_inheritable(fd)
    assert locks.is_held(path)
    for exclusive in (True, False):
        with pytest.raises(BlockingIOError):
            locks.hold(path, exclusive=exclusive)
    os.close(fd)
    assert not locks.is_held(path)


def test_shared_locks_share_and_keep_an_exclusive_one_out(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    one, two = locks.shared(path), locks.shared(path)
    with pytest.raises(BlockingIOError):
        locks.hold(path)
    os.close(one)
    assert locks.is_held(path) and not locks.is_held(two)
    locks.hold(two)
    with pytest.raises(BlockingIOError):
        locks.shared(path)
    locks.release(two)
    assert not locks.is_held(path)
    os.close(two)


def test_probing_takes_nothing_and_disturbs_nobody(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    fd = locks.hold(path)
    for _ in range(3):
        assert locks.is_held(path)
    os.close(os.open(path, os.O_RDWR))  # a classic record lock would be gone now
    assert locks.is_held(path)
    os.close(fd)


def test_a_lock_travels_with_its_descriptor(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    fd = locks.hold(path)
    here, there = socket.socketpair()
    with here, there:
        socket.send_fds(here, [b"x"], [fd])
        os.close(fd)
        assert locks.is_held(path)
        _, (received,), _, _ = socket.recv_fds(there, 1, 1)
    assert locks.is_held(path)
    os.close(received)
    assert not locks.is_held(path)


def test_the_kernel_drops_the_lock_of_a_killed_process(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    program = "import sys; from tinydocker.store import locks; locks.hold(sys.argv[1]); print(1, flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline()
        assert locks.is_held(path)
        holder.kill()
    assert not locks.is_held(path)


def test_who_waits_gets_the_file_that_bears_the_name_now(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = locks.hold(str(path))
    got: list[int] = []
    waiter = threading.Thread(target=lambda: got.append(locks.hold(str(path), wait=True)))
    waiter.start()
    path.unlink()
    os.close(first)
    waiter.join()
    assert os.fstat(got[0]).st_ino == path.stat().st_ino
    os.close(got[0])


def test_a_link_in_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        locks.hold(str(tmp_path / "lock"))
    assert not (tmp_path / "elsewhere").exists()


def test_a_lock_that_can_be_seen_was_held_from_the_first(tmp_path: Path) -> None:
    maker = (
        "import sys; from tinydocker.store import locks\n"
        "held = [locks.hold(f'{sys.argv[1]}/{n}') for n in range(400)]\nprint('made', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", maker, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        made = threading.Thread(target=process.stdout.readline)
        made.start()
        while made.is_alive():
            seen = [name for name in os.listdir(tmp_path) if name.isdigit()]
            assert all(locks.is_held(str(tmp_path / name)) for name in seen[-20:])
        made.join()
        assert sorted(os.listdir(tmp_path), key=int) == [str(number) for number in range(400)]
        process.communicate()


def test_of_many_that_make_one_lock_at_once_exactly_one_holds_it(tmp_path: Path) -> None:
    for number in range(100):
        path = str(tmp_path / str(number))
        held: list[int] = []
        start = threading.Barrier(4)

        def attempt(path: str = path, held: list[int] = held, start: threading.Barrier = start) -> None:
            start.wait()
            try:
                held.append(locks.hold(path))
            except BlockingIOError:
                pass

        threads = [threading.Thread(target=attempt) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(held) == 1 and locks.is_held(path)
        os.close(held[0])

"""The mark by which a command's processes are told from all others."""

from __future__ import annotations

import os
import subprocess
import sys

from tinydocker.launch import kill


def test_the_mark_of_a_process_is_that_of_its_children_and_of_nothing_that_has_ended():
    own = kill.mark_of(os.getpid())
    assert own == os.stat("/proc/self/ns/cgroup").st_ino != 0
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert kill.mark_of(child.pid) == own
        child.communicate(b"\n")
        assert kill.mark_of(child.pid) == 0
    assert kill.mark_of(0) == 0


def test_a_zombie_has_no_mark():
    with subprocess.Popen(["/bin/true"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert os.path.exists(f"/proc/{child.pid}")
        assert kill.mark_of(child.pid) == 0


def test_a_mark_that_nobody_bears_ends_nobody():
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE) as child:
        kill.kill_marked(1)  # no namespace has this number
        assert child.poll() is None
        child.communicate(b"\n")
        assert child.returncode == 0

"""init=True and tty=True: what reaps, what forwards, and what is a terminal."""

from __future__ import annotations

import hashlib
import os
import signal

import pytest

import tinydocker as td

pytestmark = pytest.mark.needs("root", "overlay", "busybox")

PYTHON = pytest.mark.needs(tool="python3")
ORPHANS = """
import os, time
for _ in range(1000):
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.wait()
def states():
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                found.append(open(f"/proc/{name}/stat").read().rsplit(")", 1)[1].split()[0])
            except OSError:
                pass
    return found
while len(states()) > 2:  # the kernel and init are on their way; one that is not reaped is waited for in vain
    os.sched_yield()
print(len(states()), os.getpid(), open("/proc/1/comm").read().strip())
"""


@PYTHON
def test_init_reaps_a_thousand_orphans(engine):
    done = engine.run("host", ["python3", "-c", ORPHANS], init=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 2 init\n", "")


def test_without_init_the_command_is_process_1(engine, busybox_dir):
    assert engine.run(busybox_dir, ["sh", "-c", "echo $$"]).stdout == "1\n"
    assert engine.run(busybox_dir, ["sh", "-c", "echo $$"], init=True).stdout == "2\n"


@pytest.mark.parametrize("code", [0, 1, 77, 255])
def test_init_passes_the_exit_code_on(engine, busybox_dir, code):
    assert engine.run(busybox_dir, ["sh", "-c", f"exit {code}"], init=True).returncode == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGABRT])
def test_init_passes_a_death_by_signal_on(engine, busybox_dir, number):
    with engine.container(busybox_dir, ["sh", "-c", f"kill -{int(number)} $$"], init=True) as container:
        assert container.wait() == -number


def test_init_forwards_signals_to_the_command(engine, busybox_dir):
    script = "trap 'echo hup' HUP; trap 'echo usr1' USR1; trap 'echo term; exit 6' TERM; echo up; while :; do sleep 1000 & wait; done"
    with engine.container(busybox_dir, ["sh", "-c", script], init=True) as container:
        lines = container.logs(follow=True)
        assert next(lines) == "up\n"
        for name, said in (("HUP", "hup\n"), ("USR1", "usr1\n")):
            container.kill(name)
            assert next(lines) == said
        assert container.stop() == 6


def test_with_init_a_command_without_handlers_ends_at_the_stop_signal(engine, busybox_dir):
    with engine.container(busybox_dir, ["sleep", "1000"], init=True, stop_timeout=100_000) as container:
        assert container.stop() == -signal.SIGTERM


def test_the_command_of_an_init_has_no_blocked_or_ignored_signals(engine, busybox_dir):
    script = ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]
    for init in (True, False):
        done = engine.run(busybox_dir, script, init=init)
        # The C library has posix_spawn ignore its own signals, 32 and 33, and takes them back when it needs them.
        assert {int(line.split()[1], 16) & ~0x180000000 for line in done.stdout.splitlines()} == {0}


def test_a_missing_command_is_127_with_init_too(engine, busybox_dir):
    done = engine.run(busybox_dir, ["no-such-command"], init=True)
    assert done.returncode == 127 and "no-such-command" in done.stderr


def test_an_exec_in_a_container_with_init_works(engine, busybox_dir):
    with engine.container(busybox_dir, ["sleep", "1000"], init=True) as container:
        assert container.exec(["sh", "-c", "(setsid true &); exit 4"]).returncode == 4
        assert sorted(process.pid for process in container.top())[:2] == [1, 2]


# -- terminals -----------------------------------------------------------------------------------


def test_a_terminal_is_one_of_its_own_and_controls_a_session_of_its_own(engine, busybox_dir):
    script = "test -t 0 && test -t 1 && test -t 2 && tty; ps -o pid,pgid,sid,tty | awk '$1==1'; echo x > /dev/tty; echo $TERM"
    with engine.container(busybox_dir, ["sh", "-c", script], tty=True) as container:
        assert container.wait() == 0
        lines = container.logs().replace("\r", "").splitlines()
    assert lines[0] in ("/dev/pts/0", "/dev/console")
    assert lines[2:] == ["x", "xterm"]
    assert not os.path.exists("/dev/pts/tinydocker")


def test_the_terminal_is_the_console_of_the_container(engine, busybox_dir):
    script = "test -c /dev/console && echo spoken > /dev/console; stat -c %a /dev/console"
    done = engine.run(busybox_dir, ["sh", "-c", script], tty=True)
    assert done.stdout.splitlines() == ["spoken", "620"]
    assert engine.run(busybox_dir, ["test", "-e", "/dev/console"]).returncode == 1


def test_a_terminal_can_be_resized(engine, busybox_dir):
    script = "trap 'stty size; exit 0' WINCH; stty size; while :; do sleep 1000 & wait; done"
    with engine.container(busybox_dir, ["sh", "-c", script], tty=True) as container:
        lines = container.logs(follow=True)
        assert next(lines).split() == ["24", "80"]
        container.resize(33, 101)
        assert next(lines).split() == ["33", "101"]
        assert container.wait() == 0


def test_what_is_typed_reaches_the_command_and_control_c_interrupts_it(engine, busybox_dir):
    with engine.container(
        busybox_dir,
        ["sh", "-c", "trap 'echo caught; exit 9' INT; read x; echo got $x; while :; do sleep 1000 & wait; done"],
        tty=True,
    ) as container:
        lines = container.logs(follow=True)
        container.stdin.write(b"hello\n")
        assert [next(lines).strip() for _ in range(2)] == ["hello", "got hello"]
        container.stdin.write(b"\x03")
        assert "caught" in "".join(lines)
        assert container.wait() == 9


def test_end_of_input_on_a_terminal_is_control_d(engine, busybox_dir):
    with engine.container(busybox_dir, ["sh", "-c", "stty -echo; echo up; cat; echo done"], tty=True) as container:
        lines = container.logs(follow=True)
        assert next(lines).strip() == "up"
        container.stdin.write(b"one\n\x04")
        assert [line.strip() for line in lines] == ["one", "done"]


def test_the_terminal_of_a_start_process_is_its_stdin_and_stdout(engine, busybox_dir):
    container = engine.container(busybox_dir, ["sh", "-c", "stty -echo raw; echo up; head -c 4; stty size"], tty=True)
    with container, container.popen(["true"]):
        pass
    container = container.with_name(None)
    process = container.start_process()
    with process:
        process.resize(5, 6)
        assert process.stdout.readline() == b"up\n"
        process.stdin.write(b"\x03\x04\0\xff")
        process.stdin.flush()
        assert process.stdout.read(4) == b"\x03\x04\0\xff"
        assert process.stdout.readline().split() == [b"5", b"6"]
        assert process.wait() == 0
    container.close()


def test_a_terminal_belongs_to_the_user(engine, busybox_dir):
    done = engine.run(busybox_dir, ["sh", "-c", "stat -c %u $(tty); echo ok > $(tty)"], tty=True, user="app")
    assert done.stdout.splitlines() == ["1000", "ok"]


def test_an_exec_has_a_terminal_of_its_own(engine, busybox_dir):
    with engine.container(busybox_dir, ["sleep", "1000"]) as container:
        done = container.exec(["sh", "-c", "test -t 0 && test -t 2 && tty && stty size; echo $TERM"], tty=True)
        assert done.stdout.splitlines() == ["/dev/pts/0", "24 80", "xterm"]
        process = container.popen(["sh", "-c", "read x; echo got $x; exit 3"], tty=True, text=True)
        process.stdin.write("word\n")
        process.stdin.flush()
        assert [process.stdout.readline().strip() for _ in range(2)] == ["word", "got word"]
        assert process.wait() == 3
        process.close()
        assert container.exec(["sh", "-c", "test -t 0"]).returncode == 1


def test_a_mebibyte_through_a_raw_terminal_arrives_byte_for_byte(engine, busybox_dir):
    data = bytes(range(256)) * 4096
    with engine.container(busybox_dir, ["sleep", "1000"]) as container:
        process = container.popen(
            ["sh", "-c", "stty raw -echo; echo up; head -c 1048576 | md5sum; exec cat /etc/group"], tty=True, text=False
        )
        assert process.stdout.readline().strip() == b"up"
        process.stdin.write(data)
        process.stdin.flush()
        assert process.stdout.readline().split()[0].decode() == hashlib.md5(data).hexdigest()
        process.close()


def test_detached_and_typing_do_not_go_together(busybox_dir):
    with pytest.raises(td.InvalidSpec, match="stdin"):
        td.Container(busybox_dir, ["cat"], stdin=True, detach=True)

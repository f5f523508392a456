"""The tests' own terminal: what it types arrives, what is written comes back, nothing is kept."""

from __future__ import annotations

import os
import sys
import termios

import pytest

from terminal import CTRL_C, CTRL_D, Terminal

SHELL = ["sh", "-c"]


def test_a_conversation() -> None:
    with Terminal([*SHELL, 'printf "name? "; read name; echo "hello $name"']) as terminal:
        terminal.expect(b"name? ")
        terminal.send(b"world\r")
        assert terminal.expect(b"hello world\r\n").endswith(b"hello world\r\n")
        assert terminal.wait() == 0


def test_the_program_leads_a_session_on_that_terminal() -> None:
    with Terminal([*SHELL, ": </dev/tty && tty; test -t 0 -a -t 1 -a -t 2 && echo all three"]) as terminal:
        terminal.expect(b"/dev/pts/")
        terminal.expect(b"all three")
        assert os.getsid(terminal.pid) == terminal.pid
        assert terminal.wait() == 0


def test_ctrl_c_interrupts() -> None:
    with Terminal([*SHELL, "trap 'echo caught; exit 7' INT; echo ready; while :; do read line; done"]) as terminal:
        terminal.expect(b"ready")
        terminal.send(CTRL_C)
        terminal.expect(b"caught")
        assert terminal.wait() == 7


def test_ctrl_d_ends_the_input() -> None:
    with Terminal(["cat"]) as terminal:
        terminal.send(b"line\r" + CTRL_D)
        assert terminal.wait() == 0
        assert terminal.transcript.startswith(b"line\r\nline\r\n")


def test_the_size_and_its_change() -> None:
    script = "trap 'stty size' WINCH; stty size; while read line; do :; done"
    with Terminal([*SHELL, script], rows=10, columns=20) as terminal:
        terminal.expect(b"10 20")
        terminal.resize(33, 44)
        terminal.send(b"\r")  # a shell runs its trap once the read that it interrupted is over
        terminal.expect(b"33 44")


def test_attributes_show_raw_mode() -> None:
    with Terminal([*SHELL, "stty -echo; echo done; cat"]) as terminal:
        terminal.expect(b"done")
        flags = terminal.attributes()[3]
        assert isinstance(flags, int)
        assert not flags & termios.ECHO


def test_much_in_and_much_out() -> None:
    count = 300_000
    copy = f"import sys; sys.stdout.buffer.write(sys.stdin.buffer.read({count}))"
    with Terminal([*SHELL, 'stty raw -echo; printf go; exec "$0" -c "$1"', sys.executable, copy]) as terminal:
        terminal.expect(b"go")
        terminal.send(b"0123456789" * (count // 10))
        assert terminal.wait() == 0
        assert terminal.transcript == b"go" + b"0123456789" * (count // 10)


def test_an_early_end_names_what_was_waited_for() -> None:
    with Terminal(["echo", "something else"]) as terminal, pytest.raises(AssertionError, match="something else"):
        terminal.expect(b"never")


def test_silence_is_an_error() -> None:
    with Terminal(["cat"]) as terminal, pytest.raises(AssertionError, match="no b'never' within"):
        terminal.expect(b"never", timeout=0.05)


def test_leaving_the_block_kills_the_program_and_keeps_no_descriptor() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with Terminal(["cat"]) as terminal:
        pid = terminal.pid
    assert not os.path.exists(f"/proc/{pid}")
    assert sorted(os.listdir("/proc/self/fd")) == before

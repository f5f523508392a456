"""A person at a terminal: a shell in the container, its size, its keys, and the terminal given back."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import supervisors
from commandline import CommandLine
from engineroots import Roots
from terminal import CTRL_C, CTRL_D, Terminal

pytestmark = pytest.mark.needs("root")


@pytest.fixture(autouse=True)
def supervisors_have_left(roots: Roots) -> Iterator[None]:
    """Wait for those that have watched detached containers: they leave a moment after the last one's end."""
    yield
    supervisors.await_end(roots.token)


def test_a_shell_in_the_container(cli: CommandLine, busybox_dir: Path) -> None:
    with cli.terminal("run", "--rm", "-it", busybox_dir, "sh", rows=33, columns=99) as terminal:
        terminal.expect(b"# ")
        terminal.send(b"stty size; tty\r")
        terminal.expect(b"33 99\r\n/dev/")
        terminal.send(b"exit 7\r")
        assert terminal.wait() == 7


def test_a_new_size_reaches_the_command_at_once(cli: CommandLine, busybox_dir: Path) -> None:
    look = 'now=$(stty size); echo "$now"; [ "$now" != "44 111" ] || exit 7'
    script = f"trap '{look}' WINCH; {look}; while :; do sleep 1000 & wait $!; done"
    with cli.terminal("run", "--rm", "-t", busybox_dir, "sh", "-c", script, rows=33, columns=99) as terminal:
        terminal.expect(b"33 99")
        terminal.resize(44, 111)
        terminal.expect(b"44 111")
        assert terminal.wait() == 7


def test_ctrl_d_ends_the_shell_and_the_terminal_is_as_it_was(cli: CommandLine, busybox_dir: Path) -> None:
    with cli.terminal("run", "--rm", "-t", busybox_dir, "sh") as terminal:
        before = terminal.attributes()
        terminal.expect(b"# ")
        assert terminal.attributes() != before
        terminal.send(CTRL_D)
        assert terminal.wait() == 0
        assert terminal.attributes() == before


def test_ctrl_c_reaches_the_command_in_the_container_and_not_the_command_line(
    cli: CommandLine, busybox_dir: Path
) -> None:
    with cli.terminal("run", "--rm", "-it", busybox_dir, "sh") as terminal:
        terminal.expect(b"# ")
        terminal.send(b"sh -c 'echo wait\"\"ing; exec sleep 1000'\r")
        terminal.expect(b"waiting\r\n")
        terminal.send(CTRL_C)
        terminal.expect(b"# ")
        terminal.send(b"echo code $?; exit 3\r")
        terminal.expect(b"code 130")
        assert terminal.wait() == 3


def test_a_mebibyte_pasted_arrives_whole(cli: CommandLine, busybox_dir: Path) -> None:
    pasted = b"0123456789abcdef" * (1 << 16)
    script = "stty raw -echo; echo ready; head -c 1048576 | md5sum; stty sane"
    with cli.terminal("run", "--rm", "-it", busybox_dir, "sh", "-c", script) as terminal:
        terminal.expect(b"ready")
        terminal.send(pasted)
        terminal.expect(hashlib.md5(pasted, usedforsecurity=False).hexdigest().encode(), timeout=30)
        assert terminal.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_terminal_is_given_back_when_a_signal_ends_the_command_line(
    cli: CommandLine, busybox_dir: Path, number: signal.Signals
) -> None:
    with cli.terminal("run", "--rm", "-it", busybox_dir, "sh") as terminal:
        before = terminal.attributes()
        terminal.expect(b"# ")
        os.kill(terminal.pid, number)
        assert terminal.wait() == 128 + number
        assert terminal.attributes() == before
    assert cli("ps", "-aq").stdout == ""


def test_the_terminal_is_given_back_when_the_command_is_missing(cli: CommandLine, busybox_dir: Path) -> None:
    with cli.terminal("run", "--rm", "-it", busybox_dir, "nope") as terminal:
        before = terminal.attributes()
        terminal.expect(b"tinydocker: nope: command not found\r\n")
        assert terminal.wait() == 127
        assert terminal.attributes() == before


def test_without_t_ctrl_c_is_a_signal_and_ctrl_d_the_end_of_input(cli: CommandLine, busybox_dir: Path) -> None:
    script = "trap 'echo caught' INT; echo ready; cat; echo rest; cat; exit 3"
    with cli.terminal("run", "--rm", busybox_dir, "sh", "-c", script) as terminal:
        terminal.expect(b"ready")
        terminal.send(b"line\r")
        terminal.expect(b"line\r\nline\r\n")
        terminal.send(CTRL_D)
        terminal.expect(b"rest")
        assert terminal.wait() == 3


def test_ctrl_c_without_a_terminal_for_the_command(cli: CommandLine, busybox_dir: Path) -> None:
    script = "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 1000 & wait $!; done"
    with cli.terminal("run", "--rm", busybox_dir, "sh", "-c", script) as terminal:
        terminal.expect(b"ready")
        terminal.send(CTRL_C)
        terminal.expect(b"caught")
        assert terminal.wait() == 5


def test_exec_in_a_terminal(cli: CommandLine, busybox_dir: Path) -> None:
    cli("run", "-d", "-n", "web", busybox_dir, "sleep", "1000", check=True)
    with cli.terminal("exec", "-it", "web", "sh", rows=31, columns=91) as terminal:
        terminal.expect(b"# ")
        terminal.send(b"stty size; hostname > /tmp/here; exit 4\r")
        terminal.expect(b"31 91")
        assert terminal.wait() == 4
    cli("rm", "-f", "web", check=True)


def test_a_detached_container_may_have_a_terminal(cli: CommandLine, busybox_dir: Path) -> None:
    cli("run", "-dt", "-n", "web", busybox_dir, "sh", "-c", "test -t 1 && echo a terminal", check=True)
    assert cli("wait", "web").stdout == "0\n"
    assert cli("logs", "web").stdout.replace("\r", "") == "a terminal\n"
    cli("rm", "web", check=True)


def test_what_was_typed_in_the_background_is_left_to_the_shell(cli: CommandLine, busybox_dir: Path) -> None:
    line = " ".join(cli.command("run", "--rm", busybox_dir, "sh", "-c", "'echo begun; cat; echo over'"))
    with Terminal(["bash", "--norc", "-i"], env={**cli.environment, "PS1": "$ "}) as terminal:
        terminal.expect(b"$ ")
        terminal.send(f"{line} &\r".encode())
        terminal.expect(b"begun\r\n")
        terminal.send(b"echo for''the shell\r")
        terminal.expect(b"forthe shell\r\n")
        terminal.expect(b"$ ")
        terminal.send(b"fg\r")
        terminal.expect(b"echo over'")
        terminal.send(b"hello\r")
        terminal.expect(b"hello\r\nhello\r\n")
        terminal.send(CTRL_D)
        terminal.expect(b"over")
        terminal.send(b"exit\r")
        assert terminal.wait() == 0


def test_prune_asks_at_a_terminal(cli: CommandLine, busybox_dir: Path) -> None:
    cli("run", "-n", "web", busybox_dir, "true", check=True)
    with cli.terminal("prune") as terminal:
        terminal.expect(b"container web")
        terminal.expect(b"[y/N] ")
        terminal.send(b"\r")
        assert terminal.wait() == 0
    assert "web" in cli("ps", "-a").stdout
    with cli.terminal("prune") as terminal:
        terminal.expect(b"[y/N] ")
        terminal.send(b"y\r")
        assert terminal.wait() == 0
    assert cli("ps", "-aq").stdout == ""

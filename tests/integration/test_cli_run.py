"""``tinydocker run`` and ``exec``: streams, exit codes, and what is refused."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import supervisors
from commandline import CommandLine
from engineroots import Roots

pytestmark = pytest.mark.needs("root")


@pytest.fixture(autouse=True)
def supervisors_have_left(roots: Roots) -> Iterator[None]:
    """Wait for those that have watched detached containers: they leave a moment after the last one's end."""
    yield
    supervisors.await_end(roots.token)


def started(
    cli: CommandLine, *arguments: str | os.PathLike[str], stdin: int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    """Start a command line with pipes to all of its streams."""
    return subprocess.Popen(
        cli.command(*arguments), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=cli.environment
    )


def ended(pidfd: int) -> None:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(10_000), "the process lives on"
    os.close(pidfd)


@pytest.mark.leaves("images")
def test_the_seeds_example_line(cli: CommandLine, busybox: Path, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "var").mkdir()
    (tmp_path / "etc" / "secret").write_text("known\n", encoding="utf-8")
    line = (
        f"run -i -v {tmp_path}/etc:/ro_dir:ro -v {tmp_path}/var:/rw_dir -e a=aval -e b=bval -n test_container "
        "busybox.tar.xz /bin/sh"
    )
    typed = "echo $a $b; cat /ro_dir/secret; echo x > /ro_dir/new; echo y > /rw_dir/new; exit 3\n"
    done = cli(*line.split(), input=typed, cwd=busybox.parent)
    assert done.returncode == 3
    assert done.stdout == "aval bval\nknown\n"
    assert "Read-only file system" in done.stderr
    assert (tmp_path / "var" / "new").read_text(encoding="utf-8") == "y\n"
    assert not (tmp_path / "etc" / "new").exists()
    assert cli("ps").stdout.splitlines()[1:] == []
    assert "Exited (3)" in cli("ps", "-a").stdout
    assert cli("logs", "test_container").stdout == "aval bval\nknown\n"
    assert cli("rm", "test_container").stdout == "test_container\n"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("exit 0", 0),
        ("exit 42", 42),
        ("exit 125", 125),
        ("sleep 100 & kill -9 $!; wait $!", 137),
    ],
)
def test_the_exit_code_is_the_commands(cli: CommandLine, busybox_dir: Path, command: str, code: int) -> None:
    assert cli("run", "--rm", busybox_dir, "sh", "-c", command).returncode == code


def test_a_death_by_signal_is_128_and_its_number(cli: CommandLine, busybox_dir: Path) -> None:
    done = cli("run", "--rm", "--init", busybox_dir, "sh", "-c", "kill -TERM $$")
    assert done.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("nope", 127, "tinydocker: nope: command not found\n"),
        ("/etc/passwd", 126, "tinydocker: /etc/passwd: cannot be executed: Permission denied\n"),
    ],
)
def test_what_cannot_be_executed(cli: CommandLine, busybox_dir: Path, command: str, code: int, said: str) -> None:
    done = cli("run", busybox_dir, command)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", said)
    assert cli("ps", "-aq").stdout == ""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("run -d -i host true", "-d and -i exclude each other"),
        ("run -t host true", "the input device is not a TTY"),
        ("run --nope host true", "unknown option --nope"),
        ("run -n ../x host true", "name='../x' is not accepted"),
        ("run -m 64m host true", "memory='64m': a limit on memory is not in this version"),
        ("run -p 88:8888 host true", "is not in this version"),
        ("run -v /nowhere/at/all:/x host true", "/nowhere/at/all"),
        ("run nowhere.tar true", "nowhere.tar"),
        ("run", "expected IMAGE"),
        ("exec nobody true", "there is no container 'nobody'"),
        ("stats", "stats is not in this version"),
    ],
)
def test_what_is_refused_is_one_line_and_125(cli: CommandLine, line: str, said: str) -> None:
    done = cli(*line.split())
    assert done.returncode == 125
    assert done.stdout == ""
    assert done.stderr.startswith("tinydocker: ") and done.stderr.count("\n") == 1
    assert said in done.stderr
    assert cli("ps", "-aq").stdout == ""


# The program may lie where only root can read it, so all of it is loaded before the user changes.
AS_NOBODY = """
import importlib, os, pkgutil, sys
import tinydocker
for module in pkgutil.walk_packages(tinydocker.__path__, "tinydocker."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
sys.exit(importlib.import_module("tinydocker.cli").main(["run", "host", "true"]))
"""


def test_an_ordinary_user_is_told_what_is_needed(cli: CommandLine) -> None:
    done = subprocess.run([sys.executable, "-c", AS_NOBODY], capture_output=True, text=True, env=cli.environment)
    assert done.stderr == "tinydocker: containers need root in this version: run the program as root, or with sudo\n"
    assert done.returncode == 125


def test_a_mebibyte_of_anything_passes_unchanged(cli: CommandLine, busybox_dir: Path) -> None:
    data = os.urandom(1 << 20)
    done = subprocess.run(
        cli.command("run", "--rm", busybox_dir, "cat"), input=data, capture_output=True, env=cli.environment
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == data


def test_a_file_as_input_and_output(cli: CommandLine, busybox_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(os.urandom(300_000))
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as target:
        command = cli.command("run", "--rm", busybox_dir, "cat")
        subprocess.run(command, stdin=source, stdout=target, env=cli.environment, check=True)
    assert (tmp_path / "in").read_bytes() == (tmp_path / "out").read_bytes()


def test_the_streams_stay_apart_and_a_prompt_comes_at_once(cli: CommandLine, busybox_dir: Path) -> None:
    talk = 'printf "name? "; read name; echo "hello $name"; echo problem >&2; cat; echo end'
    with started(cli, "run", "--rm", busybox_dir, "sh", "-c", talk) as process:
        assert process.stdin and process.stdout and process.stderr
        assert process.stdout.read(6) == b"name? "
        process.stdin.write(b"world\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"hello world\n"
        assert process.stderr.readline() == b"problem\n"
        process.stdin.close()
        assert process.stdout.read() == b"end\n"
        assert process.wait() == 0


def test_a_reader_that_has_gone_ends_it_politely(cli: CommandLine, busybox_dir: Path) -> None:
    with started(cli, "run", "--rm", busybox_dir, "yes") as process:
        assert process.stdout and process.stderr
        assert process.stdout.read(4) == b"y\ny\n"
        process.stdout.close()
        process.wait()
        assert b"Traceback" not in process.stderr.read()


def test_standard_streams_may_be_closed(cli: CommandLine, busybox_dir: Path) -> None:
    line = " ".join(cli.command("run", "--rm", busybox_dir, "sh", "-c", "'cat; echo said >&2'"))
    done = subprocess.run(["sh", "-c", f"{line} <&- >&-"], capture_output=True, text=True, env=cli.environment)
    assert (done.returncode, done.stderr) == (0, "said\n")


@pytest.mark.parametrize(("name", "code"), [("INT", 9), ("TERM", 9), ("HUP", 9), ("QUIT", 9), ("USR1", 9), ("USR2", 9)])
def test_signals_are_passed_on(cli: CommandLine, busybox_dir: Path, name: str, code: int) -> None:
    script = f"trap 'echo {name}; exit {code}' {name}; echo ready; while :; do read line; done"
    with started(cli, "run", "--rm", busybox_dir, "sh", "-c", script) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(getattr(signal, f"SIG{name}"))
        process.communicate(b"\n")
        assert process.returncode == code


def test_a_signal_that_was_ignored_stays_ignored(cli: CommandLine, busybox_dir: Path) -> None:
    script = "trap 'exit 9' HUP; echo ready; read line; exit 4"
    command = cli.command("run", "--rm", busybox_dir, "sh", "-c", script)
    with subprocess.Popen(
        ["nohup", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=cli.environment,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGHUP)
        process.communicate(b"\n")
        assert process.returncode == 4


@pytest.mark.parametrize("flags", [["--rm"], []])
def test_a_killed_command_line_takes_its_container_along(cli: CommandLine, busybox_dir: Path, flags: list[str]) -> None:
    line = ["run", *flags, "-n", "web", busybox_dir, "sh", "-c", "echo ready; exec sleep 1000"]
    with started(cli, *line) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        (row,) = json.loads(cli("top", "--json", "web").stdout)
        container = os.pidfd_open(row["host_pid"])
        supervisor = os.pidfd_open(row["host_ppid"])
        process.kill()
        ended(container)
        ended(supervisor)
    expected = "" if flags else "Exited (137)"
    assert expected in cli("ps", "-a").stdout
    assert cli("rm", "web").returncode == (1 if flags else 0)


def test_detached(cli: CommandLine, busybox_dir: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    script = "echo one; cat /go; echo two >&2; exit 5"
    done = cli("run", "-dn", "job", "-v", f"{tmp_path}/go:/go", busybox_dir, "sh", "-c", script)
    assert (done.returncode, done.stderr) == (0, "")
    assert cli("ps", "-q").stdout == done.stdout
    with started(cli, "logs", "-f", "job") as follower:
        assert follower.stdout and follower.stderr
        assert follower.stdout.readline() == b"one\n"
        (tmp_path / "go").write_text("go\n", encoding="utf-8")
        assert follower.stdout.read() == b"go\n"
        assert follower.stderr.read() == b"two\n"
        assert follower.wait() == 0
    assert cli("wait", "job").stdout == "5\n"
    assert cli("rm", "job", check=True)


def test_a_follower_of_a_foreground_container_sees_its_last_words(cli: CommandLine, busybox_dir: Path) -> None:
    with started(
        cli, "run", "-n", "web", busybox_dir, "sh", "-c", "echo one; read x; echo two; printf three"
    ) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == b"one\n"
        with started(cli, "logs", "-f", "web") as follower:
            assert follower.stdout
            assert follower.stdout.readline() == b"one\n"
            process.communicate(b"\n")
            assert follower.stdout.read() == b"two\nthree"
            assert follower.wait() == 0
    assert cli("rm", "web", check=True)


def test_exec(cli: CommandLine, busybox_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOO", "from the caller")
    cli("run", "-d", "-n", "web", "-e", "A=1", busybox_dir, "sleep", "1000", check=True)
    line = ("exec", "-e", "FOO", "-e", "NO_SUCH_VARIABLE", "-w", "/tmp", "-u", "1000:1000", "web")
    done = cli(*line, "sh", "-c", 'echo "$A|$FOO|${NO_SUCH_VARIABLE-unset}|$PWD|$(id -u)"; exit 6')
    assert (done.stdout, done.returncode) == ("1|from the caller|unset|/tmp|1000\n", 6)
    assert cli("exec", "web", "cat", input="not passed on").stdout == ""
    assert cli("exec", "-i", "web", "cat", input="passed on").stdout == "passed on"
    assert cli("exec", "web", "nope").returncode == 127
    assert cli("exec", "web", "/etc/passwd").returncode == 126
    assert cli("exec", "-d", "web", "sh", "-c", "echo done > /tmp/mark; exec sleep 1000").stdout == ""
    assert "sleep 1000" in cli("top", "web").stdout
    # What is left in the background does not keep the command line waiting.
    assert cli("exec", "web", "sh", "-c", "sleep 1000 & echo left").stdout == "left\n"
    assert cli("stop", "-t", "0", "web").stdout == "web\n"
    done = cli("exec", "web", "true")
    assert done.returncode == 125
    assert "does not run" in done.stderr
    cli("rm", "web", check=True)


def test_python_m_is_the_same_program(cli: CommandLine) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tinydocker", "run", "--rm", "host", "echo", "hi"],
        capture_output=True,
        text=True,
        env=cli.environment,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "hi\n", "")

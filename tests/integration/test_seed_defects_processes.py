"""The defects of the seed program that concern processes, each by its number: none of them is back.

2 exec in what has ended, 3 set-up that fails, 4 descriptors, 5 privileges and environment,
11 exit codes, 12 Ctrl-C, 13 stop, 15 the command's look-up and the reaper.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

import supervisors
import tinydocker as td
from commandline import CommandLine
from programs import Awaited
from terminal import CTRL_C

pytestmark = pytest.mark.needs("root", "overlay", "busybox")

FOREVER = ["sleep", "1000"]
UP = ["sh", "-c", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 1000 & wait; done"]
DEAF = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1000; done"]


@pytest.fixture(autouse=True)
def supervisors_have_left(roots):
    yield
    supervisors.await_end(roots.token)


def detached(cli: CommandLine, image: Path, command: list[str], name: str, *options: str) -> None:
    """Start a container in the background that says ``up``, and wait for that."""
    cli("run", "-d", "-n", name, *options, image, *command, check=True)
    with subprocess.Popen(cli.command("logs", "-f", name), stdout=subprocess.PIPE, env=cli.environment) as follower:
        assert follower.stdout is not None and follower.stdout.readline() == b"up\n"
        follower.kill()


def init_of(cli: CommandLine, name: str) -> Awaited:
    return Awaited(json.loads(cli("inspect", name, check=True).stdout)[0]["state"]["pid"])


# -- 2 -------------------------------------------------------------------------------------------


def test_defect_02_exec_in_what_has_ended_is_an_error_and_runs_nowhere(cli: CommandLine, engine, busybox_dir, tmp_path):
    mark = tmp_path / "mark"
    ended = engine.container(busybox_dir, ["true"], name="ended", auto_remove=False).start()
    ended.wait()
    created = engine.container(busybox_dir, ["true"], name="created", auto_remove=False).create()
    for container in (ended, created):
        with pytest.raises(td.ContainerNotRunning):
            container.exec(["touch", str(mark)])
        with pytest.raises(td.ContainerNotRunning):
            container.popen(["touch", str(mark)])
    for name in ("ended", "created", "nobody"):
        done = cli("exec", name, "touch", mark)
        assert done.returncode == 125 and name in done.stderr
    assert not mark.exists()
    ended.remove()
    created.remove()


def test_defect_02_exec_beside_the_end_of_a_container_is_in_it_or_an_error(engine, busybox_dir, tmp_path):
    mark = tmp_path / "mark"
    outcomes = set()
    for _ in range(40):
        with engine.container(busybox_dir, ["true"]) as container:
            try:
                done = container.exec(["sh", "-c", f"echo $$ > {mark}; test -e /etc/passwd && hostname"])
                outcomes.add(done.returncode)
                assert done.returncode in (0, -signal.SIGKILL)
                assert done.stdout in ("", f"{container.id}\n")
            except (td.ContainerNotRunning, td.StartFailed):
                outcomes.add("refused")
    assert outcomes and not mark.exists()


# -- 3 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"user": "nobody-of-that-name"},
        {"workdir": "/etc/passwd/below"},
        {"sysctls": {"kernel.no_such_setting": "1"}},
        {"volumes": {"/etc": "/etc/passwd/below"}},
        {"tmpfs": {"/t": "size=1m,no_such_option=1"}},
        {"volumes": {"/nowhere/at/all": "/x"}},
    ],
    ids=["user", "workdir", "sysctl", "volume", "tmpfs", "source"],
)
def test_defect_03_when_a_step_fails_nothing_runs_and_no_record_is_left(engine, busybox_dir, tmp_path, roots, options):
    (tmp_path / "out").mkdir()
    volumes = {**options.pop("volumes", {}), tmp_path / "out": "/out"}
    for kept in ({}, {"auto_remove": False}, {"detach": True}):
        with pytest.raises((td.StartFailed, td.InvalidSpec)) as caught:
            engine.container(busybox_dir, ["touch", "/out/ran"], name="web", volumes=volumes, **kept, **options).start()
        assert str(caught.value)
        assert os.listdir(tmp_path / "out") == []
        with pytest.raises(td.ContainerNotFound):
            engine.get("web")
        assert os.listdir(roots.root / "containers") == []
    assert engine.run(busybox_dir, ["true"], name="web").returncode == 0, "it can be run again"


# -- 4 -------------------------------------------------------------------------------------------


def test_defect_04_only_three_descriptors_arrive(cli: CommandLine, engine, busybox_dir):
    script = ["sh", "-c", "exec /bin/ls /proc/self/fd"]  # ls has opened the directory itself: one more
    reading, writing = os.pipe()
    os.set_inheritable(reading, True)
    try:
        assert engine.run(busybox_dir, script).stdout.split() == ["0", "1", "2", "3"]
        with engine.container(busybox_dir, FOREVER, init=True) as container, engine.container(busybox_dir, FOREVER):
            assert container.exec(script).stdout.split() == ["0", "1", "2", "3"]
            assert set(container.exec(["ls", "/proc/1/fd"]).stdout.split()) <= {"0", "1", "2"}
        line = cli.command("run", "--rm", busybox_dir, *script)
        done = subprocess.run(
            line, capture_output=True, text=True, env=cli.environment, pass_fds=[reading], stdin=subprocess.DEVNULL
        )
        assert done.stdout.split() == ["0", "1", "2", "3"]
    finally:
        os.close(reading)
        os.close(writing)


# -- 5 -------------------------------------------------------------------------------------------

STATUS = "grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs)' /proc/self/status"
DEFAULT_CAPABILITIES = "00000000800405fb"


def test_defect_05_neither_all_capabilities_nor_new_privileges(engine, busybox_dir):
    with engine.container(busybox_dir, FOREVER) as container:
        for said in (engine.run(busybox_dir, ["sh", "-c", STATUS]).stdout, container.exec(["sh", "-c", STATUS]).stdout):
            found = dict(re.findall(r"^(\w+):\s*(\w+)$", said, re.MULTILINE))
            assert {found[name] for name in ("CapPrm", "CapEff", "CapBnd")} == {DEFAULT_CAPABILITIES}
            assert int(found["CapInh"], 16) == int(found["CapAmb"], 16) == 0
            assert found["NoNewPrivs"] == "1"


def test_defect_05_the_hosts_environment_stays_outside(cli: CommandLine, engine, busybox_dir, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")
    with engine.container(busybox_dir, FOREVER) as container:
        for said in (
            engine.run(busybox_dir, ["env"]).stdout,
            container.exec(["env"]).stdout,
            container.exec(["sh", "-c", "tr '\\0' '\\n' < /proc/1/environ"]).stdout,
            cli("run", "--rm", busybox_dir, "env").stdout,
        ):
            assert {line.split("=")[0] for line in said.splitlines()} <= {
                "PATH",
                "HOME",
                "HOSTNAME",
                "PWD",
                "SHLVL",
                "TERM",
                "_",
            }


def test_defect_05_the_callers_terminal_is_not_shared(cli: CommandLine, busybox_dir):
    script = "stat -L -c 'device %d' /proc/self/fd/0; ls /dev/pts; echo end; read x"
    with cli.terminal("run", "--rm", "-it", busybox_dir, "sh", "-c", script) as terminal:
        seen = terminal.expect(b"end\r\n").decode().split()
        assert int(seen[1]) != os.stat(os.ttyname(terminal._slave)).st_dev, "it is of a devpts of its own"
        assert seen[2:-1] == ["0", "ptmx"]
        terminal.send(b"\r")
        assert terminal.wait() == 0
    with cli.terminal("run", "--rm", busybox_dir, "sh", "-c", "tty; (echo x > /dev/tty) 2>&1; echo end") as terminal:
        seen = terminal.expect(b"end\r\n").decode()
        assert "not a tty" in seen and "/dev/tty" in seen, "without -t it has none at all"
        assert terminal.wait() == 0


# -- 11 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
)
def test_defect_11_how_it_ended_is_returned_and_recorded(cli: CommandLine, engine, busybox_dir, script, code):
    # An init ignores signals from inside that it has not asked for: with --init the command is none.
    done = cli("run", "--init", "-n", "front", busybox_dir, "sh", "-c", script)
    assert done.returncode == code
    cli("run", "-d", "--init", "-n", "back", busybox_dir, "sh", "-c", script, check=True)
    assert cli("wait", "back").stdout == f"{code}\n"
    listed = cli("ps", "-a", check=True).stdout
    assert listed.count(f"Exited ({code})") == 2 and "Up " not in listed
    for name in ("front", "back"):
        container = engine.get(name)
        assert container.returncode == (code if code < 128 or code == 255 else 128 - code)
        assert container.status == "exited" and container.finished
        container.remove()


def test_defect_11_a_killed_container_is_not_running_for_ever(cli: CommandLine, busybox_dir):
    detached(cli, busybox_dir, UP, "web")
    with init_of(cli, "web") as init:
        init.kill()
        assert cli("wait", "web").stdout == "137\n"
    assert "Exited (137)" in cli("ps", "-a").stdout
    cli("rm", "web", check=True)


def test_defect_11_after_a_reboot_nothing_runs_that_ran_before(cli: CommandLine, engine, busybox_dir, roots):
    detached(cli, busybox_dir, UP, "web")
    record = roots.root / "containers" / engine.get("web").id / "state.json"
    with init_of(cli, "web") as init:
        truth = record.read_text()
        record.write_text(truth.replace(Path("/proc/sys/kernel/random/boot_id").read_text().strip(), "0" * 36))
        assert "Exited" in cli("ps", "-a").stdout and cli("ps", "-q").stdout == ""
        assert engine.get("web").status == "exited"
        assert cli("exec", "web", "true").returncode == 125
        assert not init.has_ended(), "what has its number now gets no signal"
        record.write_text(truth)
        cli("rm", "-f", "web", check=True)


# -- 12 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["-i"], ["-i", "-t"]], ids=["plain", "i", "it"])
def test_defect_12_ctrl_c_reaches_the_command_and_leaves_no_container(cli: CommandLine, busybox_dir, options):
    script = "trap 'echo caught; exit 5' INT; echo up; while :; do sleep 1000 & wait; done"
    with cli.terminal("run", "--rm", *options, "-n", "web", busybox_dir, "sh", "-c", script) as terminal:
        terminal.expect(b"up\r\n")
        with init_of(cli, "web") as init:
            terminal.send(CTRL_C)
            terminal.expect(b"caught")
            assert terminal.wait() == 5
            init.wait()
    assert cli("ps", "-aq").stdout == ""


def test_defect_12_a_hang_up_leaves_no_container(cli: CommandLine, busybox_dir):
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP):
        with cli.terminal(
            "run", "--rm", "-n", "web", busybox_dir, "sh", "-c", "echo up; exec sleep 1000", rows=5
        ) as terminal:
            terminal.expect(b"up\r\n")
            with init_of(cli, "web") as init:
                os.kill(terminal.pid, number)
                if number == signal.SIGKILL:
                    init.wait()
                else:
                    init.kill()  # an init without a handler is deaf to what was passed on
                terminal.wait()
                init.wait()
        supervisors.await_end(cli.roots.token)
        assert cli("ps", "-aq").stdout == ""


# -- 13 ------------------------------------------------------------------------------------------


def test_defect_13_stop_returns_when_it_has_ended_and_not_when_the_time_has_passed(
    cli: CommandLine, engine, busybox_dir
):
    detached(cli, busybox_dir, UP, "web")
    # A time-out that would outlast the whole test run: returning at all is returning at the end.
    assert cli("stop", "-t", "100000", "web", timeout=60).stdout == "web\n"
    assert (engine.get("web").status, engine.get("web").returncode, engine.get("web").logs()) == (
        "exited",
        3,
        "up\nbye\n",
    )
    cli("rm", "web", check=True)


def test_defect_13_stop_at_once_kills_and_says_stopped_only_when_it_is(cli: CommandLine, engine, busybox_dir):
    for name in ("one", "two"):
        detached(cli, busybox_dir, DEAF, name)
    with init_of(cli, "one") as one, init_of(cli, "two") as two:
        assert cli("stop", "-t", "0", "one", "two").stdout == "one\ntwo\n"
        assert one.has_ended() and two.has_ended()
    for name in ("one", "two"):
        assert (engine.get(name).status, engine.get(name).returncode) == ("exited", -9)
    assert "Exited (137)" in cli("ps", "-a").stdout
    cli("rm", "one", "two", check=True)


# -- 15 ------------------------------------------------------------------------------------------


def test_defect_15_the_command_is_looked_up_on_the_path(cli: CommandLine, busybox_dir, tmp_path):
    (tmp_path / "greet").write_text("#!/bin/sh\necho hello\n")
    (tmp_path / "greet").chmod(0o755)
    assert cli("run", "--rm", busybox_dir, "echo", "hi").stdout == "hi\n"
    line = ["run", "--rm", "-v", f"{tmp_path}:/tools", "-e", "PATH=/tools:/bin"]
    assert cli(*line, busybox_dir, "greet").stdout == "hello\n"
    done = cli("run", "--rm", busybox_dir, "greet")
    assert done.returncode == 127 and "greet: command not found" in done.stderr


def test_defect_15_orphans_are_reaped(engine, busybox_dir):
    script = "n=0; while [ $n -lt 100 ]; do (true &); n=$((n+1)); done; echo made; exec sleep 1000"
    with engine.container(busybox_dir, ["sh", "-c", script], init=True) as container:
        assert next(container.logs(follow=True)) == "made\n"
        while [process for process in container.top() if process.command != "sleep 1000"][1:]:
            pass  # each look is one more chance for the reaper, which has no other event to tell of
        states = container.exec(["sh", "-c", "cat /proc/[0-9]*/stat"]).stdout
        assert " Z " not in states

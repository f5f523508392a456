"""The subcommands about containers that exist, their files and their images."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
import threading
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


TRAPPING = ["sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 1000 & wait $!; done"]


def run_ready(cli: CommandLine, busybox_dir: Path, name: str, *options: str) -> None:
    """Start a container in the background and wait until it can be asked to end."""
    cli("run", "-d", "-n", name, *options, busybox_dir, *TRAPPING, check=True)
    with subprocess.Popen(
        cli.command("logs", "-f", name), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=cli.environment
    ) as follower:
        assert follower.stdout
        assert follower.stdout.readline() == b"ready\n"
        follower.terminate()


def test_ps_has_the_seeds_columns(cli: CommandLine, busybox_dir: Path) -> None:
    ident = cli("run", "-d", "-n", "web", "-l", "job=7", busybox_dir, "sleep", "1000").stdout.strip()
    cli("run", "-n", "done", busybox_dir, "sh", "-c", "exit 4")
    header, row = cli("ps").stdout.splitlines()
    assert re.split(r" {3,}", header) == ["CONTAINER_ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAMES"]
    cells = re.split(r" {3,}", row)
    assert cells[0] == ident and cells[1] == busybox_dir.name and cells[2] == '"sleep 1000"'
    assert cells[3].endswith(" ago") and cells[4].startswith("Up ") and cells[5] == "web"
    everything = cli("ps", "-a", "--no-trunc").stdout
    assert re.search(r'"sh -c exit 4" .* Exited \(4\) .* ago +done\n', everything)
    assert str(busybox_dir) in everything
    assert cli("ps", "-q").stdout == f"{ident}\n"
    assert cli("ps", "-aq", "--filter", "label=job=7").stdout == f"{ident}\n"
    assert cli("ps", "-q", "--filter", "label=job=8").stdout == ""
    assert cli("ps", "-q", "--filter", "name=eb").stdout == f"{ident}\n"
    (told,) = json.loads(cli("ps", "--json", "--filter", "status=exited").stdout)
    assert (told["name"], told["exit_code"], told["status"]) == ("done", 4, "exited")
    assert cli("ps", "--filter", "colour=red").returncode == 1
    assert cli("rm", "-f", "web", "done").stdout == "web\ndone\n"


def test_looking_at_containers_loads_no_more_than_it_needs(cli: CommandLine) -> None:
    script = "import sys; from tinydocker.cli import main; main(['ps']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [cli.command()[0].replace("tinydocker", "python3"), "-c", script],
        capture_output=True,
        text=True,
        env=cli.environment,
        check=True,
    )
    loaded = set(done.stderr.split())
    assert not loaded & {"argparse", "tarfile", "asyncio", "pyroute2", "concurrent.futures", "difflib", "termios.tty"}
    assert not {name for name in loaded if name.startswith("tinydocker.cli.")} - {
        f"tinydocker.cli.{name}" for name in ("commands", "listing", "messages", "parser", "processes", "session")
    }


def test_top_is_a_table_of_processes_those_of_exec_included(cli: CommandLine, busybox_dir: Path) -> None:
    cli("run", "-d", "-n", "web", busybox_dir, "sleep", "1000", check=True)
    cli("exec", "-d", "-u", "1000", "web", "sleep", "2000", check=True)
    header, first, second = cli("top", "web").stdout.splitlines()
    assert header.split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert first.split()[0] == "root" and first.endswith("sleep 1000")
    assert second.split()[0] == "app" and second.endswith("sleep 2000")
    assert Path(f"/proc/{first.split()[1]}/comm").read_text(encoding="ascii") == "sleep\n"
    cli("rm", "-f", "web", check=True)


def test_several_are_stopped_at_once(cli: CommandLine, busybox_dir: Path) -> None:
    for name in ("a", "b", "c"):
        run_ready(cli, busybox_dir, name)
    done = cli("stop", "-t", "60", "a", "nobody", "b", "c", timeout=50)
    assert (done.stdout, done.returncode) == ("a\nb\nc\n", 1)
    assert done.stderr == "tinydocker: there is no container 'nobody' (tinydocker ps -a lists them)\n"
    assert cli("wait", "a", "b", "c").stdout == "3\n3\n3\n"
    cli("rm", "a", "b", "c", check=True)


def test_those_that_do_not_listen_are_killed_within_one_time_out(cli: CommandLine, busybox_dir: Path) -> None:
    for name in ("a", "b", "c"):
        cli("run", "-d", "-n", name, busybox_dir, "sleep", "1000", check=True)
    assert cli("stop", "-t", "0", "a", "b", "c").stdout == "a\nb\nc\n"
    assert cli("wait", "a", "b", "c").stdout == "137\n137\n137\n"
    cli("rm", "a", "b", "c", check=True)


def test_kill_sends_the_signal_that_is_asked_for(cli: CommandLine, busybox_dir: Path) -> None:
    run_ready(cli, busybox_dir, "web")
    assert cli("kill", "-s", "TERM", "web").stdout == "web\n"
    assert cli("wait", "web").stdout == "3\n"
    assert cli("kill", "web").returncode == 1
    cli("rm", "web", check=True)


def test_wait_waits(cli: CommandLine, busybox_dir: Path) -> None:
    run_ready(cli, busybox_dir, "web")
    with subprocess.Popen(cli.command("wait", "web"), stdout=subprocess.PIPE, env=cli.environment) as waiter:
        assert waiter.stdout
        threading.Thread(target=cli, args=("kill", "-s", "TERM", "web")).start()
        assert waiter.stdout.read() == b"3\n"
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()
    cli("rm", "web", check=True)


def test_rm_wants_force_for_what_runs(cli: CommandLine, busybox_dir: Path) -> None:
    cli("run", "-d", "-n", "web", busybox_dir, "sleep", "1000", check=True)
    done = cli("rm", "web", "nobody")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 2 and "force" in done.stderr
    assert cli("rm", "-f", "web").stdout == "web\n"


def test_what_has_ended_starts_again_with_its_files_in_the_background(cli: CommandLine, busybox_dir: Path) -> None:
    script = "echo x >> /mark; wc -l < /mark; [ $(wc -l < /mark) = 1 ] || exec sleep 1000"
    assert cli("run", "-n", "web", busybox_dir, "sh", "-c", script).stdout == "1\n"
    assert cli("start", "web").stdout == "web\n"
    assert cli("ps", "--json").stdout.count('"web"') == 1
    assert cli("start", "web").returncode == 1
    assert cli("restart", "-t", "0", "web").stdout == "web\n"
    assert cli("stop", "-t", "0", "web").returncode == 0
    assert cli("logs", "web").stdout == "1\n2\n3\n"
    cli("rm", "web", check=True)


def test_logs(cli: CommandLine, busybox_dir: Path) -> None:
    data = bytes(range(256)).replace(b"\n", b"")
    cli("run", "-n", "web", busybox_dir, "sh", "-c", "echo one; echo two >&2; echo three; printf four")
    done = cli("logs", "web")
    assert (done.stdout, done.stderr) == ("one\nthree\nfour", "two\n")
    assert cli("logs", "--tail", "1", "web").stdout == "four"
    assert cli("logs", "-n", "0", "web").stdout == ""
    stamped = cli("logs", "-t", "web").stdout.splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z one", stamped[0])
    when = stamped[0].split()[0]
    assert cli("logs", "--since", when, "web").stdout == "one\nthree\nfour"
    assert cli("logs", "--since", "2200-01-01T00:00:00Z", "web").stdout == ""
    assert cli("logs", "--since", "1h", "web").stdout == "one\nthree\nfour"
    assert cli("logs", "--tail", "x", "web").returncode == 1
    cli("rm", "web", check=True)
    subprocess.run(
        cli.command("run", "-n", "raw", busybox_dir, "cat"),
        input=data,
        stdout=subprocess.DEVNULL,
        env=cli.environment,
        check=True,
    )
    raw = subprocess.run(cli.command("logs", "raw"), capture_output=True, env=cli.environment, check=True)
    assert raw.stdout == data
    cli("rm", "raw", check=True)


def test_inspect_is_a_list(cli: CommandLine, busybox_dir: Path) -> None:
    cli("run", "-n", "web", busybox_dir, "true", check=True)
    done = cli("inspect", "web", "nobody")
    assert done.returncode == 1
    (told,) = json.loads(done.stdout)
    assert told["name"] == "web" and told["config"]["process"]["args"] == ["true"]
    cli("rm", "web", check=True)


@pytest.mark.leaves("images")
def test_commit_diff_export_and_cp(cli: CommandLine, busybox_dir: Path, tmp_path: Path) -> None:
    cli("run", "-n", "web", busybox_dir, "sh", "-c", "echo x > /made; rm /etc/group", check=True)
    changes = cli("diff", "web").stdout.splitlines()
    assert "A /made" in changes and "D /etc/group" in changes
    assert {"kind": "A", "path": "/made"} in json.loads(cli("diff", "--json", "web").stdout)
    assert cli("commit", "web", cwd=tmp_path).stdout == "web.tar\n"
    assert cli("run", "--rm", tmp_path / "web.tar", "cat", "/made").stdout == "x\n"
    assert cli("commit", "web", tmp_path / "named.tar.gz").stdout == f"{tmp_path}/named.tar.gz\n"
    assert (tmp_path / "named.tar.gz").read_bytes()[:2] == b"\x1f\x8b"
    with (tmp_path / "out.tar").open("wb") as file:
        subprocess.run(cli.command("export", "web"), stdout=file, env=cli.environment, check=True)
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert "made" in {member.name.removeprefix("./") for member in archive}
    cli("export", "-o", tmp_path / "other.tar", "web", check=True)
    assert (tmp_path / "other.tar").stat().st_size > 0

    (tmp_path / "in").write_text("into\n", encoding="utf-8")
    cli("cp", tmp_path / "in", "web:/tmp/in", check=True)
    cli("cp", "web:/tmp/in", tmp_path / "back", check=True)
    assert (tmp_path / "back").read_text(encoding="utf-8") == "into\n"
    missing = cli("cp", "web:/nope", tmp_path / "x")
    assert missing.returncode == 1 and missing.stderr.count("\n") == 1 and "/nope" in missing.stderr
    assert cli("cp", "a", "b").returncode == 125
    assert cli("cp", "-", "web:/tmp").returncode == 125
    cli("rm", "web", check=True)


def test_an_archive_is_not_for_a_terminal(cli: CommandLine, busybox_dir: Path) -> None:
    cli("run", "-n", "web", busybox_dir, "true", check=True)
    with cli.terminal("export", "web") as terminal:
        terminal.expect(b"not for a terminal")
        assert terminal.wait() == 125
    cli("rm", "web", check=True)


def test_images_rmi_and_prune(cli: CommandLine, busybox: Path) -> None:
    cli("run", "-n", "web", busybox, "true", check=True)
    header, row = cli("images").stdout.splitlines()
    assert header.split() == ["IMAGE_ID", "TAGS", "SOURCE", "CREATED", "SIZE"]
    assert busybox.name in row
    (told,) = json.loads(cli("images", "--json").stdout)
    assert told["sources"] == [str(busybox)]
    ident = cli("images", "-q").stdout.strip()
    assert row.startswith(ident) and ident in told["id"]
    in_use = cli("rmi", ident)
    assert in_use.returncode == 1 and in_use.stderr.startswith("tinydocker: ")
    listed = cli("prune", "-n").stdout
    assert "container web" in listed
    assert cli("ps", "-aq").stdout
    assert "container web" in cli("prune", "-f").stdout
    assert cli("ps", "-aq").stdout == ""
    cli("rmi", ident)
    assert cli("images", "-q").stdout == ""


def test_other_roots_are_other_engines(cli: CommandLine, busybox_dir: Path, tmp_path: Path) -> None:
    there = ("--root", str(tmp_path / "r"), "--run-root", str(tmp_path / "q"))
    cli(*there, "run", "-n", "web", busybox_dir, "true", check=True)
    assert cli("ps", "-aq").stdout == ""
    assert cli(*there, "ps", "-aq").stdout
    cli(*there, "rm", "web", check=True)


def test_debug_shows_where(cli: CommandLine) -> None:
    assert "Traceback" not in cli("rm", "nobody").stderr
    assert "Traceback" in cli("--debug", "rm", "nobody").stderr or cli(
        "--debug", "run", "nowhere.tar", "x"
    ).stderr.count("Traceback")


def test_version_and_help(cli: CommandLine) -> None:
    assert re.fullmatch(r"tinydocker \d+\.\d+\.\d+\n", cli("--version").stdout)
    assert cli("version").stdout == cli("--version").stdout
    assert cli("--help").stdout == cli("help").stdout == cli().stdout
    assert cli("help", "run").stdout == cli("run", "--help").stdout


def test_a_reader_that_has_gone_gets_no_traceback(cli: CommandLine) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(cli.command("--help"), stdout=writing, stderr=subprocess.PIPE, env=cli.environment)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")

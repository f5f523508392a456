"""What each option of ``run`` becomes in the library's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tinydocker import Container
from tinydocker.cli import commands
from tinydocker.cli.parser import UsageError
from tinydocker.cli.run_options import library_options
from tinydocker.errors import InvalidSpec, NotSupported


def options(*line: str) -> dict[str, Any]:
    return library_options(commands.find(["run", *line, "image"]).values)


def test_nothing_given_keeps_the_container() -> None:
    assert options() == {"auto_remove": False}


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        (("--rm",), "auto_remove", True),
        (("-n", "web"), "name", "web"),
        (("-w", "/srv"), "workdir", "/srv"),
        (("-v", "/a:/b:ro", "-v", "c:/d"), "volumes", ["/a:/b:ro", "c:/d"]),
        (("-l", "a=1", "--label=b"), "labels", ["a=1", "b"]),
        (("--entrypoint", "two words"), "entrypoint", ["two words"]),
        (("--entrypoint", ""), "entrypoint", []),
        (("--security-opt", "no-new-privileges=false"), "no_new_privileges", False),
        (("--security-opt", "no-new-privileges"), "no_new_privileges", True),
        (("--security-opt", "seccomp=unconfined"), "seccomp", "unconfined"),
        (("--log-opt", "max-size=1m", "--log-opt", "max-file=2"), "log", {"max_size": "1m", "max_files": "2"}),
        (("-c", "20000"), "cpus", 0.2),
        (("-m", "819200"), "memory", "819200"),
        (("-p", "80=8080", "-p", "88:8888"), "ports", ["80:8080", "88:8888"]),
        (("--net", "host"), "network", "host"),
    ],
)
def test_one_option(line: tuple[str, ...], key: str, value: object) -> None:
    assert options(*line)[key] == value


def test_variables_come_from_the_line_the_file_and_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOO", "a b=c")
    monkeypatch.delenv("UNSET", raising=False)
    (tmp_path / "env").write_text("# a comment\n\nONE=1\nFOO\nUNSET\n", encoding="utf-8")
    found = options("-e", "FOO", "-e", "UNSET", "-e", "A=", "-e", "A2=b=c", "--env-file", str(tmp_path / "env"))
    assert found["env"] == ["ONE=1", "FOO=a b=c", "FOO=a b=c", "A=", "A2=b=c"]


def test_detached_and_interactive_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="-d and -i"):
        options("-d", "-i")


@pytest.mark.parametrize("quota", ["999", "-5", "0", "many", ""])
def test_the_quota_is_microseconds_of_which_1000_are_the_least(quota: str) -> None:
    with pytest.raises(InvalidSpec, match="-c="):
        options("-c", quota)


@pytest.mark.parametrize(
    "line",
    [
        ("-m", "64m"),
        ("--memory-swap", "64m"),
        ("-c", "20000"),
        ("--cpus", "0.5"),
        ("--cpu-shares", "512"),
        ("--cpuset-cpus", "0"),
        ("--pids-limit", "10"),
        ("-p", "88:8888"),
        ("--network", "lab"),
        ("--network-alias", "www"),
        ("--ip", "10.0.0.2"),
        ("--device", "/dev/fuse"),
        ("--privileged",),
        ("--userns", "auto"),
        ("--restart", "always"),
        ("--health-cmd", "true"),
        ("--security-opt", "seccomp=profile.json"),
    ],
)
def test_what_later_versions_do_reaches_the_library_and_is_refused_there(line: tuple[str, ...]) -> None:
    with pytest.raises(NotSupported):
        Container("host", ["true"], **options(*line))


def test_every_other_option_reaches_a_container() -> None:
    line = (
        "--rm --replace --read-only --init -t -n web -w / -u 1:2 -h box --umask 077 --shm-size 1m --oom-score-adj 5 "
        "--stop-signal INT --stop-timeout 3 --network none -v /etc:/x:ro --tmpfs /t:size=1m -l a=b --dns 10.0.0.1 "
        "--add-host db:10.0.0.2 --cap-add CHOWN --cap-drop KILL --sysctl net.core.somaxconn=5 --ulimit nofile=9:10"
    )
    spec = Container("host", ["true"], **options(*line.split())).spec
    assert (spec.name, spec.user, spec.hostname, spec.umask, spec.stop_signal) == ("web", "1:2", "box", 0o077, 2)
    assert spec.tty and spec.init and spec.read_only and spec.replace and spec.auto_remove


@pytest.mark.parametrize("line", [("--security-opt", "x=y"), ("--log-opt", "size=1"), ("--log-opt", "max-size")])
def test_what_cannot_be_is_refused(line: tuple[str, ...]) -> None:
    with pytest.raises(InvalidSpec):
        options(*line)

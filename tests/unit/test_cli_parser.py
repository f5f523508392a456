"""Command lines are read as Docker reads them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tinydocker.cli import commands
from tinydocker.cli.parser import Option, UsageError, Values, parse
from tinydocker.errors import NotSupported

OPTIONS = (
    Option("-i --interactive", "a flag"),
    Option("-t --tty", "a flag"),
    Option("-n --name", "a value", "NAME"),
    Option("-e --env", "values", "NAME=VALUE", many=True),
)


def read(*line: str, stops_at_first: bool = False) -> tuple[Values, list[str]]:
    return parse(OPTIONS, line, stops_at_first=stops_at_first)


@pytest.mark.parametrize(
    "line", [("-n", "web"), ("-nweb",), ("-n=web",), ("--name", "web"), ("--name=web",), ("-in", "web"), ("-itnweb",)]
)
def test_a_value_may_follow_in_every_way(line: tuple[str, ...]) -> None:
    values, arguments = read(*line, "image")
    assert (values.text("name"), arguments) == ("web", ["image"])


def test_flags_cluster() -> None:
    values, _ = read("-it")
    assert values.flag("interactive") and values.flag("tty")


def test_a_flag_can_be_taken_back() -> None:
    values, _ = read("--tty", "--interactive", "--tty=false")
    assert values.flag("interactive") and not values.flag("tty")


def test_repeated_values_keep_their_order_and_their_equals_signs() -> None:
    values, _ = read("-e", "A=b=c", "--env=B=", "-eC")
    assert values.texts("env") == ["A=b=c", "B=", "C"]


def test_reading_stops_at_the_first_argument_where_it_has_to() -> None:
    values, arguments = read("-i", "image", "ls", "-t", "--", "-n", stops_at_first=True)
    assert not values.flag("tty")
    assert arguments == ["image", "ls", "-t", "--", "-n"]


def test_options_and_arguments_mix_elsewhere() -> None:
    values, arguments = read("one", "-t", "two", "--", "-i")
    assert values.flag("tty") and not values.flag("interactive")
    assert arguments == ["one", "two", "-i"]


def test_a_dash_is_an_argument() -> None:
    assert read("-")[1] == ["-"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("--nope",), "unknown option --nope"),
        (("-ix",), "unknown option -x in -ix"),
        (("-n",), "-n needs a value: -n NAME"),
        (("--tty=maybe",), "--tty is true or false, not 'maybe'"),
    ],
)
def test_what_fits_nothing_is_named(line: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(*line)
    assert str(caught.value) == said


@pytest.mark.parametrize("name", commands.SUBCOMMANDS)
def test_every_subcommand_has_a_help_that_lists_its_options(name: str) -> None:
    found = commands.find([name, "--help"])
    assert found.command is None
    assert found.help_text.startswith(f"Usage: tinydocker {name}")
    for option in commands.load(name).options:
        assert option.names[0] in found.help_text and option.help in found.help_text


def test_run_has_dockers_h_for_its_hostname() -> None:
    found = commands.find(["run", "-h", "web", "image"])
    assert found.values.text("hostname") == "web"


@pytest.mark.parametrize("name", commands.LATER)
def test_what_is_to_come_says_so(name: str) -> None:
    with pytest.raises(NotSupported, match=f"^{name} is not in this version$"):
        commands.find([name, "--anything"])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["imags"], "unknown command 'imags'; did you mean 'images'?"),
        (["stop"], "expected CONTAINER..., got nothing"),
        (["ps", "x"], "unexpected argument 'x'"),
        (["exec", "web"], "expected CONTAINER COMMAND [ARGUMENT]..., got one argument"),
    ],
)
def test_a_wrong_line_is_explained(line: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        commands.find(line)
    assert str(caught.value) == said


def test_global_options_come_before_the_subcommand() -> None:
    found = commands.find(["--root", "/r", "--run-root=/q", "--debug", "ps", "-a"])
    assert (found.general.text("root"), found.general.text("run_root")) == ("/r", "/q")
    assert found.general.flag("debug") and found.values.flag("all")


def test_reading_a_command_line_loads_almost_nothing() -> None:
    line = "from tinydocker.cli import commands; commands.find(['run', '-it', 'host', 'true'])"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {line}; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    heavy = {"argparse", "attr", "ctypes", "subprocess", "tarfile", "hashlib", "tempfile", "asyncio", "json"}
    assert not heavy & set(done.stdout.split())

"""Commands, working directories, environment variables and labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinydocker.errors import InvalidSpec
from tinydocker.spec.command import parse_command, parse_entrypoint, parse_workdir
from tinydocker.spec.pairs import parse_env, parse_labels


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ("echo 'a b' $HOME; ls", ("echo", "a b", "$HOME;", "ls")),
        (["echo", "a b", ""], ("echo", "a b", "")),
        (("sh", "-c", "x"), ("sh", "-c", "x")),
        ([Path("/bin/sh"), "-c"], ("/bin/sh", "-c")),
        (Path("/bin/my prog"), ("/bin/my prog",)),
        (["a=b", "line\nbreak"], ("a=b", "line\nbreak")),
    ],
)
def test_a_command_becomes_its_arguments_and_no_shell_reads_it(given: object, arguments: tuple[str, ...]) -> None:
    assert parse_command("command", given) == arguments


@pytest.mark.parametrize(
    "given",
    [
        "",
        "  ",
        [],
        (),
        [""],
        ["", "a"],
        "'open",
        ["a\0"],
        "a\0b",
        [1],
        ["a", None],
        5,
        b"sh",
        [b"sh"],
        {"sh": 1},
        {"sh"},
    ],
)
def test_an_empty_or_malformed_command_is_refused(given: object) -> None:
    with pytest.raises(InvalidSpec, match="command="):
        parse_command("command", given)


@pytest.mark.parametrize("given", ["", [], (), [""]])
def test_an_empty_entrypoint_clears_the_one_of_the_image(given: object) -> None:
    assert parse_entrypoint("entrypoint", given) == ()


@pytest.mark.parametrize("given", [["", "a"], ["\0"], 5])
def test_a_malformed_entrypoint_is_refused(given: object) -> None:
    with pytest.raises(InvalidSpec):
        parse_entrypoint("entrypoint", given)


@pytest.mark.parametrize(
    ("given", "path"),
    [("/", "/"), ("/srv/", "/srv"), ("//a//b/./c", "/a/b/c"), (Path("/x y"), "/x y"), ("/a:b", "/a:b")],
)
def test_a_working_directory_is_absolute_and_clean(given: object, path: str) -> None:
    assert parse_workdir("workdir", given) == path


@pytest.mark.parametrize("given", ["", "srv", ".", "/a/../b", "..", "/a\0", 5, None])
def test_a_relative_or_climbing_working_directory_is_refused(given: object) -> None:
    with pytest.raises(InvalidSpec):
        parse_workdir("workdir", given)


@pytest.mark.parametrize(
    ("given", "pairs"),
    [
        ({"A": "1", "B": ""}, (("A", "1"), ("B", ""))),
        (["A=b=c"], (("A", "b=c"),)),
        (["A="], (("A", ""),)),
        (["A=1", "B=2", "A=3"], (("A", "3"), ("B", "2"))),
        ("A=1", (("A", "1"),)),
        ({"A": "b=c\nd"}, (("A", "b=c\nd"),)),
        ({"P": Path("/x")}, (("P", "/x"),)),
        ({}, ()),
        ([], ()),
    ],
)
def test_variables_keep_everything_after_the_first_equals_sign(given: object, pairs: object) -> None:
    assert parse_env("env", given) == pairs


@pytest.mark.parametrize(
    "given",
    [["FOO"], "FOO", ["=x"], {"": "x"}, {"A=B": "x"}, {"A": "x\0"}, {"A\0": "x"}, ["A=\0"], {"A": 1}, {"A": None},
     {1: "x"},
     5, b"A=1", [5], {"A": True}],
)  # fmt: skip
def test_a_variable_without_a_value_or_with_a_bad_name_is_refused(given: object) -> None:
    with pytest.raises(InvalidSpec, match="env="):
        parse_env("env", given)


def test_a_label_may_stand_without_a_value() -> None:
    assert parse_labels("labels", ["job=7", "nightly"]) == (("job", "7"), ("nightly", ""))
    assert parse_labels("labels", {"org.example/a b": "x=y"}) == (("org.example/a b", "x=y"),)
    for bad in (["=x"], {"a=b": "c"}, {"a": 7}, [None]):
        with pytest.raises(InvalidSpec):
            parse_labels("labels", bad)

"""The reference says all that the code has, and nothing that it has not."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import tinydocker as td
from tinydocker import errors
from tinydocker.cli import commands
from tinydocker.launch import child
from tinydocker.spec import container, later, options
from tinydocker.spec.fluent import Fluent

DOCS = Path(__file__).parents[2] / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def rows(text: str, first: str) -> list[list[str]]:
    """Return the cells of the table of which the header's first cell is ``first``."""
    lines = text.splitlines()
    starts = [at for at, line in enumerate(lines) if line.startswith(f"| {first} |")]
    assert len(starts) == 1, f"{len(starts)} tables begin with {first!r}"
    found = []
    for line in lines[starts[0] + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line[1:-1].split("|")])
    return found


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# -- options --------------------------------------------------------------------------------------


def test_every_option_is_in_the_table() -> None:
    table = rows(page("reference/options.md"), "option")
    assert [code(row[0])[0] for row in table] == list(options.OPTIONS)
    assert all(len(row) == 7 and row[5] and row[6] for row in table)


def test_defaults_are_those_of_the_specification() -> None:
    for row in rows(page("reference/options.md"), "option"):
        option = code(row[0])[0]
        field, _ = options.OPTIONS[option]
        default = getattr(container.ContainerSpec(), field)
        shown = "None" if row[4].startswith("None") else (code(row[4]) or [row[4]])[0]
        if default == ():
            assert shown in ("[]", "{}"), option
        elif isinstance(default, int) and not isinstance(default, bool):
            assert int(shown, 0) == default, option
        else:
            assert shown.replace('"', "'") == repr(default), option


def test_every_option_has_a_twin_and_every_twin_is_documented() -> None:
    table = {code(row[0])[0]: code(row[1])[0] for row in rows(page("reference/options.md"), "option")}
    assert all(callable(getattr(Fluent, twin)) for twin in table.values())
    twins = {name for name in vars(Fluent) if name.startswith("with_")}
    only_later = {f"with_{name}" for name in later.LATER} | {"with_device", "with_alias", "with_port"}
    assert twins - set(table.values()) <= only_later


def test_a_neutral_value_in_the_table_of_later_options_asks_for_nothing() -> None:
    table = {code(row[0])[0]: row for row in rows(page("reference/not-yet.md"), "option")}
    assert list(table) == list(later.LATER)
    for option, (what, neutral) in later.LATER.items():
        assert table[option][1] == what
        assert code(table[option][2]) == [repr(value) for value in neutral], option


def test_every_method_that_is_not_there_yet_is_listed() -> None:
    listed = {code(row[0])[0]: set(code(row[1])) for row in rows(page("reference/not-yet.md"), "object")}
    for kind in (td.Container, td.Image, td.Workspace, td.Engine):
        refused = {
            name
            for name, member in inspect.getmembers(kind, callable)
            if (inspect.getdoc(member) or "").startswith("Not in this version")
        }
        assert listed.get(kind.__name__, set()) == refused


# -- errors, names, command line -------------------------------------------------------------------


def test_every_error_says_when_it_is_raised() -> None:
    table = [code(row[0])[0] for row in rows(page("reference/errors.md"), "error")]
    assert len(table) == len(set(table))
    assert set(table) == set(errors.__all__)


def test_every_public_name_is_in_the_reference() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md"))
    for name in set(td.__all__) - set(errors.__all__):
        assert f"auto{'function' if name.islower() else 'class'}:: {name}\n" in text or f"`{name}`" in text, name


def test_every_subcommand_has_a_section_with_its_help() -> None:
    text = page("reference/command-line.md")
    shown = re.findall(r"^## (\S+)\n\n```\{command-help\} (\S+)\n```$", text, re.MULTILINE)
    assert [heading for heading, _ in shown] == [name for _, name in shown] == list(commands.SUBCOMMANDS)


def test_subcommands_that_are_not_there_yet_are_listed() -> None:
    for name in ("reference/command-line.md", "reference/not-yet.md"):
        last = page(name).rpartition("\n## ")[2]
        assert [word for word in code(last) if word in commands.LATER or word != "run"] == list(commands.LATER), name


# -- explanations ----------------------------------------------------------------------------------


def test_the_steps_of_a_start_are_those_that_the_child_carries_out() -> None:
    text = page("explanation/one-start.md")
    tables = re.findall(r"^\| \| step .*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    for table, steps in zip(tables, (child.START, child.EXEC), strict=True):
        said = [code(line)[:2] for line in table.splitlines()]
        assert said == [[name, act.__name__] for name, act in steps]
        assert [line.split("|")[1].strip() for line in table.splitlines()] == [str(n + 1) for n in range(len(steps))]


def test_steps_named_in_the_guide_to_failures_exist() -> None:
    known = {name for name, _ in (*child.START, *child.EXEC)}
    named = [code(row[0])[0] for row in rows(page("how-to/debug-a-failed-start.md"), "`step`")]
    assert named and set(named) <= known

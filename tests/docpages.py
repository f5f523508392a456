"""The blocks of a documentation page, carried out in order as a reader would.

A ``python`` block runs in one program per page, so that later blocks see what earlier ones
made. A ``console`` block holds commands behind ``# `` or ``$ ``, each with what it prints. What a
python block prints is compared with the ``text`` block that follows it, where there is one. ``...``
in what is expected stands for anything.

A block is left out only behind a comment that says why: ``<!-- not run: the reason -->``.

    python tests/docpages.py PAGE      run a page in the current directory
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FENCE = re.compile(r"^( *)(`{3,})\s*([\w{}:-]*)[^`]*$")
_NOT_RUN = re.compile(r"^<!-- not run: [^\s-].* -->$")
_RUN = ("python", "console")
_PROMPT = re.compile(r"^[#$] ")
_SECONDS = 60


@dataclass(frozen=True)
class Block:
    """A fenced block; ``line`` is that of its first line of text, counted from 1."""

    language: str
    line: int
    text: str
    expected: str | None = None


def blocks(page: str) -> list[Block]:
    """Return the python and console blocks of a page, in order, those that are marked left out."""
    found: list[Block] = []
    last: Block | None = None  # the python block that a text block may follow
    mark = ""
    lines = page.splitlines()
    number = 0
    while number < len(lines):
        opened = _FENCE.match(lines[number])
        if not opened:
            if lines[number].strip():
                mark, last = lines[number].strip(), None
            number += 1
            continue
        indent, ticks, language = opened.groups()
        first = number = number + 1
        while lines[number].strip() != ticks:
            number += 1
        text = "".join(line.removeprefix(indent) + "\n" for line in lines[first:number])
        number += 1
        if language == "text" and last is not None:
            found[-1] = Block(last.language, last.line, last.text, text)
        elif language in _RUN and not _NOT_RUN.match(mark):
            last = Block(language, first + 1, text)
            found.append(last)
            mark = ""
            continue
        mark, last = "", None
    return found


def differs(expected: str, printed: str) -> bool:
    """Tell whether ``printed`` is not what the page says."""
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return not doctest.OutputChecker().check_output(expected, printed, options)


def commands(text: str) -> list[tuple[str, str]]:
    """Return the commands of a console block, each with what it is said to print."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        if _PROMPT.match(line):
            found.append((line[2:], ""))
        elif found and found[-1][0].endswith("\\"):
            found[-1] = (found[-1][0][:-1] + line, "")
        elif found:
            found[-1] = (found[-1][0], found[-1][1] + line + "\n")
    return found


def run(path: Path) -> list[str]:
    """Carry out the blocks of the page; return what went wrong, stopping at the first error."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(path.read_text(encoding="utf-8")):
        where = f"{path.name}:{block.line}"
        wrong = _run_python(block, path, names) if block.language == "python" else _run_console(block)
        if wrong:
            return [f"{where}: {wrong}"]
    return []


def _run_python(block: Block, path: Path, names: dict[str, Any]) -> str:
    printed = io.StringIO()
    source = "\n" * (block.line - 1) + block.text
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(source, str(path), "exec"), names)
    except Exception:  # noqa: BLE001 - a page may raise anything, and the traceback is what it printed
        return traceback.format_exc()
    if block.expected is not None and differs(block.expected, printed.getvalue()):
        return f"expected\n{block.expected}printed\n{printed.getvalue()}"
    return ""


def _run_console(block: Block) -> str:
    for command, expected in commands(block.text):
        done = subprocess.run(
            ["bash", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
        )
        if differs(expected, done.stdout):
            return f"{command}\nended with {done.returncode}, expected\n{expected}printed\n{done.stdout}"
    return ""


if __name__ == "__main__":
    failures = run(Path(sys.argv[1]))
    print("\n".join(failures))
    sys.exit(1 if failures else 0)

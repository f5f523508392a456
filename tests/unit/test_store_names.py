"""Names: one holder at any time, whoever claims, releases and dies meanwhile."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tinydocker.errors import NameInUse
from tinydocker.store import names

ONE, OTHER = "00000000000a", "00000000000b"


@pytest.fixture
def store(tmp_path: Path) -> tuple[str, str]:
    for name in ("names", "containers", f"containers/{ONE}", f"containers/{OTHER}"):
        (tmp_path / name).mkdir()
    return str(tmp_path / "names"), str(tmp_path / "containers")


def test_a_name_is_held_until_it_is_released(store):
    assert names.holder(store[0], "web") is None
    names.claim(*store, "web", ONE)
    assert names.holder(store[0], "web") == ONE
    for container in (ONE, OTHER):
        with pytest.raises(NameInUse, match=f"'web'.*{ONE}"):
            names.claim(*store, "web", container)
    assert names.release(f"{store[0]}/web", ONE)
    assert names.holder(store[0], "web") is None
    names.claim(*store, "web", OTHER)


def test_releasing_what_belongs_to_another_or_to_nobody_changes_nothing(store):
    names.claim(*store, "web", ONE)
    assert not names.release(f"{store[0]}/web", OTHER)
    assert names.holder(store[0], "web") == ONE
    assert not names.release(f"{store[0]}/none", ONE)


def test_the_name_of_a_container_that_is_gone_is_taken_over(store):
    names.claim(*store, "web", ONE)
    os.rmdir(f"{store[1]}/{ONE}")
    names.claim(*store, "web", OTHER)
    assert names.holder(store[0], "web") == OTHER


@pytest.mark.parametrize(
    "make",
    [lambda p: p.write_text("x"), lambda p: p.mkdir(), os.mkfifo],
    ids=["file", "directory", "fifo"],
)
def test_what_is_no_name_of_ours_holds_nothing_and_is_left_alone(store, make):
    path = Path(store[0], "web")
    make(path)
    before = path.lstat()
    assert names.holder(store[0], "web") is None
    assert not names.release(str(path), ONE)
    with pytest.raises((NameInUse, OSError)):
        names.claim(*store, "web", ONE)
    assert path.lstat().st_ino == before.st_ino


def test_made_up_names_are_names_and_hardly_ever_the_same():
    made = {names.made_up() for _ in range(200)}
    assert len(made) > 150
    assert all(re.fullmatch(r"[a-z]+-[a-z]+-[0-9]{1,4}", name) for name in made)


PREAMBLE = """
import os, sys, threading
from tinydocker.errors import NameInUse
from tinydocker.store import names
names_dir, containers, me, rounds = sys.argv[1:4] + [int(sys.argv[4])]
print("ready", flush=True)
sys.stdin.readline()
"""


def at_once(code: str, store: tuple[str, str], rounds: int, programs: int = 4) -> list[str]:
    """Run ``code`` in several processes that begin together; return what each said."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + textwrap.dedent(code), *store, f"{number:012x}", str(rounds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(programs)
    ]
    for program in started:
        assert program.stdout is not None and program.stdout.readline() == "ready\n"
    for program in started:
        assert program.stdin is not None
        program.stdin.write("\n")
        program.stdin.flush()
    said = [program.communicate()[0] for program in started]
    assert [program.returncode for program in started] == [0] * programs
    return said


def test_of_many_that_claim_at_once_exactly_one_wins_every_time(store):
    for number in range(4):
        os.mkdir(f"{store[1]}/{number:012x}")
    code = """
        won = []
        for n in range(rounds):
            try:
                names.claim(names_dir, containers, f"name{n}", me)
                won.append(n)
            except NameInUse:
                pass
        print(*won)
    """
    won = sorted(int(word) for said in at_once(code, store, 300) for word in said.split())
    assert won == list(range(300))


def test_of_many_that_take_over_the_name_of_a_dead_container_exactly_one_wins_every_time(store):
    for number in range(4):
        os.mkdir(f"{store[1]}/{number:012x}")
    for number in range(200):
        names.claim(*store, f"name{number}", "ffffffffffff")
    code = """
        won = []
        for n in range(rounds):
            try:
                names.claim(names_dir, containers, f"name{n}", me)
                won.append(n)
            except NameInUse:
                pass
        print(*won)
    """
    won = sorted(int(word) for said in at_once(code, store, 200) for word in said.split())
    assert won == list(range(200))


def test_a_name_that_several_give_back_at_once_is_not_taken_from_its_next_holder(store):
    code = """
        link = f"{names_dir}/web"
        ending = os.open(f"{containers}/.ending", os.O_RDWR | os.O_CREAT)
        if int(me, 16) < 2:  # removes what the others say is to go
            while (victim := os.pread(ending, 12, 0)) != b"everything..":
                names.release(link, victim.decode())
        else:
            try:
                for n in range(rounds):
                    mine = f"{me[-1]}{n:011x}"
                    os.mkdir(f"{containers}/{mine}")
                    while True:
                        try:
                            names.claim(names_dir, containers, "web", mine)
                            break
                        except NameInUse:
                            pass
                    for _ in range(10):
                        assert names.holder(names_dir, "web") == mine, "the name was taken away"
                    os.pwrite(ending, mine.encode(), 0)
                    names.release(link, mine)
            finally:
                os.pwrite(ending, b"everything..", 0)
    """
    at_once(code, store, 3000, programs=3)
    assert names.holder(store[0], "web") is None

"""Names: what one may be, who gets it, and when it is free again."""

from __future__ import annotations

import os

import pytest

import tinydocker as td
from programs import Awaited, Program

pytestmark = pytest.mark.needs("root", "overlay", "busybox")

FOREVER = ["sleep", "1000"]


@pytest.mark.parametrize("name", ["a", "0", "A_b.c-d", "x" * 128])
def test_a_name_that_is_allowed_is_kept(engine, busybox_dir, name):
    with engine.container(busybox_dir, ["true"], name=name) as container:
        assert container.name == engine.get(name).name == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "_a", "a b", "a/b", "../a", "a\n", "ä", "a;b", "x" * 129, ".", "a\0"])
def test_a_name_that_could_do_harm_is_refused_before_anything_exists(busybox_dir, name):
    with pytest.raises(td.InvalidSpec, match="name"):
        td.Container(busybox_dir, ["true"], name=name)


def test_a_name_is_made_up_when_none_is_given(engine, busybox_dir):
    with engine.container(busybox_dir, ["true"]) as one, engine.container(busybox_dir, ["true"]) as two:
        assert one.name and two.name and one.name != two.name
        assert engine.get(one.name).id == one.id


def test_a_name_in_use_is_an_error_that_leaves_nothing_and_harms_nothing(engine, busybox_dir, roots):
    with engine.container(busybox_dir, FOREVER, name="web") as first:
        for _ in range(2):
            with pytest.raises(td.NameInUse, match="web"):
                engine.container(busybox_dir, FOREVER, name="web").start()
        assert first.status == "running"
        assert os.listdir(roots.root / "containers") == [first.id]
    with engine.container(busybox_dir, ["true"], name="web"):
        pass


def test_of_32_at_once_in_several_programs_exactly_one_gets_the_name(engine, busybox_dir, roots):
    code = """
        from concurrent.futures import ThreadPoolExecutor
        engine = td.Engine(); engine.prepare()
        say("ready"); hear()
        def attempt(_):
            try:
                return td.Container(image, ["sleep", "1000"], name="web", engine=engine).start()
            except td.NameInUse:
                return None
        with ThreadPoolExecutor(8) as pool:
            won = [c for c in pool.map(attempt, range(8)) if c]
        say(len(won), *[c.id for c in won]); hear()
        for c in won: c.close()
        engine.close()
    """
    programs = [Program(code, busybox_dir) for _ in range(4)]
    try:
        for program in programs:
            assert program.line() == "ready"
        for program in programs:
            program.say()
        said = [program.line().split() for program in programs]
        assert sorted(int(words[0]) for words in said) == [0, 0, 0, 1]
        winner = next(words[1] for words in said if words[0] == "1")
        assert engine.get("web").id == winner
        assert os.listdir(roots.root / "containers") == [winner]
    finally:
        for program in programs:
            program.say()
            program.__exit__(None, None, None)


def test_replace_takes_the_name_from_an_ended_and_from_a_running_container(engine, busybox_dir):
    ended = engine.container(busybox_dir, ["true"], name="web", auto_remove=False).start()
    ended.wait()
    with engine.container(busybox_dir, FOREVER, name="web", replace=True) as second, Awaited(second.pid) as init:
        assert ended.status == "removed"
        ended.close()
        with engine.container(busybox_dir, FOREVER, name="web", replace=True) as third:
            assert init.has_ended()
            assert (second.status, third.status) == ("removed", "running")
            assert engine.get("web").id == third.id
            second.close()
            assert engine.get("web").id == third.id, "what was replaced no longer touches the name"


def test_replace_without_anybody_to_replace_is_a_plain_start(engine, busybox_dir):
    with engine.container(busybox_dir, ["true"], name="web", replace=True) as container:
        assert container.wait() == 0


def test_replace_takes_over_what_another_program_runs(engine, busybox_dir):
    code = """
        container = td.Container(image, ["sleep", "1000"], name="web").start()
        say(container.pid); hear()
        container.close(); say(container.status)
    """
    with (
        Program(code, busybox_dir) as program,
        Awaited(int(program.line())) as init,
        engine.container(busybox_dir, FOREVER, name="web", replace=True) as mine,
    ):
        assert init.has_ended()
        program.say()
        assert program.line() == "removed"
        assert mine.status == "running" and engine.get("web").id == mine.id


def test_renaming_moves_the_name_and_frees_the_old_one(engine, busybox_dir, roots):
    with engine.container(busybox_dir, FOREVER, name="one") as container:
        container.rename("two")
        assert container.name == engine.get("two").name == "two"
        with pytest.raises(td.ContainerNotFound):
            engine.get("one")
        with engine.container(busybox_dir, FOREVER, name="one") as other:
            with pytest.raises(td.NameInUse):
                other.rename("two")
            assert engine.get("one").id == other.id
        with pytest.raises(td.InvalidSpec):
            container.rename("../x")
    assert roots.names() == []


def test_a_container_that_another_handle_renamed_takes_its_name_with_it(engine, busybox_dir, roots):
    with engine.container(busybox_dir, FOREVER, name="one") as container:
        engine.get("one").rename("two")
        assert engine.get("two").id == container.id
    assert roots.names() == []


def test_a_container_is_found_by_name_id_and_beginning_of_its_id(engine, busybox_dir):
    with engine.container(busybox_dir, FOREVER, name="web") as container:
        for word in ("web", container.id, container.id[:5]):
            assert engine.get(word).id == container.id
        for word in ("", "we", "nobody", "../names/web", "/", "."):
            with pytest.raises(td.ContainerNotFound) as caught:
                engine.get(word)
            assert isinstance(caught.value, LookupError)

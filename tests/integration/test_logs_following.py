"""Logs: every line once, early or late, whole after rotation, and never a blocked container."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timezone

import pytest

import tinydocker as td
from programs import Program

pytestmark = pytest.mark.needs("root", "overlay", "busybox")

FOREVER = ["sleep", "1000"]


def numbered(count, then=""):
    return ["sh", "-c", f"i=0; while [ $i -lt {count} ]; do i=$((i+1)); echo line $i; done; {then}"]


def lines_to(count):
    return [f"line {n}\n" for n in range(1, count + 1)]


def test_both_streams_are_kept_in_order(engine, busybox_dir):
    with engine.container(busybox_dir, ["sh", "-c", "echo one; echo two >&2; echo three"]) as container:
        container.wait()
        assert sorted(container.logs().splitlines()) == ["one", "three", "two"]
        assert container.logs().index("one") < container.logs().index("three")


def test_a_reader_that_starts_early_sees_every_line_once_and_ends_at_the_end(engine, busybox_dir):
    container = engine.container(busybox_dir, numbered(5000)).create()
    seen = []
    reader = threading.Thread(target=lambda: seen.extend(container.logs(follow=True)))
    reader.start()
    container.start()
    reader.join()
    container.close()
    assert seen == lines_to(5000)


def test_a_reader_that_starts_late_sees_every_line_once(engine, busybox_dir):
    with engine.container(busybox_dir, numbered(300, "read x; echo last"), stdin=True) as container:
        while "line 300" not in container.logs():
            pass
        lines = container.logs(follow=True)
        assert [next(lines) for _ in range(300)] == lines_to(300)
        container.stdin.write(b"\n")
        assert list(lines) == ["last\n"]
        container.wait()
        assert list(container.logs(follow=True)) == [*lines_to(300), "last\n"], "after the end too"


def test_several_readers_and_other_programs_see_the_same(engine, busybox_dir):
    with engine.container(
        busybox_dir, ["sh", "-c", "read x; " + numbered(2000)[2]], stdin=True, name="web"
    ) as container:
        code = 'say("ready"); lines = list(td.get("web").logs(follow=True)); say(len(lines), len(set(lines)), lines[-1].strip())'
        with Program(code) as program:
            assert program.line() == "ready"
            seen = [[], []]
            readers = [threading.Thread(target=lambda s=s: s.extend(container.logs(follow=True))) for s in seen]
            for reader in readers:
                reader.start()
            container.stdin.write(b"\n")
            for reader in readers:
                reader.join()
            assert seen == [lines_to(2000)] * 2
            assert program.line() == "2000 2000 line 2000"


def test_tail_keeps_the_last_lines(engine, busybox_dir):
    with engine.container(busybox_dir, numbered(50, "read x; echo more"), stdin=True) as container:
        while "line 50" not in container.logs():
            pass
        assert container.logs(tail=2) == "line 49\nline 50\n"
        assert container.logs(tail=0) == ""
        assert container.logs(tail=1000) == "".join(lines_to(50))
        lines = container.logs(tail=1, follow=True)
        assert next(lines) == "line 50\n"
        container.stdin.write(b"\n")
        assert list(lines) == ["more\n"]
        for bad in (-1,):
            with pytest.raises(td.InvalidSpec, match="tail"):
                container.logs(tail=bad)


def test_timestamps_and_since(engine, busybox_dir):
    with engine.container(busybox_dir, ["sh", "-c", "echo one; read x; echo two"], stdin=True) as container:
        before = container.started
        assert next(container.logs(follow=True)) == "one\n"
        between = time.time()
        container.stdin.write(b"\n")
        container.wait()
        stamped = container.logs(timestamps=True).splitlines()
        moments = [datetime.strptime(line[:26] + "+0000", "%Y-%m-%dT%H:%M:%S.%f%z").timestamp() for line in stamped]
        assert before - 1 <= moments[0] <= between <= moments[1] <= time.time()
        assert [line.split(" ", 1)[1] for line in stamped] == ["one", "two"]
        assert container.logs(since=between) == "two\n"
        assert container.logs(since=datetime.fromtimestamp(between, timezone.utc)) == "two\n"
        assert container.logs(since=0) == "one\ntwo\n"
        assert container.logs(since=time.time() + 60) == ""


def test_a_last_line_without_an_end_is_kept_as_it_is(engine, busybox_dir):
    with engine.container(busybox_dir, ["printf", "one\\ntwo"]) as container:
        container.wait()
        assert container.logs() == "one\ntwo"
        assert list(container.logs(follow=True)) == ["one\n", "two"]


def test_a_very_long_line_and_odd_bytes_come_whole(engine, busybox_dir):
    script = "head -c 300000 /dev/zero | tr '\\0' x; echo; printf 'a\\tb \\377 c\\r\\n\\n'; printf '\\0'; echo end"
    with engine.container(busybox_dir, ["sh", "-c", script]) as container:
        container.wait()
        assert container.logs() == "x" * 300_000 + "\na\tb \ufffd c\r\n\n\0end\n"


def test_fifty_mebibytes_without_a_reader_never_block_and_stay_within_the_bound(engine, busybox_dir):
    script = "yes 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde | head -c 52428800; echo done"
    log = td.LogConfig(max_size="1m", max_files=3)
    with engine.container(busybox_dir, ["sh", "-c", script], log=log) as container:
        assert container.wait() == 0
        text = container.logs()
        assert text.endswith("done\n")
        assert len(text) <= 3 << 20
        assert set(text.splitlines()[1:-2]) == {"0123456789abcdef" * 3 + "0123456789abcde"}


def test_a_follower_sees_whole_lines_across_rotation(engine, busybox_dir):
    log = td.LogConfig(max_size="64k", max_files=1000)
    with engine.container(busybox_dir, ["sh", "-c", "read x; " + numbered(20000)[2]], stdin=True, log=log) as container:
        lines = container.logs(follow=True)
        container.stdin.write(b"\n")
        assert list(lines) == lines_to(20000)
        assert container.logs() == "".join(lines_to(20000))


def test_a_follower_that_is_too_slow_loses_whole_lines_only(engine, busybox_dir):
    log = td.LogConfig(max_size="16k", max_files=2)
    with engine.container(busybox_dir, numbered(20000), log=log) as container:
        lines = container.logs(follow=True)
        first = next(lines)
        container.wait()  # meanwhile nobody reads
        rest = list(lines)
        numbers = [int(line.removeprefix("line ")) for line in (first, *rest)]
        assert numbers == sorted(set(numbers)) and numbers[-1] == 20000


def test_a_program_that_closes_its_output_is_still_followed_to_its_end(engine, busybox_dir):
    with engine.container(busybox_dir, ["sh", "-c", "echo said; exec >&- 2>&-; read x"], stdin=True) as container:
        lines = container.logs(follow=True)
        assert next(lines) == "said\n"
        container.stdin.write(b"\n")
        assert list(lines) == []
        assert container.wait() == 0


def test_what_an_exec_says_is_not_in_the_log(engine, busybox_dir):
    with engine.container(busybox_dir, FOREVER) as container:
        container.exec(["echo", "aside"])
        assert container.logs() == ""


def test_an_unread_follower_can_be_dropped(engine, busybox_dir):
    with engine.container(busybox_dir, ["sh", "-c", "echo up; exec sleep 1000"]) as container:
        lines = container.logs(follow=True)
        assert next(lines) == "up\n"
        del lines  # the host differ sees that it holds no descriptor any more

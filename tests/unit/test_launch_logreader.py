"""Readers of a log that grows and rotates: every line once, in order, whenever they start."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinydocker import logreader
from tinydocker.errors import InvalidSpec
from tinydocker.launch.logs import LogWriter
from tinydocker.store.container_dir import ContainerDir

MANY = 200


@pytest.fixture
def directory(tmp_path: Path) -> ContainerDir:
    made, lock = ContainerDir.make(str(tmp_path), "0123456789ab")
    made.write_record({"id": "0123456789ab"}, durable=False)
    made.publish()
    os.close(lock)
    return made


def texts(directory: ContainerDir, tail: int | None = None, since: float | None = None) -> list[str]:
    return [line.text for line in logreader.read(directory, None, tail=tail, since=since, follow=False)]


def write(directory: ContainerDir, numbers: Iterator[int] | range, max_bytes: int = 500, max_files: int = MANY) -> None:
    writer = LogWriter(directory.log, max_bytes, max_files)
    for number in numbers:
        writer.write(b"stdout", b"%d\n" % number)
    writer.close()


def test_a_log_is_one_stream_across_its_files(directory):
    assert texts(directory) == []
    write(directory, range(100))
    assert os.path.exists(f"{directory.log}.5")
    assert texts(directory) == [str(n) for n in range(100)]
    assert texts(directory, tail=15) == [str(n) for n in range(85, 100)]
    assert texts(directory, tail=0) == []
    assert texts(directory, tail=1000) == [str(n) for n in range(100)]
    with pytest.raises(InvalidSpec, match="tail"):
        texts(directory, tail=-1)


def test_what_was_rotated_away_is_missing_at_the_beginning_alone(directory):
    write(directory, range(100), max_files=3)
    kept = [int(text) for text in texts(directory)]
    assert kept == list(range(kept[0], 100)) and 0 < kept[0] < 90


def test_since_is_by_the_time_of_each_line(directory):
    write(directory, range(3))
    lines = list(logreader.read(directory, None, tail=None, since=None, follow=False))
    whole, fraction = lines[1].time.rstrip("Z").split(".")
    import calendar
    import time

    moment = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction}")
    assert texts(directory, since=moment - 1e-6)[-2:] == ["1", "2"]
    assert texts(directory, since=moment + 3600) == []
    assert texts(directory, since=0) == ["0", "1", "2"]


def test_a_line_that_did_not_end_is_shown_as_it_was_said(directory):
    writer = LogWriter(directory.log, 1000, 1)
    writer.write(b"stdout", b"whole\npart")
    writer.close()
    lines = list(logreader.read(directory, None, tail=None, since=None, follow=False))
    assert "".join(line.shown(timestamps=False) for line in lines) == "whole\npart"
    assert b"".join(line.raw(timestamps=False) for line in lines) == b"whole\npart"
    assert lines[0].shown(timestamps=True) == f"{lines[0].time} whole\n"


def test_a_reader_that_comes_back_gets_what_is_new_across_many_rotations(directory):
    files = logreader._Files(directory.log)
    read: list[bytes] = []
    writer = LogWriter(directory.log, 300, MANY)
    for number in range(300):
        writer.write(b"stdout", b"%d\n" % number)
        if number % 37 == 0:
            read += files.lines()
    writer.close()
    read += files.lines()
    files.close()
    assert [int(line.split(b" ")[3]) for line in read] == list(range(300))


def test_a_reader_beside_a_writer_that_rotates_misses_and_repeats_nothing(directory):
    script = """
        import sys
        from tinydocker.launch.logs import LogWriter
        writer = LogWriter(sys.argv[1], 150, 200)
        for number in range(590):
            writer.write(b"stdout", b"%d\\n" % number)
        writer.close()
    """
    files = logreader._Files(directory.log)
    read: list[bytes] = []
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script), directory.log]) as writer:
        while writer.poll() is None:
            read += files.lines()
    read += files.lines()
    files.close()
    assert [int(line.split(b" ")[3]) for line in read] == list(range(590))


def test_a_reader_whose_file_was_rotated_away_goes_on_with_the_oldest_that_is_left(directory):
    files = logreader._Files(directory.log)
    writer = LogWriter(directory.log, 100, 3)
    writer.write(b"stdout", b"0\n")
    assert len(list(files.lines())) == 1
    for number in range(1, 50):
        writer.write(b"stdout", b"%d\n" % number)
    rest = [int(line.split(b" ")[3]) for line in files.lines()]
    assert rest[0] == 1, "what was written to the file in hand before it was rotated away"
    assert rest[1:] == list(range(rest[1], 50)) and rest[1] > 2
    writer.close()
    files.close()

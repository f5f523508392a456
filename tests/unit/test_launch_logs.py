"""The writer of logs: whole lines, bounded files, and no harm where it cannot write."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tinydocker.launch.logs import LogWriter

LINE = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) ([FP]) (.*)")
UNBOUNDED = 1 << 30


def said(path: Path) -> list[tuple[str, str, bytes]]:
    """Return (stream, tag, text) of each line of one file."""
    found = []
    for raw in path.read_bytes().split(b"\n")[:-1]:
        line = LINE.fullmatch(raw)
        assert line, raw
        found.append((line[1].decode(), line[2].decode(), line[3]))
    assert path.read_bytes().endswith(b"\n") or not found
    return found


def files(path: Path) -> list[Path]:
    """Return the files of a log, the oldest first."""
    names = [Path(f"{path}.{number}") for number in range(9, 0, -1)]
    return [name for name in (*names, path) if name.exists()]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "c").mkdir()
    return tmp_path / "c/log"


def test_whole_lines_are_written_at_once_with_time_stream_and_tag(log):
    writer = LogWriter(str(log), UNBOUNDED, 1)
    writer.write(b"stdout", b"one\ntwo\n\n")
    writer.write(b"stderr", b"three\n")
    assert said(log) == [
        ("stdout", "F", b"one"),
        ("stdout", "F", b"two"),
        ("stdout", "F", b""),
        ("stderr", "F", b"three"),
    ]
    assert os.stat(log).st_mode & 0o777 == 0o600
    writer.close()


def test_a_line_that_comes_in_pieces_is_one_line_of_its_own_stream(log):
    writer = LogWriter(str(log), UNBOUNDED, 1)
    for stream, piece in [
        (b"stdout", b"a"),
        (b"stderr", b"x"),
        (b"stdout", b"b"),
        (b"stderr", b"y\n"),
        (b"stdout", b"c\nd"),
    ]:
        writer.write(stream, piece)
    assert said(log) == [("stderr", "F", b"xy"), ("stdout", "F", b"abc")]
    writer.close()
    assert said(log)[2:] == [("stdout", "P", b"d")]


def test_a_line_without_end_is_written_in_parts_and_never_kept_in_memory(log):
    writer = LogWriter(str(log), UNBOUNDED, 1)
    for _ in range(40):
        writer.write(b"stdout", b"x" * 1000)
    writer.write(b"stdout", b"\n")
    writer.close()
    lines = said(log)
    assert [tag for _, tag, _ in lines] == ["P", "P", "F"]
    assert b"".join(text for _, _, text in lines) == b"x" * 40_000


def test_any_bytes_are_kept(log):
    data = bytes(range(256)).replace(b"\n", b"")
    writer = LogWriter(str(log), UNBOUNDED, 1)
    writer.write(b"stdout", data + b"\n")
    writer.close()
    assert log.read_bytes().split(b" ", 3)[3] == data + b"\n"


def test_nothing_said_is_an_empty_file(log):
    LogWriter(str(log), 100, 3).close()
    assert log.read_bytes() == b""


def test_a_second_writer_goes_on_where_the_first_stopped(log):
    for word in (b"one\n", b"two\n"):
        writer = LogWriter(str(log), UNBOUNDED, 1)
        writer.write(b"stdout", word)
        writer.close()
    assert [text for _, _, text in said(log)] == [b"one", b"two"]


@pytest.mark.parametrize("max_files", [1, 2, 5])
@pytest.mark.parametrize("chunk", [1, 7, 500])
def test_neither_a_file_nor_their_number_grows_beyond_its_bound(log, max_files, chunk):
    bound = 1000
    writer = LogWriter(str(log), bound, max_files)
    numbers = iter(range(1000))
    for _ in range(200 // chunk + 1):
        writer.write(b"stdout", b"".join(b"line %d\n" % next(numbers) for _ in range(chunk)))
        assert len(files(log)) <= max_files
        assert all(os.stat(file).st_size <= bound for file in files(log))
    writer.close()
    kept = [int(text.split()[1]) for file in files(log) for _, _, text in said(file)]
    last = next(numbers) - 1
    assert kept == list(range(kept[0], last + 1)), "what is kept is the newest, in order and without a gap"
    assert len(files(log)) == max_files
    assert writer.lost is None


def test_a_line_longer_than_a_file_is_kept_whole_in_a_file_of_its_own(log):
    writer = LogWriter(str(log), 200, 3)
    writer.write(b"stdout", b"short\n" + b"x" * 5000 + b"\nafter\n")
    writer.close()
    assert [[text for _, _, text in said(file)] for file in files(log)] == [[b"short"], [b"x" * 5000], [b"after"]]


def test_a_writer_that_cannot_go_on_says_so_and_writes_to_nothing_else(log, tmp_path):
    writer = LogWriter(str(log), 100, 3)
    writer.write(b"stdout", b"kept\n")
    shutil.rmtree(log.parent)
    writer.write(b"stdout", b"x" * 100 + b"\n")  # it has to begin another file, and cannot
    innocent = tmp_path / "innocent"
    fds = [os.open(innocent, os.O_RDWR | os.O_CREAT) for _ in range(3)]
    writer.write(b"stdout", b"y" * 100 + b"\n")
    assert isinstance(writer.lost, OSError)
    writer.close()
    for fd in fds:  # one of them has the number that was the log's
        assert os.pread(fd, 1, 0) == b""
        os.close(fd)


def test_a_writer_that_can_go_on_again_does(log):
    writer = LogWriter(str(log), 100, 3)
    writer.write(b"stdout", b"kept\n")
    shutil.rmtree(log.parent)
    writer.write(b"stdout", b"lost" * 30 + b"\n")
    log.parent.mkdir()
    writer.write(b"stdout", b"again\n")
    writer.close()
    assert [text for _, _, text in said(log)] == [b"again"]


def test_a_device_without_room_is_a_loss_that_is_told(tmp_path):
    writer = LogWriter("/dev/full", UNBOUNDED, 1)
    writer.write(b"stdout", b"x\n")
    assert writer.lost is not None and writer.lost.strerror == "No space left on device"
    writer.close()


def test_the_lock_is_let_go_with_the_log_and_not_before(log):
    reading, lock = os.pipe()
    writer = LogWriter(str(log), UNBOUNDED, 1, lock=lock)
    writer.write(b"stdout", b"x\n")
    os.fstat(lock)
    writer.close()
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_no_part_of_a_line_is_left_where_there_was_no_room_for_the_whole(log):
    script = """
        import resource, signal, sys
        from tinydocker.launch.logs import LogWriter
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        writer = LogWriter(sys.argv[1], 1 << 30, 1)
        writer.write(b"stdout", b"before\\n")
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
        writer.write(b"stdout", b"x" * 500 + b"\\n")
        assert isinstance(writer.lost, OSError)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        writer.write(b"stdout", b"after\\n")
        writer.close()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script), log], check=True)
    assert [text for _, _, text in said(log)] == [b"before", b"after"]

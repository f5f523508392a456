"""Messages between program and supervisor: any size, many descriptors, in order, and seen without being taken."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinydocker.launch import protocol


@pytest.fixture
def ends() -> Iterator[tuple[object, object]]:
    ours, theirs = protocol.pair()
    yield ours, theirs
    ours.close()
    theirs.close()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def message_of(size: int) -> dict[str, str]:
    """Return a message whose JSON has ``size`` bytes."""
    return {"text": "x" * (size - len('{"text":""}'))}


@pytest.mark.parametrize(
    "message",
    [{}, {"a": [1, None, 2.5, True]}, {"path": os.fsdecode(b"/\xff\xfe")}, {"text": "ä\n\0\"'\\"}],
    ids=["empty", "values", "bytes", "characters"],
)
def test_a_message_comes_as_it_was_sent(ends, message):
    ours, theirs = ends
    protocol.send(ours, message)
    assert protocol.receive(theirs) == (message, [])


@pytest.mark.parametrize("size", [64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 1 << 20, 5 << 20])
def test_a_message_of_any_size_arrives_whole_and_leaves_no_descriptor(ends, size):
    ours, theirs = ends
    before = open_files()
    message = message_of(size)
    protocol.send(ours, message)
    assert protocol.receive(theirs) == (message, [])
    assert open_files() == before


@pytest.mark.parametrize("size", [100, 200_000])
@pytest.mark.parametrize("count", [1, 17, 252])
def test_descriptors_arrive_in_their_order_and_end_with_an_exec(ends, tmp_path: Path, size, count):
    ours, theirs = ends
    files = []
    for number in range(count):
        (tmp_path / str(number)).write_text(str(number))
        files.append(os.open(tmp_path / str(number), os.O_RDONLY))
    try:
        protocol.send(ours, message_of(size), files)
        message, received = protocol.receive(theirs)
        assert message == message_of(size)
        assert [os.read(fd, 10).decode() for fd in received] == [str(number) for number in range(count)]
        assert not any(os.get_inheritable(fd) for fd in received)
        for fd in received:
            os.close(fd)
    finally:
        for fd in files:
            os.close(fd)


def test_more_descriptors_than_the_kernel_carries_are_refused_before_anything_is_sent(ends):
    ours, theirs = ends
    with pytest.raises(ValueError, match="252"):
        protocol.send(ours, {}, [0] * 253)
    protocol.send(ours, {"next": 1})
    assert protocol.receive(theirs) == ({"next": 1}, [])


@pytest.mark.parametrize("size", [100, 200_000])
def test_a_message_that_is_only_looked_at_stays_with_its_descriptors(ends, size):
    ours, theirs = ends
    message = message_of(size)
    before = open_files()
    protocol.send(ours, message, [0])
    for _ in range(3):
        assert protocol.receive(theirs, peek=True) == (message, [])
    assert open_files() == before
    found, (fd,) = protocol.receive(theirs)
    assert found == message
    os.close(fd)


def test_messages_keep_their_order_and_their_borders(ends):
    ours, theirs = ends
    for number in range(50):
        protocol.send(ours, {"n": number})
    assert [protocol.receive(theirs)[0] for _ in range(50)] == [{"n": number} for number in range(50)]


def test_what_was_sent_before_the_other_side_closed_is_still_received(ends):
    ours, theirs = ends
    protocol.send(ours, {"last": True})
    ours.close()
    assert protocol.receive(theirs, peek=True) == ({"last": True}, [])
    assert protocol.receive(theirs) == ({"last": True}, [])
    assert protocol.receive(theirs) == (None, [])
    assert protocol.receive(theirs, peek=True) == (None, [])


def test_pending_is_a_message_and_not_the_other_sides_closing(ends):
    ours, theirs = ends
    assert not protocol.is_pending(theirs)
    protocol.send(ours, {})
    assert protocol.is_pending(theirs) and protocol.is_pending(theirs)
    protocol.receive(theirs)
    assert not protocol.is_pending(theirs)
    ours.close()
    assert not protocol.is_pending(theirs)


def test_sending_to_nobody_is_an_error_and_no_signal(ends):
    ours, theirs = ends
    theirs.close()
    for size in (10, 200_000):
        before = open_files()
        with pytest.raises(BrokenPipeError):
            protocol.send(ours, message_of(size + 20), [0])
        assert open_files() == before


def test_both_ends_end_with_an_exec(ends):
    assert not any(os.get_inheritable(end.fileno()) for end in ends)

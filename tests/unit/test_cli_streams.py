"""A flow moves every byte, waits for nobody it need not wait for, and ends politely."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tinydocker.cli.streams import Flow, Pump, own_writer


class Pipe:
    """A pipe whose ends are closed with the test, unless the test has closed them."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.writing, False)

    def close_reading(self) -> None:
        if self.reading >= 0:
            os.close(self.reading)
            self.reading = -1

    def close_writing(self) -> None:
        if self.writing >= 0:
            os.close(self.writing)
            self.writing = -1


@pytest.fixture
def pipes() -> Iterator[tuple[Pipe, Pipe]]:
    with ExitStack() as stack:
        made = Pipe(), Pipe()
        for pipe in made:
            stack.callback(pipe.close_reading)
            stack.callback(pipe.close_writing)
        yield made


def joined(pipes: tuple[Pipe, Pipe], recorded: list[bytes] | None = None) -> tuple[Pump, Flow]:
    source, sink = pipes
    flow = Flow(
        source.reading,
        sink.writing,
        record=None if recorded is None else recorded.append,
        close_source=source.close_reading,
        close_sink=sink.close_writing,
    )
    pump = Pump()
    pump.flows.append(flow)
    return pump, flow


def pump_if_possible(pump: Pump, flow: Flow, pipes: tuple[Pipe, Pipe], unread: int) -> None:
    if unread or flow.interest == (pipes[1].writing, select.POLLOUT):
        pump.turn()


def test_bytes_pass_at_once_without_waiting_for_a_line(pipes: tuple[Pipe, Pipe]) -> None:
    pump, _ = joined(pipes)
    os.write(pipes[0].writing, b"name? ")
    pump.turn()
    assert os.read(pipes[1].reading, 99) == b"name? "


def test_the_end_of_the_source_closes_the_sink(pipes: tuple[Pipe, Pipe]) -> None:
    pump, flow = joined(pipes)
    os.write(pipes[0].writing, b"last")
    pipes[0].close_writing()
    while not flow.is_over:
        pump.turn()
    assert os.read(pipes[1].reading, 99) == b"last"
    assert os.read(pipes[1].reading, 99) == b""


def test_a_full_sink_is_waited_for_and_nothing_is_lost(pipes: tuple[Pipe, Pipe]) -> None:
    recorded: list[bytes] = []
    pump, flow = joined(pipes, recorded)
    data = os.urandom(1 << 20)
    sent, got = 0, b""
    while len(got) < len(data):
        if sent < len(data):
            try:
                sent += os.write(pipes[0].writing, data[sent : sent + 50_000])
            except BlockingIOError:
                pass
        if flow.interest == (pipes[1].writing, select.POLLOUT) or sum(map(len, recorded)) == sent:
            got += os.read(pipes[1].reading, 100_000)
        pump_if_possible(pump, flow, pipes, sent - sum(map(len, recorded)))
    assert got == data
    assert b"".join(recorded) == data


def test_a_reader_that_has_gone_closes_the_source(pipes: tuple[Pipe, Pipe]) -> None:
    pump, flow = joined(pipes)
    pipes[1].close_reading()
    os.write(pipes[0].writing, b"x")
    pump.turn()
    assert flow.is_over and flow.is_refused
    with pytest.raises(BrokenPipeError):
        os.write(pipes[0].writing, b"y")


def test_finishing_takes_what_is_there_and_does_not_wait_for_more(pipes: tuple[Pipe, Pipe]) -> None:
    _, flow = joined(pipes)
    os.write(pipes[0].writing, b"done")
    flow.finish()  # the writing end is still open, as with a process left in the background
    assert flow.is_over
    assert os.read(pipes[1].reading, 99) == b"done"


def test_a_flow_that_may_not_read_rests_until_it_is_told(pipes: tuple[Pipe, Pipe]) -> None:
    allowed = [False, True]
    flow = Flow(pipes[0].reading, pipes[1].writing, may_read=lambda: allowed.pop(0))
    os.write(pipes[0].writing, b"typed")
    flow.proceed()
    assert flow.interest is None
    assert flow.is_resting
    pump = Pump()
    pump.flows.append(flow)
    pump.turn()
    pump.turn()
    assert os.read(pipes[1].reading, 99) == b"typed"


def test_a_pipe_is_written_through_a_description_of_its_own() -> None:
    pipe = Pipe()
    os.set_blocking(pipe.writing, True)
    own, close = own_writer(pipe.writing)
    assert close is not None
    assert not os.get_blocking(own) and os.get_blocking(pipe.writing)
    close()
    pipe.close_reading()
    pipe.close_writing()


def test_anything_else_is_written_as_it_is() -> None:
    fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    assert own_writer(fd) == (fd, None)
    os.close(fd)

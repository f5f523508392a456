"""A command in the foreground: its streams, its terminal, its signals and its exit code are this program's.

Source: signal(7); docker-run(1) for what is passed on.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from ..process import PIPE
from . import terminal
from .streams import Flow, Pump, own_writer

if TYPE_CHECKING:
    from ..container import Container
    from ..process import ContainerProcess

# What a person or a service manager sends to a program in order to reach what it runs.
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def run(container: Container) -> int:
    """Start ``container`` in the foreground and return its exit code; what it writes is kept in its log too."""
    tty = bool(container.spec.tty)
    with ExitStack() as undo:
        undo.callback(container.close)
        container.create()
        log = container.open_log()
        undo.callback(log.close)
        process = container.start_process(stdin=PIPE, size=terminal.size() if tty else None)
        undo.callback(process.close)
        signals = undo.enter_context(Signals())
        return follow(process, signals, stdin=True, tty=tty, record=log.write)


def follow(
    process: ContainerProcess,
    signals: Signals,
    *,
    stdin: bool,
    tty: bool,
    record: Callable[[bytes, bytes], object] | None = None,
) -> int:
    """Be the streams of ``process`` until it has ended, and return its exit code.

    With ``stdin`` this program's is passed on. With ``tty`` too the caller's terminal is in raw
    mode meanwhile; a signal then ends the command, as nothing but a broken line brings one.
    """
    with ExitStack() as undo:
        pump = Pump()
        undo.callback(pump.close)
        raw = undo.enter_context(terminal.raw()) if tty and stdin else None
        outputs = _outputs(process, record, tty=tty)
        pump.flows += outputs
        if stdin and process.stdin:
            inlet = process.stdin.fileno()
            os.set_blocking(inlet, False)
            typing = Flow(
                0, inlet, close_sink=None if tty else process.stdin.close, may_read=lambda: not terminal.in_background()
            )
            pump.flows.append(typing)
        ended = Ended(process, pump, outputs)
        pump.watch(process.fileno(), ended)
        pump.watch(signals.fd, lambda: _on_signals(signals, process, raw, tty=tty))
        while not ended.happened or not all(flow.is_over for flow in outputs):
            pump.turn()
            if tty and any(flow.is_refused for flow in outputs):
                raise BrokenPipeError
    return exit_code(process.wait())


class Ended:
    """Called when the process has ended: what it has written is moved, and nothing more is awaited."""

    def __init__(self, process: ContainerProcess, pump: Pump, outputs: list[Flow]) -> None:
        self.happened = False
        self._process = process
        self._pump = pump
        self._outputs = outputs

    def __call__(self) -> None:
        """Take the end in."""
        self.happened = True
        self._pump.forget(self._process.fileno())
        for flow in self._outputs:
            flow.finish()


def _outputs(process: ContainerProcess, record: Callable[[bytes, bytes], object] | None, *, tty: bool) -> list[Flow]:
    flows = []
    for stream, fd, name in ((process.stdout, 1, b"stdout"), (process.stderr, 2, b"stderr")):
        if stream is not None:
            sink, close_sink = own_writer(fd)
            recorder = partial(record, name) if record else None
            close_source = None if tty else stream.close  # the terminal is needed for its size as long as it lives
            flows.append(Flow(stream.fileno(), sink, record=recorder, close_source=close_source, close_sink=close_sink))
    return flows


def _on_signals(signals: Signals, process: ContainerProcess, raw: terminal.Raw | None, *, tty: bool) -> None:
    for number in signals.take():
        if number == signal.SIGWINCH:
            if tty:
                process.resize(*terminal.size())
        elif number == signal.SIGCONT:
            if raw and not terminal.in_background():
                raw.enter()
        elif raw:
            raise SystemExit(128 + number)
        else:
            process.send_signal(number)


def exit_code(returncode: int) -> int:
    """Return the exit code that stands for ``returncode``: 128+N for signal N."""
    return returncode if returncode >= 0 else 128 - returncode


class Signals:
    """Takes the signals that are to be passed on, as bytes to be read from ``fd``; what was ignored stays so."""

    def __init__(self) -> None:
        self.fd, self._writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._before: dict[int, object] = {}

    def __enter__(self) -> Signals:
        self._fd_before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        for number in (*_PASSED_ON, signal.SIGWINCH, signal.SIGCONT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, _noticed)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        signal.set_wakeup_fd(self._fd_before)
        os.close(self.fd)
        os.close(self._writing)

    def take(self) -> list[int]:
        """Return the numbers of the signals that have come."""
        try:
            return list(os.read(self.fd, 4096))
        except BlockingIOError:
            return []


def _noticed(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the wake-up descriptor tells."""

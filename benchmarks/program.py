"""A user's program of a given size: so much heap, so many threads; it obeys orders and answers with figures.

Started by ``Program`` as ``python -m benchmarks.program HEAP_BYTES THREADS IMAGE``; one order a line on
standard input, one JSON answer a line on standard output.

=================  ===========================================================
order              answer
=================  ===========================================================
``run``            seconds that `tinydocker.run(image, ["true"])` took
``exec``           seconds that an exec of `true` in a running container took
``start``          seconds until a container that sleeps was started (it is removed again)
``subprocess …``   seconds that `subprocess.run` of the words (JSON) took
``hold N``         N, once N idle containers run (those before go on)
=================  ===========================================================
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.peers.tinydocker import SLEEP, timed_exec, timed_run
from benchmarks.report import Report

PAGE = 4096


class Program:
    """The side of the harness."""

    def __init__(self, image: str, env: Mapping[str, str], heap_bytes: int = 0, threads: int = 1) -> None:
        argv = [sys.executable, "-m", "benchmarks.program", str(heap_bytes), str(threads), image]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(env)
        )
        self.pid = self._process.pid

    def ask(self, order: str) -> float:
        """Give an order and return the figure that comes back."""
        assert self._process.stdin and self._process.stdout and self._process.stderr
        try:
            self._process.stdin.write(order + "\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline())
        except (BrokenPipeError, ValueError):
            self._process.wait()
            raise RuntimeError(f"the program ended: {self._process.stderr.read().strip()[-400:]}") from None
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return float(answer["figure"])

    def close(self) -> None:
        """End the program and wait until it has gone."""
        self._process.communicate()


class _Obedience:
    """The side of the program: what it holds while it obeys."""

    def __init__(self, image: str) -> None:
        self._image = image
        self._held = contextlib.ExitStack()
        self._entered: Any = None
        self._target: Any = None
        self._count = 0

    def close(self) -> None:
        self._held.close()

    def image(self) -> Any:
        if self._entered is None:
            import tinydocker

            self._entered = self._held.enter_context(tinydocker.Image(self._image))
        return self._entered

    def run(self) -> float:
        import tinydocker

        return timed_run(tinydocker, self.image())

    def container(self) -> Any:
        import tinydocker

        return self._held.enter_context(tinydocker.Container(self.image(), SLEEP))

    def exec(self) -> float:
        if self._target is None:
            self._target = self.container()
        return timed_exec(self._target)

    def start(self) -> float:
        import tinydocker

        container = tinydocker.Container(self.image(), SLEEP)
        before = time.perf_counter()
        with container:
            return time.perf_counter() - before

    def hold(self, count: int) -> float:
        while self._count < count:
            self.container()
            self._count += 1
        return self._count

    def subprocess(self, argv: list[str]) -> float:
        before = time.perf_counter()
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, capture_output=True)
        return time.perf_counter() - before

    def obey(self, order: str) -> float:
        verb, _, words = order.partition(" ")
        if verb == "hold":
            return self.hold(int(words))
        if verb == "subprocess":
            return self.subprocess(json.loads(words))
        return {"run": self.run, "exec": self.exec, "start": self.start}[verb]()


def main(heap_bytes: int, threads: int, image: str) -> None:
    """Grow to the size asked for, then obey until standard input ends."""
    heap = bytearray(heap_bytes)
    heap[::PAGE] = b"\1" * len(range(0, heap_bytes, PAGE))  # touched, so that it is really there
    end = threading.Event()
    for _ in range(threads - 1):
        threading.Thread(target=end.wait, daemon=True).start()
    obedience = _Obedience(image)
    try:
        for line in sys.stdin:
            answer: dict[str, Any] = {}
            tried = Report()
            with tried.attempt("", ""):
                answer["figure"] = obedience.obey(line.strip())
            for absence in tried.absences:
                answer["error"] = absence.reason
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
    finally:
        obedience.close()
        end.set()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])

"""The small program that starts the peers and times them, in a mount namespace of its own.

Started by ``Runner`` through ``unshare``; both sides speak JSON, one object a line.

========================================  =============================================
order                                     answer
========================================  =============================================
``{"do": "run", "argv": […]}``            ``{"seconds": 0.0047}``
``{"do": "many", "argvs": […], "n": 8}``  ``{"seconds": 0.93}``, all of them, n at once
``{"do": "start", "argv": […]}``          ``{"pid": 4711}``
``{"do": "end", "pid": 4711, "by": 15}``  ``{}``, once it has ended
========================================  =============================================

An order that fails is answered by ``{"error": reason}``.  In its mount namespace /run and the
state directories of podman and docker are empty, so that a peer sees and leaves nothing of the
host's; and the cgroup2 of a hybrid host is hidden, because crun refuses to run beside it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

if __name__ == "__main__":  # started with -I -S: nothing of the user's environment is on the path
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from benchmarks import residue, spawn

UNIFIED = "/sys/fs/cgroup/unified"
EMPTIED = ("/run", *residue.DIRECTORIES)
PREPARE = f"""
set -e
for d in {" ".join(EMPTIED)}; do if [ -d $d ]; then mount -t tmpfs tmpfs $d; fi; done
if grep -q . {UNIFIED}/cgroup.controllers 2>/dev/null; then umount {UNIFIED}; fi
exec "$@"
"""


def namespaced(*argv: str, net: bool = False) -> tuple[str, ...]:
    """Return a command that runs another one in a mount namespace prepared as described above."""
    unshare = spawn.find("unshare") or "unshare"
    apart = ("--net",) if net else ()
    bound = (spawn.find("setpriv") or "setpriv", "--pdeathsig", "TERM")  # so that it ends with us, however we end
    return (*bound, unshare, "--mount", "--propagation", "private", *apart, "sh", "-c", PREPARE, "sh", *argv)


class Runner:
    """This program's end of the pair."""

    def __init__(self) -> None:
        argv = namespaced(sys.executable, "-I", "-S", __file__)
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid

    def close(self) -> None:
        """Let it end, after whatever it still does."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, **order: Any) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise spawn.Failed("the runner ended")
        answer = json.loads(line)
        if "error" in answer:
            raise spawn.Failed(answer["error"])
        return answer

    def run(self, argv: Sequence[str]) -> float:
        """Run a program to its end; return how many seconds that took."""
        return float(self._ask(do="run", argv=argv)["seconds"])

    def run_many(self, argvs: Iterable[Sequence[str]], at_once: int) -> float:
        """Run programs, *at_once* of them at any time; return how many seconds that took."""
        return float(self._ask(do="many", argvs=list(argvs), n=at_once)["seconds"])

    def start(self, argv: Sequence[str]) -> int:
        """Start a program and return its pid."""
        return int(self._ask(do="start", argv=argv)["pid"])

    def end(self, pid: int, signal_number: int) -> None:
        """Send a signal to a program that was started, and wait for its end."""
        self._ask(do="end", pid=pid, by=signal_number)


def obey(order: dict[str, Any]) -> dict[str, Any]:
    """Carry out one order and return its answer."""
    before = time.perf_counter()
    if order["do"] == "run":
        spawn.run(order["argv"])
    elif order["do"] == "many":
        spawn.run_many(iter(order["argvs"]), order["n"])
    elif order["do"] == "start":
        return {"pid": spawn.start(order["argv"])}
    elif order["do"] == "end":
        os.kill(order["pid"], order["by"])
        os.waitpid(order["pid"], 0)
        return {}
    return {"seconds": time.perf_counter() - before}


def main() -> None:
    """Obey until the other end closes."""
    for line in sys.stdin:
        try:
            answer = obey(json.loads(line))
        except (spawn.Failed, OSError) as error:
            answer = {"error": str(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

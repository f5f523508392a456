"""Another process that exchanges two names without pause (renameat2, RENAME_EXCHANGE)."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

RACER = """
import ctypes, os, select, sys
libc = ctypes.CDLL(None)
one, other = map(os.fsencode, sys.argv[1:])
sys.stdout.write("ready\\n"); sys.stdout.flush()
while not select.select([0], [], [], 0)[0]:
    for _ in range(64):
        libc.renameat2(-100, one, -100, other, 2)
"""


@contextlib.contextmanager
def exchanging(one: Path, other: Path) -> Iterator[None]:
    """Have another process exchange two names without pause."""
    command = [sys.executable, "-I", "-S", "-c", RACER, one, other]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as racer:
        assert racer.stdout is not None
        assert racer.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            racer.communicate(b"end")

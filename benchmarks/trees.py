"""A root file system of many files, and archives of it in every compression."""

from __future__ import annotations

import io
import random
import subprocess
import tarfile
from pathlib import Path

from benchmarks import spawn

COMPRESSORS = {"": (), ".gz": ("gzip", "-6"), ".xz": ("xz", "-2", "-T2"), ".zst": ("zstd", "-q", "-3")}
WORDS = 4096


def _contents(source: random.Random, words: list[bytes]) -> bytes:
    """Return text that compresses about as well as a distribution's files do; small files are frequent."""
    size = min(int(source.lognormvariate(7.6, 1.6)), 400_000)
    return b" ".join(source.choices(words, k=size // 7 + 1))[:size]


def write_archive(path: Path, files: int, seed: int = 3) -> int:
    """Write an uncompressed archive with so many files in nested directories; return the bytes in them."""
    source = random.Random(seed)
    words = [source.randbytes(source.randint(2, 10)) for _ in range(WORDS)]
    total = 0
    with tarfile.open(path, "w") as tar:
        for number in range(files):
            top, below = number // 500, number // 20 % 25
            if number % 20 == 0:
                for name in ([f"usr/{top}"] if below == 0 else []) + [f"usr/{top}/{below}"]:
                    directory = tarfile.TarInfo(name)
                    directory.type, directory.mode, directory.mtime = tarfile.DIRTYPE, 0o755, 1_700_000_000
                    tar.addfile(directory)
            member = tarfile.TarInfo(f"usr/{top}/{below}/file-{number}")
            data = _contents(source, words)
            member.size, member.mode, member.mtime = len(data), 0o755 if number % 9 == 0 else 0o644, 1_700_000_000
            tar.addfile(member, io.BytesIO(data))
            total += len(data)
    return total


def compress(path: Path, suffix: str) -> Path:
    """Compress a file beside itself; the original stays."""
    if not suffix:
        return path
    program, *options = COMPRESSORS[suffix]
    found = spawn.find(program)
    if found is None:
        raise FileNotFoundError(f"{program} is not installed")
    target = path.with_name(path.name + suffix)
    with open(path, "rb") as source, open(target, "wb") as sink:
        subprocess.run([found, *options, "-c"], stdin=source, stdout=sink, check=True)
    return target

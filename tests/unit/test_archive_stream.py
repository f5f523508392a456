"""The stream of an archive: all of it, in order, hashed, and ended early without a thread left."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tinydocker.image_store.archive import ArchiveDamaged
from tinydocker.image_store.stream import ArchiveStream

CONTENT = random.Random(1).randbytes(1 << 20) * 9 + b"end"
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@contextmanager
def stream_of(tmp_path: Path, data: bytes, compression: str) -> Iterator[ArchiveStream]:
    (tmp_path / "archive").write_bytes(data)
    fd = os.open(tmp_path / "archive", os.O_RDONLY)
    threads = threading.active_count()
    try:
        with ArchiveStream(fd, compression) as stream:
            yield stream
        assert threading.active_count() == threads
    finally:
        os.close(fd)


@pytest.mark.parametrize("compression", ["tar", "gzip"])
def test_every_byte_is_handed_on_in_order_and_hashed(tmp_path: Path, compression: str) -> None:
    data = CONTENT if compression == "tar" else gzip.compress(CONTENT, 1)
    with stream_of(tmp_path, data, compression) as stream:
        assert b"".join(bytes(piece) for piece in stream) == CONTENT
        assert stream.digest() == DIGEST


@pytest.mark.parametrize("compression", ["tar", "gzip"])
def test_a_piece_stays_as_it_is_until_the_next_is_asked_for(tmp_path: Path, compression: str) -> None:
    data = CONTENT if compression == "tar" else gzip.compress(CONTENT, 1)
    with stream_of(tmp_path, data, compression) as stream:
        sha256 = hashlib.sha256()
        for piece in stream:
            early = bytes(piece)
            while stream._unhashed:  # let the reader go as far as it can
                stream._hash_one()
            assert early == piece
            sha256.update(piece)
        assert stream.digest() == DIGEST == f"sha256:{sha256.hexdigest()}"


@pytest.mark.parametrize("pieces", [0, 1, 2])
def test_a_stream_that_is_not_read_to_its_end_ends_too(tmp_path: Path, pieces: int) -> None:
    with stream_of(tmp_path, CONTENT, "tar") as stream:
        for _ in range(pieces):
            next(stream)


def test_a_stopped_stream_raises(tmp_path: Path) -> None:
    with stream_of(tmp_path, CONTENT, "tar") as stream:
        next(stream)
        stream.stop()
        with pytest.raises(InterruptedError):
            for _ in stream:
                pass


def test_damage_is_raised_by_the_reader_and_again_by_the_digest(tmp_path: Path) -> None:
    with stream_of(tmp_path, gzip.compress(CONTENT, 1)[:-100], "gzip") as stream:
        with pytest.raises(ArchiveDamaged, match="truncated"):
            for _ in stream:
                pass
        with pytest.raises(ArchiveDamaged, match="truncated"):
            stream.digest()

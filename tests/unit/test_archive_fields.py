"""The fields of tar headers, read from bytes."""

from __future__ import annotations

import random
import tarfile
from array import array

import pytest

from tinydocker.image_store.archive import ArchiveDamaged
from tinydocker.image_store.later import Directories
from tinydocker.image_store.tarfields import (
    check_extents,
    check_sum,
    comma_extents,
    decimal,
    nanoseconds,
    number,
    pax_records,
)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0000644\0", 0o644),
        (b" 644 \0\0\0", 0o644),
        (b"\0" * 8, 0),
        (b"17\0garbage", 0o17),
        (b"77777777777 ", 0o77777777777),
        (b"\x80\0\0\0\0\0\0\x01\0\0\0\0", 1 << 32),
        (b"\xff" * 12, -1),
        (b"\xff\xff\xff\xff\xff\xff\xff\xfe", -2),
    ],
)
def test_numbers_of_every_kind(field: bytes, value: int) -> None:
    assert number(field) == value


def test_a_number_that_is_none_is_damage() -> None:
    for field in (b"12x4567\0", b"99\0", b"-1\0", b"0x10\0"):
        with pytest.raises(ArchiveDamaged):
            number(field)


def test_every_flipped_bit_of_a_header_is_noticed() -> None:
    generator = random.Random(3)
    for _ in range(50):
        info = tarfile.TarInfo("".join(generator.choice("aé\xff/z") for _ in range(generator.randrange(1, 90))))
        info.size, info.mtime, info.uid = generator.randrange(1 << 33), generator.randrange(1 << 31), 1000
        block = bytearray(info.tobuf(tarfile.GNU_FORMAT)[-512:])
        check_sum(bytes(block))
        for bit in range(0, 4096, 37):
            if 148 <= bit // 8 < 156:
                continue  # the checksum itself: its padding may be anything
            block[bit // 8] ^= 1 << bit % 8
            with pytest.raises(ArchiveDamaged):
                check_sum(bytes(block))
            block[bit // 8] ^= 1 << bit % 8


def test_pax_records_hold_any_bytes() -> None:
    value = b"a\nb\xff\0=c"
    body = b"path=" + value + b"\n"
    record = b"%d %s" % (len(body) + 3, body)
    assert pax_records(record + b"9 mtime=\n") == [(b"path", value), (b"mtime", b"")]
    assert pax_records(b"") == [] and pax_records(bytes(10)) == []


@pytest.mark.parametrize(
    "data", [b"99 path=a\n", b"9 path=ab", b"x path=a\n", b"0 a=b\n", b"6 ab=\nz", b"7 patha\n", b"-6 a=b\n"]
)
def test_malformed_pax_records_are_damage(data: bytes) -> None:
    with pytest.raises(ArchiveDamaged):
        pax_records(data)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"1", 10**9),
        (b"1.5", 1_500_000_000),
        (b"1.0000000019", 10**9 + 1),
        (b"-1.5", -1_500_000_000),
        (b"-0.25", -250_000_000),
    ],
)
def test_times_to_the_nanosecond(text: bytes, value: int) -> None:
    assert nanoseconds(text) == value


def test_odd_numbers_are_damage() -> None:
    for text in (b"", b"1.x", b"1e3", b"9" * 30, b"--1", b"\xb2"):
        with pytest.raises(ArchiveDamaged):
            nanoseconds(text)
    with pytest.raises(ArchiveDamaged):
        decimal(b"0x1", "size")


@pytest.mark.parametrize(
    ("extents", "real_size", "stored"),
    [([0, 5, 3, 5], 100, 10), ([0, 5], 4, 5), ([0, 5], 10, 6), ([90, 20], 100, 20)],
)
def test_a_sparse_map_that_does_not_fit_is_damage(extents: list[int], real_size: int, stored: int) -> None:
    with pytest.raises(ArchiveDamaged):
        check_extents(array("q", extents), real_size, stored)


def test_a_sparse_map_of_an_odd_number_is_damage() -> None:
    with pytest.raises(ArchiveDamaged):
        comma_extents(b"1,2,3")
    assert comma_extents(b"") == array("q")


def test_directories_come_back_in_order_however_many() -> None:
    later = Directories()
    given = [(b"d/%d" % n, 0o755, n, 0, -1 - n, {b"user.x": b"v" * (n % 3000)}) for n in range(5000)]
    for directory in given:
        later.add(*directory)
    assert list(later) == given
    later.close()

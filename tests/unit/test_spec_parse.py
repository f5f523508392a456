"""Single values: what is read, in which unit, and what is refused."""

from __future__ import annotations

import signal

import pytest

from tinydocker.errors import InvalidSpec
from tinydocker.spec.parse import (
    parse_bool,
    parse_duration,
    parse_int,
    parse_name,
    parse_signal,
    parse_size,
    parse_text,
    parse_umask,
)


@pytest.mark.parametrize(
    ("given", "expected_bytes"),
    [
        (65536, 65536),
        ("65536", 65536),
        ("64b", 64),
        ("1k", 1024),
        ("64m", 64 << 20),
        ("64M", 64 << 20),
        ("64 mb", 64 << 20),
        ("512mib", 512 << 20),
        ("1.5g", 3 << 29),
        ("1.1k", 1126),
        ("3g", 3 << 30),
        ("2t", 2 << 40),
        ("1p", 1 << 50),
        ("0.5k", 512),
        ("064m", 64 << 20),
        (2**63 - 1, 2**63 - 1),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_a_size_is_read_in_binary_multiples(given: object, expected_bytes: int) -> None:
    assert parse_size("memory", given) == expected_bytes


@pytest.mark.parametrize(
    "given",
    [
        "-1", -1, "0", 0, "0k", "0.5", "12q", "", " ", "m", "1.m", ".5m", "1..5m", "1.5.2g", "1e3", "0x10", "12 34",
        "1kk",
        "64m\n", "+5", "nan", "NaN", "inf", float("nan"), float("inf"), 1.5, 2**63, "9223372036854775808", "8192p",
        "9" * 400, "٦٤m", True, None, b"64m", [64], "1ib2", "64 \u212a", "1.5", "1.5b",
    ],
)  # fmt: skip
def test_a_malformed_size_is_refused_by_name(given: object) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_size("shm_size", given)
    assert caught.value.option == "shm_size"
    assert caught.value.value is given
    assert "64m" in caught.value.accepted


@pytest.mark.parametrize(
    ("given", "expected_s"),
    [(0, 0.0), (10, 10.0), (0.25, 0.25), ("10", 10.0), ("1.5s", 1.5), ("500ms", 0.5), ("1m30s", 90.0), ("2h", 7200.0)],
)
def test_a_duration_is_read_in_seconds(given: object, expected_s: float) -> None:
    assert parse_duration("stop_timeout", given) == expected_s


@pytest.mark.parametrize(
    "given",
    [-1, "-1", "", "s", "10x", "1m30", "nan", float("nan"), float("inf"), 10**400, 2**31, True, None, "1 s", "10\n"],
)
def test_a_malformed_duration_is_refused(given: object) -> None:
    with pytest.raises(InvalidSpec):
        parse_duration("stop_timeout", given)


@pytest.mark.parametrize("given", ["a", "0", "web", "Web_1.test-2", "9lives", "a" * 128])
def test_a_name_of_the_rule_is_kept(given: str) -> None:
    assert parse_name("name", given) == given


@pytest.mark.parametrize(
    "given",
    [
        "",
        ".",
        "..",
        "../x",
        "-a",
        "_a",
        ".a",
        "a/b",
        "a b",
        "a;b",
        "a\n",
        "a\0",
        "é",
        "a" * 129,
        5,
        None,
        b"web",
        "a:b",
    ],
)
def test_a_name_outside_the_rule_is_refused(given: object) -> None:
    with pytest.raises(InvalidSpec, match="name="):
        parse_name("name", given)


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ("TERM", signal.SIGTERM),
        ("SIGTERM", signal.SIGTERM),
        ("term", signal.SIGTERM),
        ("sigkill", signal.SIGKILL),
        (15, 15),
        ("15", 15),
        (signal.SIGHUP, 1),
        ("RTMIN+3", signal.SIGRTMIN + 3),
        ("SIGRTMIN+3", signal.SIGRTMIN + 3),
        ("RTMAX-1", signal.SIGRTMAX - 1),
        (64, 64),
    ],
)
def test_a_signal_is_read_by_name_and_number(given: object, number: int) -> None:
    assert parse_signal("stop_signal", given) == number


@pytest.mark.parametrize(
    "given",
    [
        0,
        -1,
        65,
        "0",
        "-15",
        "",
        "SIG",
        "FOO",
        "SIGSIGTERM",
        "_IGN",
        "_DFL",
        "RTMIN+99",
        True,
        None,
        15.0,
        "TERM ",
        "015",
    ],
)
def test_an_unknown_signal_is_refused(given: object) -> None:
    with pytest.raises(InvalidSpec):
        parse_signal("stop_signal", given)


@pytest.mark.parametrize(("given", "mask"), [(0o022, 0o022), ("022", 0o022), ("0o077", 0o077), (0, 0), ("777", 0o777)])
def test_a_umask_given_as_text_is_octal(given: object, mask: int) -> None:
    assert parse_umask("umask", given) == mask


@pytest.mark.parametrize("given", [-1, 0o1000, "1000", "8", "", "0x1", "-1", True, None, 1.0, "022\n"])
def test_a_malformed_umask_is_refused(given: object) -> None:
    with pytest.raises(InvalidSpec):
        parse_umask("umask", given)


@pytest.mark.parametrize("given", [0, 1, "yes", "true", "", None, []])
def test_only_true_and_false_are_booleans(given: object) -> None:
    with pytest.raises(InvalidSpec):
        parse_bool("read_only", given)


@pytest.mark.parametrize("given", ["-1001", 1001, "1_0", "0100", "-0", "", True, 1.0, "١", "9" * 5000])
def test_a_whole_number_outside_its_range_or_form_is_refused(given: object) -> None:
    with pytest.raises(InvalidSpec):
        parse_int("oom_score_adj", given, -1000, 1000)


def test_text_that_the_kernel_cannot_be_given_is_refused() -> None:
    assert parse_text("label", "\udcff") == "\udcff"
    for bad in ("a\0b", "\ud800", b"a", None):
        with pytest.raises(InvalidSpec):
            parse_text("label", bad)

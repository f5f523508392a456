"""Times, sizes and tables read as people know them."""

from __future__ import annotations

import datetime

import pytest

from tinydocker.cli import listing
from tinydocker.errors import InvalidSpec

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "Less than a second"),
        (0.4, "Less than a second"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (MINUTE, "About a minute"),
        (3 * MINUTE, "3 minutes"),
        (HOUR, "About an hour"),
        (47 * HOUR, "47 hours"),
        (3 * DAY, "3 days"),
        (21 * DAY, "3 weeks"),
        (100 * DAY, "3 months"),
        (800 * DAY, "2 years"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert listing.duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0B"), (999, "999B"), (1000, "1kB"), (1_130_000, "1.13MB"), (2 * 10**9, "2GB")]
)
def test_sizes(number: int, text: str) -> None:
    assert listing.size(number) == text


def test_a_table_is_aligned_and_cannot_be_broken_by_a_cell(capsys: pytest.CaptureFixture[str]) -> None:
    listing.print_table(("A", "LONG"), [("one two", "x"), ("\x1b[31m\n", "y")])
    assert capsys.readouterr().out == "A            LONG\none two      x\n\\x1b[31m\\n   y\n"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1700000000", 1_700_000_000.0),
        ("1700000000.5", 1_700_000_000.5),
        ("2023-11-14T22:13:20Z", 1_700_000_000.0),
        ("2023-11-14T23:13:20.250000000+01:00", 1_700_000_000.25),
    ],
)
def test_moments(text: str, seconds: float) -> None:
    assert listing.moment("--since", text) == seconds


def test_a_moment_may_be_a_while_ago() -> None:
    before = datetime.datetime.now().timestamp()
    found = listing.moment("--since", "1h30m")
    after = datetime.datetime.now().timestamp()
    assert before - 5400 <= found <= after - 5400


@pytest.mark.parametrize("text", ["", "yesterday", "2023-13-40", "10x", "-5"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpec, match="--since="):
        listing.moment("--since", text)

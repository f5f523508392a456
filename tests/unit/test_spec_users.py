"""Users: a mistake must never mean root."""

from __future__ import annotations

import pytest

from tinydocker.errors import InvalidSpec
from tinydocker.spec.users import numeric_ids, parse_user


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("nobody", "nobody"),
        ("www-data:www-data", "www-data:www-data"),
        ("_apt", "_apt"),
        ("host$", "host$"),
        ("1000", "1000"),
        (1000, "1000"),
        (0, "0"),
        ("0:0", "0:0"),
        ("1000:1000", "1000:1000"),
        ("nobody:0", "nobody:0"),
        ("1000:staff", "1000:staff"),
        ("4294967294", "4294967294"),
    ],
)
def test_a_user_by_name_or_number_is_kept_as_given(given: object, expected: str) -> None:
    assert parse_user("user", given) == expected


@pytest.mark.parametrize(
    "given",
    [
        "-1", -1, "4294967295", 4294967295, "4294967296", 2**64, "0x0", "1:", ":1", ":", "1000abc", "", " ", "1000 ",
        " 0",
        "0 ", "00", "01", "0:00", "1:2:3", "root:", ":root", "root:-1", "0:4294967295", "a b", "a\n", "a\0", "../x",
        "a/b",
        "-root", ".a", "$", "a$b", "٠", "1e3", "1.0", "+1", "1000:1000abc", "root;id", True, None, 0.0, b"root",
        "a" * 256,
    ],
)  # fmt: skip
def test_s28_a_malformed_user_is_an_error_and_never_root(given: object) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_user("user", given)
    assert caught.value.option == "user"


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("1000:50", (1000, 50)),
        ("1000", (1000, None)),
        ("root", (None, None)),
        ("root:5", (None, 5)),
        ("5:a", (5, None)),
    ],
)
def test_only_numbers_are_known_without_a_look_up(text: str, ids: tuple[int | None, int | None]) -> None:
    assert numeric_ids(text) == ids

"""Who a command runs as: by the image's own files, which may be anything, and never root by mistake."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tinydocker.launch.identity import Identity, UnknownUser, look_up

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1::/:/bin/false
app:x:1000:1001:App:/home/app:/bin/sh
homeless:x:1002:1002:::
"""
GROUP = "root:x:0:\nwheel:x:10:root,app\napp:x:1001:\nstaff:x:50:daemon,app\n"
LookUp = Callable[..., Identity]


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    (tmp_path / "rootfs/etc").mkdir(parents=True)
    (tmp_path / "rootfs/etc/passwd").write_text(PASSWD)
    (tmp_path / "rootfs/etc/group").write_text(GROUP)
    return tmp_path / "rootfs"


@pytest.fixture
def find(rootfs: Path) -> LookUp:
    def found(username: str | None = None, **user: object) -> Identity:
        root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY)
        try:
            return look_up(root, {"username": username, **user})
        finally:
            os.close(root)

    return found


def seen(who: Identity) -> tuple[int, int, list[int], str]:
    return who.uid, who.gid, who.groups, who.home


@pytest.mark.parametrize(
    ("username", "expected"),
    [
        ("root", (0, 0, [10], "/root")),
        ("app", (1000, 1001, [10, 50], "/home/app")),
        ("app:staff", (1000, 50, [], "/home/app")),
        ("app:7", (1000, 7, [], "/home/app")),
        ("1000", (1000, 1001, [10, 50], "/home/app")),
        ("1000:staff", (1000, 50, [], "/home/app")),
        ("daemon:wheel", (1, 10, [], "/")),
        ("homeless", (1002, 1002, [], "/")),
        ("4242", (4242, 0, [], "/")),
        ("4242:staff", (4242, 50, [], "/")),
        ("4294967294", (4294967294, 0, [], "/")),
    ],
)
def test_names_and_numbers_are_found(find, username, expected):
    assert seen(find(username)) == expected


def test_plain_numbers_are_taken_with_the_home_that_the_file_knows(find):
    assert seen(find(uid=1000, gid=5)) == (1000, 5, [], "/home/app")
    assert seen(find(uid=77, gid=88, additionalGids=[9, 10])) == (77, 88, [9, 10], "/")
    assert seen(find()) == (0, 0, [], "/root")


@pytest.mark.parametrize(
    "username", ["nobody", "App", "app ", " app", "1000abc", "0x0", "-1", "+0", "4294967295", "99999999999"]
)
def test_who_is_not_in_the_file_is_an_error_that_names_him_and_never_root(find, username):
    with pytest.raises(UnknownUser, match=r"passwd") as caught:
        find(username)
    assert repr(username) in str(caught.value)


@pytest.mark.parametrize("group", ["nogroup", "-1", "4294967295", "0x0", "10abc"])
def test_a_group_that_is_not_in_the_file_is_an_error_that_names_it(find, group):
    with pytest.raises(UnknownUser, match=group):
        find(f"app:{group}")


@pytest.mark.parametrize(
    "row",
    [
        "evil:x:-1:0::/:",
        "evil:x:4294967295:0::/:",
        "evil:x:99999999999:0::/:",
        "evil:x:0x0:0::/:",
        "evil:x::0::/:",
        "evil:x:0",
    ],
)
def test_a_row_without_a_possible_number_is_passed_over(find, rootfs, row):
    (rootfs / "etc/passwd").write_text(f"{row}\n{PASSWD}evil:x:1234:5::/later:/bin/sh\n")
    assert seen(find("evil"))[:2] == (1234, 5)
    (rootfs / "etc/passwd").write_text(f"{row}\n")
    with pytest.raises(UnknownUser):
        find("evil")


def test_a_name_that_is_a_number_does_not_take_that_numbers_place(find, rootfs):
    (rootfs / "etc/passwd").write_text("1000:x:0:0::/root:/bin/sh\n0:x:55:55::/:\n")
    assert find("1000").uid == 1000
    assert find("0").uid == 0
    (rootfs / "etc/group").write_text("7:x:0:\n")
    assert find("5:7").gid == 7


def test_the_last_line_needs_no_newline_and_the_first_of_two_counts(find, rootfs):
    (rootfs / "etc/passwd").write_text("a:x:1:1::/one:\na:x:2:2::/two:\nlast:x:3:3::/three:")
    assert (find("a").home, find("last").home) == ("/one", "/three")


def test_bytes_that_are_no_text_are_names_like_others(find, rootfs):
    (rootfs / "etc/passwd").write_bytes(b"\xff\xfe\0garbage\n" + b"k\xf6nig:x:8:8::/k\xf6:\n" + b":" * 5000 + b"\n")
    assert find(os.fsdecode(b"k\xf6nig")).home == os.fsdecode(b"/k\xf6")


def place(rootfs: Path, kind: str, name: str = "passwd") -> None:
    path = rootfs / "etc" / name
    path.unlink()
    outside = rootfs.parent / "outside"
    outside.write_text("app:x:0:0::/outside:\nstaff:x:0:app\n")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "link out":
        path.symlink_to(outside)
    elif kind == "dots out":
        path.symlink_to("../../outside")
    elif kind == "loop":
        path.symlink_to(name)
    elif kind == "magic link":
        path.symlink_to(f"/proc/{os.getpid()}/root{outside}")
    elif kind == "device":
        os.mknod(path, 0o020666, os.makedev(1, 5))  # /dev/zero: reading it never ends


KINDS = ["missing", "fifo", "directory", "link out", "dots out", "loop", "magic link"]
DEVICE = pytest.param("device", marks=pytest.mark.needs("cap.mknod"))


@pytest.mark.parametrize("kind", [*KINDS, DEVICE])
def test_what_is_no_regular_file_of_the_image_is_an_empty_passwd(find, rootfs, kind):
    place(rootfs, kind)
    with pytest.raises(UnknownUser):
        find("app")
    assert seen(find("1000")) == (1000, 0, [], "/")


@pytest.mark.parametrize("kind", [*KINDS, DEVICE])
def test_what_is_no_regular_file_of_the_image_is_an_empty_group(find, rootfs, kind):
    place(rootfs, kind, "group")
    with pytest.raises(UnknownUser):
        find("app:staff")
    assert seen(find("app")) == (1000, 1001, [], "/home/app")


def test_a_link_inside_of_the_image_is_followed_there(find, rootfs):
    (rootfs / "etc/passwd").rename(rootfs / "etc/real")
    (rootfs / "etc/passwd").symlink_to("/etc/real")
    assert find("app").uid == 1000


def test_a_huge_file_is_read_up_to_a_bound(find, rootfs):
    with (rootfs / "etc/passwd").open("a") as file:
        file.truncate(1 << 40)
    with (rootfs / "etc/passwd").open("rb+") as file:
        file.seek(1 << 30)
        file.write(b"\nfar:x:9:9::/:\n")
    assert find("app").uid == 1000
    with pytest.raises(UnknownUser):
        find("far")

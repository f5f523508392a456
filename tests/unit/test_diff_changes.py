"""What an upper directory says about the layers below it; whiteouts as user xattrs, so without privilege."""

import os
import subprocess
from pathlib import Path

import pytest

from tinydocker.image_store.diff import Change, changes

pytestmark = pytest.mark.needs("xattr")


@pytest.fixture
def layers(tmp_path: Path) -> tuple[Path, Path, Path]:
    upper, middle, lowest = (tmp_path / name for name in ("upper", "middle", "lowest"))
    for layer in (upper, middle, lowest):
        layer.mkdir()
    return upper, middle, lowest


def write(path: Path, text: str = "", mtime: int = 1000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    os.utime(path, (mtime, mtime))
    return path


def whiteout(path: Path) -> None:
    os.setxattr(write(path), "user.overlay.whiteout", b"y")


def opaque(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    os.setxattr(path, "user.overlay.opaque", b"y")


def told(upper: Path, *lowers: Path, placeholders: tuple[str, ...] = ()) -> list[str]:
    return [str(change) for change in changes(upper, lowers, placeholders=placeholders)]


def test_a_new_file_is_added_and_its_directory_changed(layers):
    upper, middle, lowest = layers
    write(lowest / "etc/hosts")
    write(upper / "etc/motd")
    assert told(upper, middle, lowest) == ["C /etc", "A /etc/motd"]


def test_a_new_directory_is_added_with_all_that_it_holds(layers):
    upper, middle, lowest = layers
    write(upper / "srv/a/b")
    assert told(upper, middle, lowest) == ["A /srv", "A /srv/a", "A /srv/a/b"]


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.write_bytes(b"other"),
        lambda p: p.chmod(0o600),
        lambda p: os.utime(p, (2000, 2000)),
        lambda p: os.setxattr(p, "user.x", b"1"),
        lambda p: (p.write_bytes(b"sane"), os.utime(p, (1000, 1000))),
    ],
    ids=["content", "mode", "time", "xattr", "content with the time set back"],
)
def test_whatever_differs_makes_a_file_changed(layers, change):
    upper, middle, lowest = layers
    write(lowest / "etc/motd", "same")
    change(write(upper / "etc/motd", "same"))
    assert told(upper, middle, lowest) == ["C /etc", "C /etc/motd"]


def test_what_was_merely_copied_up_is_not_changed(layers):
    upper, middle, lowest = layers
    write(lowest / "etc/motd", "same")
    write(upper / "etc/motd", "same")
    (upper / "var").mkdir()
    (lowest / "var").mkdir()
    assert told(upper, middle, lowest) == []


def test_a_directory_with_another_mode_is_changed(layers):
    upper, middle, lowest = layers
    (lowest / "var").mkdir(mode=0o755)
    (upper / "var").mkdir(mode=0o700)
    assert told(upper, middle, lowest) == ["C /var"]


def test_a_whiteout_over_something_is_a_deletion_and_over_nothing_is_not(layers):
    upper, middle, lowest = layers
    write(lowest / "etc/a/deep")
    whiteout(upper / "etc/a")
    whiteout(upper / "etc/never")
    assert told(upper, middle, lowest) == ["C /etc", "D /etc/a"]


def test_a_whiteout_between_the_layers_hides_what_is_below(layers):
    upper, middle, lowest = layers
    write(lowest / "etc/motd")
    whiteout(middle / "etc/motd")
    write(upper / "etc/motd")
    assert told(upper, middle, lowest) == ["C /etc", "A /etc/motd"]


def test_an_opaque_directory_between_the_layers_hides_what_is_below(layers):
    upper, middle, lowest = layers
    write(lowest / "etc/motd")
    opaque(middle / "etc")
    write(upper / "etc/motd")
    assert told(upper, middle, lowest) == ["C /etc", "A /etc/motd"]


def test_a_file_between_the_layers_ends_the_merging_of_a_directory(layers):
    upper, middle, lowest = layers
    write(lowest / "thing/inside")
    write(middle / "thing")
    write(upper / "thing/inside")
    assert told(upper, middle, lowest) == ["C /thing", "A /thing/inside"]


def test_of_an_opaque_directory_what_is_not_there_again_is_deleted(layers):
    upper, middle, lowest = layers
    for name in ("gone", "again", "changed", "sub/gone", "sub/kept"):
        write(lowest / "srv" / name, "x")
    write(middle / "srv/gone too")
    write(lowest / "srv/hidden already")
    whiteout(middle / "srv/hidden already")
    opaque(upper / "srv")
    write(upper / "srv/again", "x")
    write(upper / "srv/changed", "y")
    write(upper / "srv/sub/kept", "x")
    assert told(upper, middle, lowest) == [
        "C /srv",
        "C /srv/changed",
        "D /srv/gone",
        "D /srv/gone too",
        "C /srv/sub",
        "D /srv/sub/gone",
    ]


def test_links_of_an_image_are_looked_at_and_not_followed(layers, tmp_path):
    upper, middle, lowest = layers
    write(tmp_path / "outside/file", "x")
    (lowest / "link").symlink_to(tmp_path / "outside")
    write(upper / "link/file", "x")
    assert told(upper, middle, lowest) == ["C /link", "A /link/file"]


def test_a_place_to_mount_on_is_told_only_once_something_is_in_it(layers):
    upper, middle, lowest = layers
    (upper / "data/inner").mkdir(parents=True)
    write(upper / "file")
    places = ("/data", "/data/inner", "/file")
    assert told(upper, middle, lowest, placeholders=places) == []
    write(upper / "data/inner/x")
    assert told(upper, middle, lowest, placeholders=places) == ["A /data", "A /data/inner", "A /data/inner/x"]


def test_names_of_any_bytes_sort_by_their_bytes(layers):
    upper, middle, lowest = layers
    for name in (b"\xff", "é".encode(), b"a\n"):
        with open(os.path.join(os.fsencode(upper), name), "wb"):
            pass
    found = changes(upper, [middle, lowest])
    assert [os.fsencode(change.path) for change in found] == [b"/a\n", b"/\xc3\xa9", b"/\xff"]
    assert found[0] == Change("A", "/a\n")


def test_trees_deeper_than_a_process_may_open_files_are_compared(layers):
    upper, middle, lowest = layers
    here = os.getcwd()
    try:
        for layer in (upper, lowest):
            os.chdir(layer)
            for _ in range(1500):
                os.mkdir("d")
                os.chdir("d")
            if layer is upper:
                os.mkdir("new")
    finally:
        os.chdir(here)
    try:
        before = len(os.listdir("/proc/self/fd"))
        assert len(told(upper, middle, lowest)) == 1501
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        # Deeper than Python's own removal goes.
        subprocess.run(["rm", "-rf", upper, lowest], check=True)

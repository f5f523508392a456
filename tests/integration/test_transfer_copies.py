"""put and get: who lands where is docker's, and nothing lands outside."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchanging import exchanging
from tinydocker.image_store import inroot
from tinydocker.linux.files import open_in_root
from tinydocker.rootpath import RootPath
from tinydocker.transfer import get, put

pytestmark = pytest.mark.needs("root")


@pytest.fixture
def box(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "srv").mkdir(parents=True)
    (folder / "etc").mkdir()
    (folder / "etc/passwd").write_bytes(b"root\n")
    os.utime(folder / "etc/passwd", ns=(5, 1_600_000_000_123_456_789))
    return folder


@pytest.fixture
def root(box: Path) -> RootPath:
    @contextlib.contextmanager
    def provider() -> Iterator[int]:
        fd = os.open(box, os.O_PATH | os.O_DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)

    return RootPath(provider, "/", "container web")


@pytest.fixture
def local(tmp_path: Path) -> Path:
    folder = tmp_path / "local"
    (folder / "sub").mkdir(parents=True)
    (folder / "file").write_bytes(b"content")
    (folder / "sub/deep").write_bytes(b"deep")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


TREE = ["file", "sub", "sub/deep"]


def below(directory: str) -> list[str]:
    return [directory, *(f"{directory}/{name}" for name in TREE)]


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("file", "/srv", ["file"]),
        ("file", "/srv/", ["file"]),
        ("file", "srv/new", ["new"]),
        ("", "/srv", below("local")),
        ("/", "/srv/", below("local")),
        ("/.", "/srv", TREE),
        ("", "/srv/new", below("new")),
        ("/", "/srv/new/", below("new")),
        ("/.", "/srv/new/.", below("new")),
        ("sub/..", "/srv", below("local")),
    ],
)
def test_put_lands_where_docker_cp_puts_it(root, box, local, source, target, expected):
    put(root, f"{local}/{source}" if source[:1] != "/" and source else f"{local}{source}", target)
    assert names(box / "srv") == expected


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("/etc/passwd", "", ["passwd"]),
        ("/etc/passwd", "/", ["passwd"]),
        ("etc/passwd", "/new", ["new"]),
        ("/etc", "", ["etc", "etc/passwd"]),
        ("/etc/", "/new", ["new", "new/passwd"]),
        ("/etc/.", "", ["passwd"]),
        ("/etc/.", "/new/", ["new", "new/passwd"]),
    ],
)
def test_get_lands_where_docker_cp_puts_it(root, tmp_path, source, target, expected):
    out = tmp_path / "out"
    out.mkdir()
    get(root, source, f"{out}{target}")
    assert names(out) == expected


def test_errors_say_what_is_missing_or_in_the_way(root, box, local, tmp_path):
    with pytest.raises(FileNotFoundError, match="/no/such"):
        get(root, "/no/such", tmp_path)
    with pytest.raises(FileNotFoundError, match="missing"):
        put(root, tmp_path / "missing", "/srv")
    with pytest.raises(FileNotFoundError, match="/none/x"):
        put(root, local / "file", "/none/x")
    with pytest.raises(FileNotFoundError, match="/none/"):
        put(root, local / "file", "/none/")
    with pytest.raises(NotADirectoryError, match="passwd"):
        put(root, local, "/etc/passwd")
    with pytest.raises(NotADirectoryError):
        put(root, f"{local}/file/", "/srv")
    with pytest.raises(NotADirectoryError):
        put(root, local / "file", "/etc/passwd/")
    (box / "srv/local").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        put(root, local, "/srv")
    (box / "srv/file").mkdir()
    with pytest.raises(IsADirectoryError):
        put(root, local / "file", "/srv")
    with pytest.raises(OSError, match="into itself"):
        put(root, box / "srv", "/srv/again")
    with pytest.raises(OSError, match="device"):
        put(root, "/dev/null", "/srv/null")
    assert not [name for name in names(box) if ".tinydocker" in name]


def test_modes_times_links_and_holes_are_kept_and_owners_only_when_asked(root, box, tmp_path):
    source = tmp_path / "source"
    source.mkdir(mode=0o750)
    (source / "tool").write_bytes(b"x" * 100_000)
    os.chown(source / "tool", 123, 456)
    (source / "tool").chmod(0o4751)
    os.link(source / "tool", source / "twin")
    (source / "link").symlink_to("/etc/passwd")
    os.mkfifo(source / "fifo")
    with open(source / "sparse", "wb") as file:
        file.truncate(1 << 30)
        os.pwrite(file.fileno(), b"end", 1 << 29)
    os.chown(source, 7, 8)
    for path in [*source.iterdir(), source]:
        os.utime(path, ns=(5, 1_500_000_000_000_000_001), follow_symlinks=False)
    put(root, source, "/srv/plain")
    put(root, source, "/srv/archive", archive=True)
    get(root, "/srv/archive", tmp_path / "back", archive=True)
    get(root, "/srv/archive", tmp_path / "mine")
    for copy, owned in [("plain", 0), ("archive", 1)]:
        folder = box / "srv" / copy
        tool = (folder / "tool").stat()
        assert (tool.st_uid, tool.st_gid) == ((123, 456) if owned else (0, 0))
        assert stat.S_IMODE(tool.st_mode) == (0o4751 if owned else 0o751)
        assert tool.st_ino == (folder / "twin").stat().st_ino
        assert (folder.stat().st_uid, stat.S_IMODE(folder.stat().st_mode)) == (7 * owned, 0o750)
    for folder in (box / "srv/plain", box / "srv/archive", tmp_path / "back", tmp_path / "mine"):
        assert os.readlink(folder / "link") == "/etc/passwd"
        assert (folder / "sparse").stat().st_blocks < 100
        assert (folder / "sparse").stat().st_size == 1 << 30
        assert stat.S_ISFIFO((folder / "fifo").lstat().st_mode)
        for path in [folder, *folder.iterdir()]:
            assert path.lstat().st_mtime_ns == 1_500_000_000_000_000_001
    assert (tmp_path / "back/tool").stat().st_mode & 0o7777 == 0o4751
    assert (tmp_path / "mine/tool").stat().st_mode & 0o7777 == 0o751
    assert (tmp_path / "mine/tool").stat().st_uid == os.geteuid()


def test_a_directory_that_exists_is_filled_and_stays_as_it_is(root, box, local):
    (box / "srv").chmod(0o711)
    (box / "srv/file").write_bytes(b"old")
    (box / "srv/other").write_bytes(b"stays")
    put(root, f"{local}/.", "/srv")
    assert names(box / "srv") == ["file", "other", "sub", "sub/deep"]
    assert (box / "srv/file").read_bytes() == b"content"
    assert (box / "srv").stat().st_mode & 0o777 == 0o711


def test_a_link_as_target_is_followed_inside_and_kept(root, box, local, tmp_path):
    (box / "srv/dir").symlink_to("/etc")
    (box / "srv/name").symlink_to("../etc/passwd")
    (box / "srv/new").symlink_to("/etc/made")
    (box / "srv/out").symlink_to(tmp_path)
    put(root, local / "file", "/srv/dir")
    put(root, local / "file", "/srv/name")
    put(root, local / "file", "/srv/new")
    assert names(box / "etc") == ["file", "made", "passwd"]
    assert (box / "etc/passwd").read_bytes() == b"content"
    assert (box / "srv/name").is_symlink()
    with pytest.raises(FileNotFoundError):
        put(root, local / "file", "/srv/out/x")
    with pytest.raises(FileNotFoundError):
        put(root, local / "file", "/srv/out/")


def test_a_link_as_source_is_copied_as_one_unless_followed(root, box, tmp_path):
    (box / "link").symlink_to("etc")
    get(root, "/link", tmp_path / "one")
    assert os.readlink(tmp_path / "one") == "etc"
    get(root, "/link/", tmp_path / "two")
    get(root, "/link", tmp_path / "three", follow_links=True)
    assert names(tmp_path / "two") == names(tmp_path / "three") == ["passwd"]


def test_links_that_came_from_the_container_are_not_followed_on_this_machine(root, box, tmp_path):
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "file").write_bytes(b"untouched")
    (box / "srv/a").symlink_to(canary)
    (box / "srv/b").symlink_to(canary / "file")
    out = tmp_path / "out"
    get(root, "/srv", out)
    (box / "srv/a").unlink()
    (box / "srv/b").unlink()
    (box / "srv/b").write_bytes(b"escaped")
    (box / "srv/a").mkdir()
    (box / "srv/a/file").write_bytes(b"escaped")
    with pytest.raises(NotADirectoryError):
        get(root, "/srv/.", out)
    (box / "srv/a/file").unlink()
    (box / "srv/a").rmdir()
    get(root, "/srv/.", out)
    assert (out / "b").read_bytes() == b"escaped"
    assert names(canary) == ["file"]
    assert (canary / "file").read_bytes() == b"untouched"


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    folder = tmp_path / "canary"
    (folder / "sub").mkdir(parents=True)
    for name in ("file", "sub/deep", "x"):
        (folder / name).write_bytes(b"host secret")
    return folder


def picture(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {n: (p.stat().st_ino, p.read_bytes() if p.is_file() else b"") for n in names(folder) if (p := folder / n)}


TRIES = 2000


@pytest.mark.parametrize("target", ["/srv/real", "/srv/real/x", "/srv/real/sub/deep"])
def test_put_never_lands_outside_while_a_link_is_swapped_into_the_target(root, box, local, canary, target):
    (box / "srv/real/sub").mkdir(parents=True)
    (box / "srv/fake").symlink_to(canary)
    before, outcomes = picture(canary), set()
    with exchanging(box / "srv/real", box / "srv/fake"):
        for count in range(20 * TRIES):
            try:
                put(root, local / "file", target)
                outcomes.add("written")
            except OSError:
                outcomes.add("refused")
            if count >= TRIES and len(outcomes) == 2:
                break
    assert outcomes == {"written", "refused"}
    assert picture(canary) == before


def test_put_of_a_tree_never_lands_outside_while_a_directory_in_the_target_is_swapped(root, box, local, canary):
    (box / "srv/sub").mkdir()
    (box / "srv/fake").symlink_to(canary)
    before, outcomes = picture(canary), set()
    with exchanging(box / "srv/sub", box / "srv/fake"):
        for count in range(20 * TRIES):
            try:
                put(root, f"{local}/.", "/srv")
                outcomes.add("written")
            except OSError:
                outcomes.add("refused")
            if count >= TRIES and len(outcomes) == 2:
                break
    assert outcomes == {"written", "refused"}
    assert picture(canary) == before


@pytest.mark.parametrize("source", ["/srv/dir", "/srv/dir/file", "/srv/."])
def test_get_never_brings_what_lies_outside_while_a_link_is_swapped_into_the_source(
    root, box, canary, tmp_path, source
):
    (box / "srv/dir").mkdir()
    (box / "srv/dir/file").write_bytes(b"container's")
    (box / "srv/fake").symlink_to(canary)
    out = tmp_path / "out"
    before, seen = picture(canary), set()
    with exchanging(box / "srv/dir", box / "srv/fake"):
        for _ in range(TRIES):
            emptied_and_removed(out)
            out.mkdir()
            with contextlib.suppress(OSError):
                get(root, source, out)
            for path in out.rglob("*"):
                if stat.S_ISREG(path.lstat().st_mode) and canary not in path.resolve().parents:
                    seen.add(path.read_bytes())
    assert seen == {b"container's"}
    assert picture(canary) == before


def emptied_and_removed(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
    if folder.exists():
        folder.rmdir()


def test_a_file_that_becomes_a_fifo_meanwhile_does_not_hang(root, box, tmp_path):
    (box / "srv/file").write_bytes(b"container's")
    os.mkfifo(box / "srv/pipe")
    with exchanging(box / "srv/file", box / "srv/pipe"):
        for _ in range(TRIES):
            get(root, "/srv/file", tmp_path / "out")
            with contextlib.suppress(OSError):
                assert (root / "srv/file").read_bytes() == b"container's"


def test_without_the_in_root_look_up_the_same_put_would_land_outside(root, box, local, canary, monkeypatch):
    (box / "srv/fake").symlink_to(canary)
    before = picture(canary)
    with pytest.raises(FileNotFoundError):
        put(root, local / "file", "/srv/fake/")
    assert picture(canary) == before
    monkeypatch.setattr(inroot, "open_in_root", lambda fd, path, flags: open_in_root(fd, path.lstrip("/"), flags, 0, 0))
    put(root, local / "file", "/srv/fake/")
    assert (canary / "file").read_bytes() == b"content"

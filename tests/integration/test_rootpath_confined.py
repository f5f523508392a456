"""RootPath: what pathlib taught, and no way out of the root."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from tinydocker.rootpath import RootPath

pytestmark = pytest.mark.needs("root")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(b"secret")
    return folder


@pytest.fixture
def host(tmp_path: Path, outside: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/hosts").write_bytes(b"127.0.0.1 localhost\n")
    (folder / "absolute").symlink_to("/etc")
    (folder / "up").symlink_to("../../../../etc")
    (folder / "out").symlink_to(outside)
    (folder / "dangling").symlink_to("etc/made")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "fifo")
    os.mknod(folder / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    return folder


@pytest.fixture
def root(host: Path) -> RootPath:
    @contextlib.contextmanager
    def provider() -> Iterator[int]:
        fd = os.open(host, os.O_PATH | os.O_DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)

    return RootPath(provider, "/", "container web")


def test_a_path_is_a_value(root):
    hosts = root / "etc" / "hosts"
    assert (str(hosts), repr(hosts)) == ("/etc/hosts", "/etc/hosts in container web")
    assert hosts == root.joinpath("etc/hosts") == root / "/etc/hosts"
    assert len({hosts, root / "etc/hosts"}) == 1
    assert (hosts.name, hosts.with_suffix(".bak").suffix, hosts.with_name("x.y").stem) == ("hosts", ".bak", "x")
    assert hosts.parent == root / "etc"
    assert list(hosts.parents) == [root / "etc", root]
    assert root.parent == root
    assert hosts.parts == ("/", "etc", "hosts")
    assert hosts.relative_to(root / "etc") == PurePosixPath("hosts")
    assert hosts.match("*/hosts")
    assert hosts.is_relative_to("/etc")


def test_it_is_no_path_of_this_machine(root):
    with pytest.raises(TypeError):
        os.fspath(root / "etc/hosts")  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        open(root / "etc/hosts")  # type: ignore[call-overload]  # noqa: SIM115


@pytest.mark.parametrize("path", ["etc/hosts", "absolute/hosts", "up/hosts", "etc/../../../etc/hosts", "../etc/hosts"])
def test_links_and_dots_stay_inside(root, path):
    assert (root / path).read_text() == "127.0.0.1 localhost\n"
    assert (root / path).is_file()


@pytest.mark.parametrize("path", ["out/secret", "..", "../outside/secret", "../../root/etc"])
def test_what_lies_outside_is_not_there(root, host, path):
    if path == "..":
        assert (root / path).lstat().st_ino == (root / path).stat().st_ino == host.stat().st_ino
    else:
        assert not (root / path).exists()
        with pytest.raises(FileNotFoundError):
            (root / path).read_bytes()


def test_writing_through_links_lands_inside(root, host, outside):
    (root / "dangling").write_text("x")
    assert (host / "etc/made").read_bytes() == b"x"
    with pytest.raises(FileNotFoundError):
        (root / "out/new").write_text("x")
    (root / "out").unlink()
    (root / "esc").symlink_to(str(outside / "new"))
    with pytest.raises(FileNotFoundError):
        (root / "esc").write_text("x")
    with pytest.raises(OSError, match="symbolic links"):
        (root / "loop").write_text("x")
    assert os.listdir(outside) == ["secret"]


@pytest.mark.parametrize("name", ["fifo", "null"])
@pytest.mark.parametrize("mode", ["rb", "wb", "ab", "r+b"])
def test_a_special_file_is_refused_at_once_and_opened_only_when_asked(root, name, mode):
    with pytest.raises(OSError, match="FIFO, a device"):
        (root / name).open(mode)
    if name == "null" and mode == "rb":
        with (root / name).open(mode, allow_special=True) as file:
            assert file.read() == b""


def test_errors_are_those_of_pathlib_and_name_the_path(root):
    with pytest.raises(FileNotFoundError) as missing:
        (root / "etc/none").read_text()
    assert missing.value.filename == "/etc/none"
    with pytest.raises(IsADirectoryError):
        (root / "etc").read_text()
    with pytest.raises(NotADirectoryError):
        list((root / "etc/hosts").iterdir())
    with pytest.raises(FileExistsError) as exists:
        (root / "etc").mkdir()
    assert exists.value.filename == "/etc"
    with pytest.raises(FileExistsError):
        (root / "etc/hosts").open("x")
    with pytest.raises(ValueError, match="null"):
        root / "a\0b"
    for path in ("/", "/etc/.."):
        with pytest.raises(OSError, match=r"busy|Invalid"):
            (root / path).rename("/x")


def test_files_are_made_read_and_removed(root, host):
    path = root / "srv" / "a" / "b.txt"
    path.parent.mkdir(parents=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert path.write_text("grüße\n") == 6
    assert path.read_bytes() == "grüße\n".encode()
    with path.open("a") as file:
        file.write("more")
    with path.open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        assert file.read() == b"more"
    path.chmod(0o640)
    path.chown(12, 34)
    assert (path.owner(), path.group(), path.stat().st_mode & 0o777) == (12, 34, 0o640)
    path.touch()
    (root / "srv/new").touch(mode=0o600)
    with pytest.raises(FileExistsError):
        path.touch(exist_ok=False)
    twin = root / "srv/twin"
    twin.hardlink_to(path)
    assert twin.stat().st_nlink == 2
    moved = twin.rename(root / "srv/moved")
    assert moved.exists()
    assert not twin.exists()
    assert moved.replace("/srv/new").read_bytes() == path.read_bytes()
    path.unlink()
    path.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        path.unlink()
    path.parent.rmdir()
    assert sorted(os.listdir(host / "srv")) == ["new"]


def test_a_link_can_be_looked_at(root, outside):
    assert (root / "out").is_symlink()
    assert (root / "out").readlink() == PurePosixPath(outside)
    assert (root / "absolute").is_dir()
    assert not (root / "loop").exists()
    assert (root / "loop").exists(follow_symlinks=False)
    with pytest.raises(OSError, match="Invalid"):
        (root / "etc").readlink()


def test_listing_and_patterns(root):
    (root / "srv/a/b").mkdir(parents=True)
    (root / "srv/a/x.py").touch()
    (root / "srv/a/b/y.py").touch()
    (root / "srv/a/back").symlink_to("/")
    assert [p.name for p in (root / "srv/a").iterdir()] == ["b", "back", "x.py"]
    assert [str(p) for p in root.glob("srv/*/*.py")] == ["/srv/a/x.py"]
    assert [str(p) for p in (root / "srv").rglob("*.py")] == ["/srv/a/b/y.py", "/srv/a/x.py"]
    assert [str(p) for p in root.glob("absolute/h*")] == ["/absolute/hosts"]
    assert [str(p) for p in root.glob("out/*")] == []
    assert [str(p) for p in (root / "srv").glob("**")] == ["/srv", "/srv/a", "/srv/a/b"]


def test_paths_of_another_root_are_refused(root):
    other = RootPath(contextlib.nullcontext, "/etc/hosts")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not in the same root"):
        (root / "etc/hosts").rename(other)

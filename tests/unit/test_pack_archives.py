"""Archives that pack writes, read by GNU tar and by Python's tarfile."""

import gzip
import hashlib
import io
import os
import socket
import stat
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from tinydocker.errors import InvalidSpec, NotSupported
from tinydocker.image_store import pack as packing
from tinydocker.image_store.pack import pack, pack_layer


def pack_directory(directory: Path, destination, **options) -> None:
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        pack(fd, destination, **options)
    finally:
        os.close(fd)


def packed(directory: Path, **options) -> bytes:
    out = io.BytesIO()
    pack_directory(directory, out, **options)
    return out.getvalue()


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: member for member in archive}


def extracted(archive: Path, target: Path) -> Path:
    target.mkdir()
    command = ["tar", "-xpf", str(archive), "-C", str(target), "--xattrs", "--xattrs-include=*"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stderr == b""
    return target


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "bin").mkdir(parents=True)
    (root / "bin/tool").write_bytes(b"\x7fELF" * 1000)
    (root / "bin/tool").chmod(0o4755)
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    os.link(root / "bin/tool", root / "bin/same")
    (root / "bin/link").symlink_to("../nowhere/at all")
    (root / "empty").touch()
    os.mkfifo(root / "fifo", 0o640)
    long = root / ("d" * 120) / ("e" * 120)
    long.mkdir(parents=True)
    (long / ("f" * 200)).write_bytes(b"long")
    (long / "to").symlink_to("x/" * 150)
    for name in ("é ü", "new\nline", "blank ", os.fsdecode(b"\xff\xfe")):
        (root / name).write_bytes(os.fsencode(name))
    for path in [root, *root.rglob("*")]:
        os.utime(path, ns=(1, 1_600_000_000_123_456_789), follow_symlinks=False)
    return root


def picture(root: Path) -> dict[str, tuple[object, ...]]:
    shown = {}
    for path in [root, *root.rglob("*")]:
        st = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(st.st_mode) else b""
        link = os.readlink(path) if path.is_symlink() else ""
        size, nlink = (0, 0) if stat.S_ISDIR(st.st_mode) else (st.st_size, st.st_nlink)
        name = str(path.relative_to(root))
        shown[name] = (st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns, nlink, size, content, link)
    return shown


def test_gnu_tar_restores_the_tree_exactly(tree, tmp_path):
    pack_directory(tree, tmp_path / "out.tar")
    assert picture(extracted(tmp_path / "out.tar", tmp_path / "back")) == picture(tree)


@pytest.mark.parametrize(("suffix", "tool"), [("gz", "gzip"), ("bz2", "bzip2"), ("xz", "xz"), ("zst", "zstd")])
def test_the_suffix_chooses_a_compression_that_its_tool_reads(tree, tmp_path, suffix, tool):
    out = tmp_path / f"out.tar.{suffix}"
    pack_directory(tree, out)
    assert subprocess.run([tool, "-dc", out], capture_output=True, check=True).stdout == packed(tree)
    pack_directory(tree, tmp_path / "plainly-named", compression=suffix)
    assert (tmp_path / "plainly-named").read_bytes() == out.read_bytes()


def test_an_unknown_compression_is_named_before_anything_is_made(tree, tmp_path):
    with pytest.raises(InvalidSpec, match="lz4"):
        pack_directory(tree, tmp_path / "out", compression="lz4")
    assert not (tmp_path / "out").exists()


def test_the_same_tree_gives_the_same_bytes_in_order_of_names(tree):
    data = packed(tree)
    assert data == packed(tree)
    names = [os.fsencode(name) for name in members(data)]
    assert [n for n in names if b"/" not in n] == sorted(n for n in names if b"/" not in n)
    assert len(data) % 10240 == 0


@pytest.mark.needs("xattr")
def test_xattrs_come_back_but_not_those_of_an_overlay(tree, tmp_path):
    os.setxattr(tree / "empty", "user.note", b"a=b\n\0\xff")
    os.setxattr(tree / "bin", "user.on", b"directory")
    os.setxattr(tree / "bin", "user.overlay.origin", b"x")
    pack_directory(tree, tmp_path / "out.tar")
    back = extracted(tmp_path / "out.tar", tmp_path / "back")
    assert os.getxattr(back / "empty", "user.note") == b"a=b\n\0\xff"
    assert os.listxattr(back / "bin") == ["user.on"]


def test_a_sparse_file_keeps_its_holes(tmp_path):
    root = tmp_path / "tree"
    root.mkdir()
    for name, pieces, size in [
        ("middle", [(1 << 20, b"in the middle")], 9 << 30),
        ("ends", [(0, b"start"), (10 << 20, b"end")], (10 << 20) + 3),
        ("nothing", [], 5 << 20),
        ("s" * 150, [(2 << 20, b"long")], 4 << 20),
    ]:
        with open(root / name, "wb") as file:
            for offset, data in pieces:
                os.pwrite(file.fileno(), data, offset)
            os.truncate(file.fileno(), size)
    pack_directory(root, tmp_path / "out.tar")
    assert (tmp_path / "out.tar").stat().st_size < 1 << 20
    back = extracted(tmp_path / "out.tar", tmp_path / "back")
    for path in root.iterdir():
        copy = back / path.name
        assert copy.stat().st_size == path.stat().st_size
        assert copy.stat().st_blocks < 4096
    with open(back / "middle", "rb") as file:
        assert os.pread(file.fileno(), 13, 1 << 20) == b"in the middle"
    assert (back / "ends").read_bytes() == (root / "ends").read_bytes()
    assert (back / ("s" * 150)).read_bytes() == (root / ("s" * 150)).read_bytes()
    found = members((tmp_path / "out.tar").read_bytes())
    assert found["middle"].size == 9 << 30
    assert found["s" * 150].issparse()


def test_sizes_beyond_the_old_field_and_strange_times_and_owners_are_stored(tmp_path):
    from tinydocker.image_store.tarheader import END, FILE, header

    block = header(b"big", FILE, mode=0o644, uid=3_000_000, gid=4_000_000_000, size=9 << 30, mtime_ns=-1_500_000_000)
    with tarfile.open(fileobj=io.BytesIO(block + END)) as archive:
        first = archive.next()
        assert first is not None
        assert (first.size, first.uid, first.gid, first.mtime) == (9 << 30, 3_000_000, 4_000_000_000, -1.5)


def test_a_socket_is_left_out_and_a_fifo_is_not_opened(tree):
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(tree, os.O_RDONLY)
        try:
            listening.bind(f"/proc/self/fd/{here}/sock")
        finally:
            os.close(here)
        found = members(packed(tree))
    assert "sock" not in found
    assert found["fifo"].isfifo()


@pytest.mark.parametrize("size", [10, 5000, 3_000_000])
def test_a_file_that_shrinks_or_grows_while_it_is_read_keeps_the_size_in_its_header(tmp_path, monkeypatch, size):
    root = tmp_path / "tree"
    root.mkdir()
    (root / "a").write_bytes(b"x" * 1_000_000)
    (root / "b").write_bytes(b"after")
    pieces = packing._pieces

    def resizing(fd, st):
        os.truncate(root / "a", size)
        return pieces(fd, st)

    monkeypatch.setattr(packing, "_pieces", resizing)
    data = packed(root)
    found = members(data)
    assert found["a"].size == 1_000_000
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.extractfile("b").read() == b"after"
        assert archive.extractfile("a").read() == (b"x" * min(size, 1_000_000)).ljust(1_000_000, b"\0")


def test_excluded_paths_stay_out_with_what_they_hold(tree):
    names = set(members(packed(tree, exclude=["/bin", "/empty"])))
    assert not {name for name in names if name.startswith(("bin", "empty"))}
    assert "tmp" in names


def test_a_failure_leaves_an_existing_destination_and_nothing_beside_it(tree, tmp_path, monkeypatch):
    out = tmp_path / "out" / "x.tar.gz"
    out.parent.mkdir()
    out.write_bytes(b"old")

    def failing(fd, st):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(packing, "_pieces", failing)
    threads = threading.active_count()
    with pytest.raises(OSError, match="Input/output"):
        pack_directory(tree, out)
    assert out.read_bytes() == b"old"
    assert os.listdir(out.parent) == ["x.tar.gz"]
    assert threading.active_count() == threads


def test_a_full_destination_is_an_error_and_not_a_hang(tree):
    with pytest.raises(OSError, match="No space left"):
        pack_directory(tree, "/dev/full")
    assert os.path.exists("/dev/full")


def test_a_link_as_destination_stays_a_link(tree, tmp_path):
    (tmp_path / "link.tar").symlink_to("real.tar")
    pack_directory(tree, tmp_path / "link.tar")
    assert (tmp_path / "link.tar").is_symlink()
    assert tarfile.is_tarfile(tmp_path / "real.tar")
    assert (tmp_path / "real.tar").stat().st_mode & 0o777 == 0o600
    with pytest.raises(IsADirectoryError):
        pack_directory(tree, tmp_path)


@pytest.mark.needs("xattr")
def test_a_layer_has_whiteouts_opaque_marks_and_digests(tree, tmp_path):
    os.setxattr(tree / "empty", "user.overlay.whiteout", b"y")
    os.setxattr(tree / "bin", "user.overlay.opaque", b"y")
    written = pack_layer(tree, tmp_path / "layer.tar.gz")
    stored = (tmp_path / "layer.tar.gz").read_bytes()
    bare = gzip.decompress(stored)
    assert written.digest == "sha256:" + hashlib.sha256(stored).hexdigest()
    assert written.diff_id == "sha256:" + hashlib.sha256(bare).hexdigest()
    assert written.size == len(stored)
    found = members(bare)
    assert "empty" not in found
    assert found[".wh.empty"].isreg()
    assert found["bin/.wh..wh..opq"].isreg()
    assert found["bin/tool"].mode == 0o4755


def test_a_layer_refuses_a_name_that_would_delete_something(tmp_path):
    root = tmp_path / "upper"
    root.mkdir()
    (root / ".wh.passwd").touch()
    with pytest.raises(NotSupported, match=r"\.wh\.passwd"):
        pack_layer(root, tmp_path / "layer.tar")
    assert not (tmp_path / "layer.tar").exists()


def test_trees_deeper_than_paths_and_open_files_allow_are_packed(tmp_path):
    root = tmp_path / "tree"
    root.mkdir()
    here = os.getcwd()
    try:
        os.chdir(root)
        for _ in range(2500):
            os.mkdir("deep")
            os.chdir("deep")
    finally:
        os.chdir(here)
    try:
        before = len(os.listdir("/proc/self/fd"))
        assert len(members(packed(root))) == 2501
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        # Deeper than Python's own removal goes.
        subprocess.run(["rm", "-rf", root], check=True)

"""Archives by the real tools: what is unpacked is what ``tar -xp`` unpacks."""

from __future__ import annotations

import hashlib
import itertools
import os
import socket
import stat
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from tinydocker.errors import NotSupported
from tinydocker.image_store.archive import ArchiveDamaged
from tinydocker.image_store.extract import Extractor
from tinydocker.image_store.plainfiles import PlainFiles
from tinydocker.image_store.tarstream import TarStream
from tinydocker.image_store.unpack import Unpacked, unpack

pytestmark = pytest.mark.needs("root", tool="tar")

COMPRESSORS = {"gzip": ["gzip"], "bzip2": ["bzip2"], "xz": ["xz", "-0"], "zstd": ["zstd", "-q"]}
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)


def run(*command: str | bytes | Path, cwd: Path | None = None) -> None:
    subprocess.run(command, check=True, cwd=cwd, stdout=subprocess.DEVNULL)


def taken(archive: Path, target: Path) -> Unpacked:
    target.mkdir()
    fds = os.open(archive, os.O_RDONLY), os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return unpack(*fds)
    finally:
        for fd in fds:
            os.close(fd)


def described(root: Path) -> dict[bytes, tuple[object, ...]]:
    """Everything about a tree that an archive can carry."""
    found: dict[bytes, tuple[object, ...]] = {}
    first_names: dict[int, bytes] = {}
    top = os.fsencode(root)
    for where, directories, files in os.walk(top):
        directories.sort()
        for name in [b"", *sorted(directories), *sorted(files)]:
            path = os.path.join(where, name) if name else where
            st = os.lstat(path)
            short = path[len(top) :]
            content: object = None
            if stat.S_ISREG(st.st_mode):
                content = hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest()
            elif stat.S_ISLNK(st.st_mode):
                content = os.readlink(path)
            elif stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
                content = st.st_rdev
            xattrs = {
                key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)
            }
            twin = None if stat.S_ISDIR(st.st_mode) else first_names.setdefault(st.st_ino, short)
            size = None if stat.S_ISDIR(st.st_mode) else st.st_size
            found[short] = (
                st.st_mode,
                st.st_uid,
                st.st_gid,
                size,
                st.st_mtime_ns,
                content,
                twin,
                sorted(xattrs.items()),
            )
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    root.mkdir()
    for path in ("bin", "etc/deep/er", "dev", "empty", "var/tmp"):
        (root / path).mkdir(parents=True)
    (root / "bin/su").write_bytes(os.urandom(3000))
    (root / "bin/su").chmod(0o4755)
    (root / "bin/wall").write_bytes(b"x" * 512)
    os.chown(root / "bin/wall", 0, 5)
    (root / "bin/wall").chmod(0o2711)
    (root / "bin/odd").write_bytes(b"")
    (root / "bin/odd").chmod(0o007)
    (root / "etc/shadow").write_text("secret")
    os.chown(root / "etc/shadow", 123456, 3_000_000_000)
    (root / "etc/shadow").chmod(0)
    (root / "var/tmp").chmod(0o1777)
    os.chown(root / "var", 33, 44)
    (root / "var").chmod(0o2775)
    (root / "var/inside").write_text("its group is not inherited")
    os.link(root / "bin/su", root / "etc/deep/su")
    (root / "etc/link").symlink_to("../bin/su")
    (root / "etc/absolute").symlink_to("/etc/passwd")
    (root / "etc/dangling").symlink_to("x" * 300)
    os.lchown(root / "etc/link", 7, 8)
    os.link(root / "etc/link", root / "etc/link2", follow_symlinks=False)
    os.mknod(root / "dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(root / "dev/big", stat.S_IFBLK | 0o640, os.makedev(259, 70000))
    os.mkfifo(root / "dev/fifo", 0o622)
    (root / ("long" * 60)).write_text("long name")
    long = root
    for _ in range(12):
        long /= "directory-of-a-path-beyond-hundred"
    long.mkdir(parents=True)
    (long / "file").write_text("long path")
    (long / "link").symlink_to("y" * 200)
    for name in (
        b"new\nline",
        b"\xff\xfe\x80",
        b"back\\slash",
        b"co:lon,comma",
        b" space ",
        b"-dash",
        "ü".encode(),
        b"[*]?",
    ):
        Path(os.fsdecode(os.path.join(os.fsencode(root), name))).write_bytes(name)
    (root / ".wh.kept").write_text("")
    (root / "large").write_bytes(os.urandom(3_000_001))
    with (root / "sparse").open("wb") as file:
        for n in range(60):
            file.seek(n * 300_000 + 70_000)
            file.write(b"data" * 1024)
        file.truncate(25_000_000)
    with (root / "hole").open("wb") as file:
        file.truncate(8_000_000)
    os.setxattr(root / "bin/odd", "user.note", b"\0binary\n=\xff")
    os.setxattr(root / "bin/odd", "user.empty", b"")
    os.setxattr(root / "bin/su", "security.capability", CAPABILITY)
    os.setxattr(root / "empty", "user.directory", b"yes")
    os.setxattr(root / "etc/link", "trusted.on-link", b"yes", follow_symlinks=False)
    os.setxattr(root / "dev/null", "trusted.on-device", b"yes")
    for n, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        os.utime(path, ns=(n, (1_500_000_000 + n) * 10**9 + 123_456_789 + n), follow_symlinks=False)
    os.utime(root / "bin/odd", ns=(0, -1_500_000_000))
    os.utime(root / "empty", ns=(0, 5_000_000_000 * 10**9 + 1))
    os.utime(root, ns=(0, 987_654_321_000_000_001))
    root.chmod(0o751)
    return root


def packed(tree: Path, out: Path, *options: str) -> Path:
    run("tar", "-C", tree, "-cf", out, "--numeric-owner", *options, ".")
    return out


FORMATS = {
    "pax": ["--format=pax", "--xattrs", "--xattrs-include=*"],
    "pax-sparse-1.0": ["--format=pax", "--xattrs", "--xattrs-include=*", "--sparse"],
    "pax-sparse-0.1": ["--format=pax", "--sparse", "--sparse-version=0.1"],
    "pax-sparse-0.0": ["--format=pax", "--sparse", "--sparse-version=0.0"],
    "gnu": ["--format=gnu"],
    "gnu-sparse": ["--format=gnu", "--sparse"],
    "oldgnu-sparse": ["--format=oldgnu", "--sparse"],
}


@pytest.mark.parametrize("form", FORMATS)
def test_the_tree_is_what_tar_makes_of_it(tmp_path: Path, tree: Path, form: str) -> None:
    archive = packed(tree, tmp_path / "a.tar", *FORMATS[form])
    by_tar = tmp_path / "by-tar"
    by_tar.mkdir()
    run("tar", "-C", by_tar, "-xpf", archive, "--numeric-owner", "--xattrs", "--xattrs-include=*")
    made = taken(archive, tmp_path / "ours")
    ours, theirs = described(tmp_path / "ours"), described(by_tar)
    assert ours == theirs
    if form.startswith("pax-sparse-1") or form == "pax":
        assert ours == described(tree)
    if "sparse" in form:
        for name in ("sparse", "hole"):
            assert os.stat(tmp_path / "ours" / name).st_blocks <= os.stat(tree / name).st_blocks
    assert made.diff_id == "sha256:" + hashlib.sha256(archive.read_bytes()).hexdigest()
    assert made.names == len(ours) - 1
    assert made.size == sum(st.st_size for p in tree.rglob("*") if stat.S_ISREG((st := p.lstat()).st_mode))


@pytest.mark.parametrize("form", ["v7", "ustar"])
def test_the_formats_of_old(tmp_path: Path, form: str) -> None:
    tree = tmp_path / "tree"
    (tree / "d" / ("e" * 60)).mkdir(parents=True)
    (tree / "d" / ("e" * 60) / "file").write_text("x")
    (tree / "d" / "link").symlink_to("file")
    archive = packed(tree, tmp_path / "a", f"--format={form}")
    by_tar = tmp_path / "by-tar"
    by_tar.mkdir()
    run("tar", "-C", by_tar, "-xpf", archive)
    taken(archive, tmp_path / "ours")
    assert described(tmp_path / "ours") == described(by_tar)


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.needs(tool=name)) for name in COMPRESSORS])
def test_compression_is_recognised_by_content_and_streams_of_several_members_are_whole(
    tmp_path: Path, tree: Path, name: str
) -> None:
    archive = packed(tree, tmp_path / "a.tar", *FORMATS["pax"])
    data = archive.read_bytes()

    def compressed(part: bytes) -> bytes:
        return subprocess.run([*COMPRESSORS[name], "-c"], input=part, stdout=subprocess.PIPE, check=True).stdout

    single = tmp_path / "named.jpg"
    single.write_bytes(compressed(data))
    made = taken(single, tmp_path / "one")
    assert (made.compression, made.diff_id) == (name, "sha256:" + hashlib.sha256(data).hexdigest())
    assert described(tmp_path / "one") == described(tree)
    several = tmp_path / "several.tar"
    cuts = [0, 1, 700, 100_000, len(data) // 2, len(data)]
    several.write_bytes(b"".join(compressed(data[a:b]) for a, b in itertools.pairwise(cuts)) + compressed(b""))
    assert taken(several, tmp_path / "two").diff_id == made.diff_id
    single.write_bytes(single.read_bytes() + b"trailing garbage")
    with pytest.raises(ArchiveDamaged, match="follows"):
        taken(single, tmp_path / "three")


@pytest.mark.needs(tool="zstd")
def test_frames_of_zstd_that_are_to_be_skipped_are_skipped(tmp_path: Path) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    (tree / "f").write_text("x")
    archive = packed(tree, tmp_path / "a.tar")
    run("zstd", "-q", archive)
    skipped = struct.pack("<II", 0x184D2A53, 5) + b"hello"
    both = tmp_path / "both"
    both.write_bytes(skipped + (tmp_path / "a.tar.zst").read_bytes() + skipped)
    assert taken(both, tmp_path / "out").compression == "zstd"


@pytest.mark.parametrize(
    "name", ["plain", *(pytest.param(name, marks=pytest.mark.needs(tool=name)) for name in COMPRESSORS)]
)
def test_an_archive_cut_or_changed_anywhere_is_damaged(tmp_path: Path, name: str) -> None:
    tree = tmp_path / "tree"
    (tree / "d").mkdir(parents=True)
    for n in range(20):
        (tree / "d" / f"file{n}").write_bytes(os.urandom(700) + b"text " * 300)
    archive = packed(tree, tmp_path / "a.tar", "--blocking-factor=1")
    data = archive.read_bytes()
    content = hashlib.sha256(data).hexdigest()
    if name != "plain":
        data = subprocess.run([*COMPRESSORS[name], "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout
    broken = tmp_path / "broken"
    for n, cut in enumerate(
        [0, 1, 2, 5, 11, 100, 511, 512, 513, *range(1000, len(data), len(data) // 25), len(data) - 1]
    ):
        broken.write_bytes(data[:cut])
        with pytest.raises(ArchiveDamaged):
            taken(broken, tmp_path / f"cut{n}")
    # Plain tar has checksums for headers only, the others for all of their content.
    places = range(156) if name == "plain" else range(14, len(data) - 12, max(1, len(data) // 40))
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 0x10
        broken.write_bytes(changed)
        target = tmp_path / f"flip{place}"
        if name == "plain" and place >= 148:
            continue
        try:
            unpacked = taken(broken, target)
        except (ArchiveDamaged, NotSupported):
            continue
        # A match in text that repeats itself can be a match with another place, which says the same.
        assert name != "plain" and unpacked.diff_id == f"sha256:{content}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"#!/bin/sh\necho no archive\n" * 100, "not an archive"),
        (os.urandom(50_000), "not an archive"),
        (b"x", "not an archive"),
        (bytes(10240), "holds no members|not an archive"),
        (b"\x1f\x8b\x08", "truncated"),
    ],
    ids=["empty", "script", "random", "one-byte", "zeros", "gzip-magic"],
)
def test_what_is_no_archive_is_said_so(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ArchiveDamaged, match=reason):
        taken(tmp_path / "a", tmp_path / "out")


@pytest.mark.parametrize("magic", [b"\x04\x22\x4d\x18", b"LZIP", b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c"])
def test_a_foreign_format_is_named(tmp_path: Path, magic: bytes) -> None:
    (tmp_path / "a").write_bytes(magic + bytes(1000))
    with pytest.raises(NotSupported, match="repack"):
        taken(tmp_path / "a", tmp_path / "out")


def test_what_follows_the_end_is_damage_and_zeros_are_not(tmp_path: Path, tree: Path) -> None:
    archive = packed(tree, tmp_path / "a")
    data = archive.read_bytes()
    archive.write_bytes(data + bytes(100_001))
    taken(archive, tmp_path / "zeros")
    archive.write_bytes(data + bytes(512) + b"x")
    with pytest.raises(ArchiveDamaged, match="follows the end"):
        taken(archive, tmp_path / "garbage")
    archive.write_bytes(data.rstrip(b"\0") + bytes(-len(data.rstrip(b"\0")) % 512))
    with pytest.raises(ArchiveDamaged, match="truncated"):
        taken(archive, tmp_path / "no-end")


@pytest.mark.parametrize("order", [("oci-layout", "index.json", "blobs"), ("blobs", "manifest.json")])
def test_archives_of_images_are_told_from_root_filesystems(tmp_path: Path, order: tuple[str, ...]) -> None:
    tree = tmp_path / "tree"
    (tree / "blobs").mkdir(parents=True)
    (tree / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (tree / "index.json").write_text("{}")
    (tree / "manifest.json").write_text('[{"Config": "c.json", "RepoTags": null, "Layers": ["l/layer.tar"]}]')
    run("tar", "-C", tree, "-cf", tmp_path / "a", *order)
    with pytest.raises(NotSupported, match=r"OCI layout|docker save"):
        taken(tmp_path / "a", tmp_path / "out")
    (tree / "manifest.json").write_text('{"name": "a root filesystem may have this"}')
    (tree / "oci-layout").write_text("[]")
    run("tar", "-C", tree, "-cf", tmp_path / "b", *order)
    taken(tmp_path / "b", tmp_path / "out2")


def test_a_root_without_an_entry_of_its_own_is_open_to_all_and_inherits_nothing(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "d/e").mkdir(parents=True)
    (tree / "d/e/f").write_text("x")
    run("tar", "-C", tree, "-cf", tmp_path / "a", "d/e/f")
    parent = tmp_path / "parent"
    parent.mkdir()
    os.chown(parent, 0, 77)
    parent.chmod(0o2770)
    taken(tmp_path / "a", parent / "out")
    for path in ("", "d", "d/e"):
        st = os.stat(parent / "out" / path)
        assert (st.st_mode & 0o7777, st.st_uid, st.st_gid) == (0o755, 0, 0)
    assert os.stat(parent / "out/d/e/f").st_gid == 0


def test_the_program_keeps_its_umask_directory_threads_and_descriptors(tmp_path: Path, tree: Path) -> None:
    archive = packed(tree, tmp_path / "a")
    old = os.umask(0o077)
    try:
        before = threading.active_count(), os.getcwd(), sorted(os.listdir("/proc/self/fd"))
        taken(archive, tmp_path / "out")
        assert (threading.active_count(), os.getcwd(), sorted(os.listdir("/proc/self/fd"))) == before
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(old)
    assert os.stat(tmp_path / "out/etc/deep").st_mode & 0o777 == os.stat(tree / "etc/deep").st_mode & 0o777


def test_sockets_are_left_out_by_tar_and_need_nothing_of_us(tmp_path: Path) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tree / "s"))
        (tree / "f").write_text("x")
        subprocess.run(["tar", "-C", tree, "-cf", tmp_path / "a", "."], check=True, stderr=subprocess.DEVNULL)
    taken(tmp_path / "a", tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["f"]


@pytest.mark.parametrize("piece", [13, 511, 512, 513, 3000, 1 << 20])
def test_it_does_not_matter_where_the_stream_is_cut_into_pieces(tmp_path: Path, tree: Path, piece: int) -> None:
    archive = tmp_path / "tree.tar"
    run("tar", "--format=pax", "--xattrs", "--xattrs-include=*", "-S", "-cf", archive, "-C", tree, ".")
    whole = taken(archive, tmp_path / "whole")
    data = archive.read_bytes()
    target = tmp_path / "target"
    target.mkdir()
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    umask = os.umask(0)
    try:
        extractor = Extractor(root)
        extractor.run(TarStream(data[at : at + piece] for at in range(0, len(data), piece)))
    finally:
        os.umask(umask)
        os.close(root)
    assert (extractor.names, extractor.size) == (whole.names, whole.size)
    assert described(target) == described(tmp_path / "whole")


def test_nearly_all_files_take_the_short_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for directory in ("a", "b", "b/c"):
        (tmp_path / "tree" / directory).mkdir(parents=True)
        for number in range(40):
            (tmp_path / "tree" / directory / f"file {number}").write_bytes(b"x" * number * 40)
    run("tar", "--format=gnu", "-cf", tmp_path / "tree.tar", "-C", tmp_path / "tree", ".")
    made = []
    make = PlainFiles.make

    def counted(self: PlainFiles, tar: TarStream) -> None:
        make(self, tar)
        made.append(self.names)

    monkeypatch.setattr(PlainFiles, "make", counted)
    taken(tmp_path / "tree.tar", tmp_path / "target")
    assert sum(made) == 120


@pytest.mark.parametrize("form", ["", "gzip", "zstd"])
def test_the_digest_is_of_all_bytes_of_an_archive_of_many_pieces(tmp_path: Path, form: str) -> None:
    (tmp_path / "tree").mkdir()
    for number, size in enumerate((0, 9 << 20, 1, (2 << 20) - 1, 5000, 3 << 20)):
        (tmp_path / "tree" / str(number)).write_bytes(os.urandom(256) * (size // 256) + bytes(size % 256))
    archive = tmp_path / "tree.tar"
    run("tar", "--format=pax", "-cf", archive, "-C", tmp_path / "tree", ".")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if form:
        with open(tmp_path / "packed", "wb") as packed:
            subprocess.run([*COMPRESSORS[form], "-c", archive], check=True, stdout=packed)
        archive = tmp_path / "packed"
    assert taken(archive, tmp_path / "target").diff_id == f"sha256:{digest}"
    assert described(tmp_path / "target") == described(tmp_path / "tree")

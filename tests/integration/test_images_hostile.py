"""Archives that want out of their directory: each is refused, or lands inside.

Every case is a list of members; a tree beside the target, reachable by every spelling that the
members try, is compared before and after.
"""

from __future__ import annotations

import io
import os
import random
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinydocker.errors import TinydockerError
from tinydocker.image_store.archive import ArchiveDamaged
from tinydocker.image_store.plainfiles import PlainFiles
from tinydocker.image_store.unpack import unpack

pytestmark = pytest.mark.needs("root")

REG, LNK, SYM, CHR, BLK, DIR, FIFO = (
    tarfile.REGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
)  # fmt: skip


def m(
    name: str, kind: bytes = REG, link: str = "", body: bytes = b"evil", **more: object
) -> tuple[tarfile.TarInfo, bytes]:
    """Make one member."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o755
    for key, value in more.items():
        setattr(info, key, value)
    body = body if kind == REG else b""
    info.size = len(body)
    return info, body


def packed(members: list[tuple[tarfile.TarInfo, bytes]], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    for info, body in members:
        out.write(info.tobuf(form, "utf-8", "surrogateescape"))
        out.write(body + bytes(-len(body) % 512))
    return out.getvalue() + bytes(10240)


def picture(root: Path) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for where, directories, files in os.walk(root):
        for name in (".", *directories, *files):
            path = os.path.join(where, name)
            st = os.lstat(path)
            content = Path(path).read_bytes() if stat.S_ISREG(st.st_mode) else b""
            found.append((path, st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_size, st.st_mtime_ns, content))
    return sorted(found, key=str)


def attempt(tmp_path: Path, data: bytes) -> tuple[Path, Exception | None]:
    target = tmp_path / "target"
    target.mkdir()
    archive = tmp_path / "archive"
    archive.write_bytes(data)
    fds = os.open(archive, os.O_RDONLY), os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        unpack(*fds)
    except (ArchiveDamaged, TinydockerError) as err:
        return target, err
    finally:
        for fd in fds:
            os.close(fd)
    return target, None


# {c} is the absolute path of the canary tree, {r} the same path climbing out of the target.
REFUSED: dict[str, list[tuple[tarfile.TarInfo, bytes]]] = {
    "dotdot": [m("../canary/file")],
    "dotdot-deep": [m("a/b/../../../canary/file")],
    "dotdot-inside": [m("a/", DIR), m("a/../b")],
    "dotdot-end": [m("a/..", DIR)],
    "dotdot-only": [m("..", DIR, mode=0o777)],
    "dotdot-dir": [m("../canary/new", DIR)],
    "dotdot-symlink": [m("../canary/link", SYM, "file")],
    "dotdot-fifo": [m("../canary/fifo", FIFO)],
    "dotdot-absolute": [m("/../canary/file")],
    "hardlink-dotdot": [m("x", LNK, "../canary/file")],
    "hardlink-absolute": [m("x", LNK, "{c}/file")],
    "hardlink-through-link": [m("d", SYM, "{r}"), m("x", LNK, "d/file")],
    "hardlink-through-absolute-link": [m("d", SYM, "{c}"), m("x", LNK, "d/file")],
    "hardlink-to-directory": [m("d", DIR), m("x", LNK, "d")],
    "hardlink-to-root": [m("x", LNK, "/")],
    "hardlink-to-nothing": [m("x", LNK, "nothing")],
    "hardlink-to-dot": [m("x", LNK, ".")],
    "through-dangling-absolute-link": [m("d", SYM, "{c}/nothing"), m("d/file")],
    "through-absolute-link": [m("d", SYM, "{c}"), m("d/file")],
    "through-relative-link": [m("d", SYM, "{r}"), m("d/file")],
    "through-two-links": [m("a", SYM, "{r}"), m("b", SYM, "a"), m("b/file")],
    "through-link-loop": [m("a", SYM, "b"), m("b", SYM, "a"), m("a/file")],
    "through-self": [m("a", SYM, "a"), m("a/file")],
    "through-proc-magic": [m("p", SYM, "/proc/self/root"), m("p{c}/file")],
    "through-proc-cwd": [m("p", SYM, "/proc/self/cwd"), m("p/file")],
    "through-file": [m("a"), m("a/file")],
    "through-fifo": [m("a", FIFO), m("a/file")],
    "directory-through-link": [m("d", SYM, "{c}"), m("d/new", DIR)],
    "symlink-through-link": [m("d", SYM, "{c}"), m("d/link", SYM, "file")],
    "hardlink-place-through-link": [m("f"), m("d", SYM, "{c}"), m("d/x", LNK, "f")],
    "root-is-a-file": [m(".")],
    "root-is-a-link": [m("./", SYM, "{c}")],
    "root-is-a-hardlink": [m("/", LNK, "x")],
    "empty-name": [m("", REG)],
    "full-directory-by-file": [m("d", DIR), m("d/f"), m("d")],
    "full-directory-by-link": [m("d", DIR), m("d/f"), m("d", SYM, "{c}"), m("d/file")],
    "empty-directory-by-link": [m("d", DIR), m("d", SYM, "{c}"), m("d/file")],
    "used-directory-by-link": [m("d", DIR), m("d/f"), m("e", LNK, "d/f"), m("d", SYM, "{c}"), m("d/file")],
    "second-file-through-link": [m("r", DIR), m("r/d", SYM, "{r}"), m("r/a"), m("r/b"), m("r/d/file")],
    "empty-link": [m("x", SYM, "")],
    "name-too-long": [m("x" * 300)],
    "path-too-long": [m("x/" * 3000 + "f")],
    "overlay-trusted": [m("f", pax_headers={"SCHILY.xattr.trusted.overlay.redirect": "/x"})],
    "overlay-opaque": [m("d", DIR, pax_headers={"SCHILY.xattr.trusted.overlay.opaque": "y"})],
    "overlay-user": [m("f", pax_headers={"SCHILY.xattr.user.overlay.metacopy": "y"})],
    "overlay-on-root": [m(".", DIR, pax_headers={"SCHILY.xattr.trusted.overlay.opaque": "y"})],
    "overlay-whiteout": [m("w", CHR, devmajor=0, devminor=0)],
    "owner-minus-one": [m("f", pax_headers={"uid": "4294967295"})],
    "owner-negative": [m("f", pax_headers={"gid": "-1"})],
    "owner-huge": [m("d", DIR, pax_headers={"uid": str(1 << 70)[:20]})],
    "unknown-kind": [m("f", b"Z")],
    "multi-volume": [m("f", b"M")],
    "nul-in-name": [m("f", pax_headers={"path": "a\0b"})],
    "nul-in-link": [m("f", SYM, pax_headers={"linkpath": "a\0b"})],
    "pax-dotdot": [m("f", pax_headers={"path": "../canary/file"})],
    "pax-sparse-name-dotdot": [
        m("f", pax_headers={"GNU.sparse.name": "../canary/file", "GNU.sparse.map": "0,4", "GNU.sparse.size": "4"})
    ],
    "pax-size-huge": [m("f", pax_headers={"size": str(1 << 62)})],
    "pax-size-negative": [m("f", pax_headers={"size": "-1"})],
    "sparse-beyond": [m("f", pax_headers={"GNU.sparse.map": "90,4", "GNU.sparse.size": "4"})],
    "sparse-overlap": [m("f", pax_headers={"GNU.sparse.map": "0,2,1,2", "GNU.sparse.size": "100"})],
}  # fmt: skip

INSIDE: dict[str, tuple[list[tuple[tarfile.TarInfo, bytes]], str]] = {
    "absolute": ([m("/etc/passwd")], "etc/passwd"),
    "absolute-many-slashes": ([m("///etc//./passwd")], "etc/passwd"),
    "absolute-canary": ([m("{c}/file")], "{C}/file"),
    "absolute-directory": ([m("/", DIR), m("/tmp/x", DIR)], "tmp/x"),
    "link-replaced-not-followed": ([m("x", SYM, "{c}/file"), m("x")], "x"),
    "link-replaced-by-directory": ([m("d", SYM, "{c}"), m("d", DIR), m("d/file")], "d/file"),
    "link-replaced-in-a-run": (
        [m("d", DIR), m("d/a"), m("d/x", SYM, "{c}/file"), m("d/b"), m("d/x"), m("d/x", body=b"last")], "d/x"),
    "fifo-replaced-in-a-run": ([m("d", DIR), m("d/a"), m("d/x", FIFO), m("d/x")], "d/x"),
    "link-replaced-after-use": ([m("r", DIR), m("d", SYM, "r"), m("d/f"), m("d", SYM, "{c}"), m("g")], "r/f"),
    "link-to-own-root": ([m("r", SYM, "/"), m("r/etc", DIR), m("r/etc/f")], "etc/f"),
    "link-upwards-stays": ([m("r", SYM, "../../../.."), m("r/f")], "f"),
    "link-into-absolute-inside": ([m("usr/lib", DIR), m("lib", SYM, "/usr/lib"), m("lib/f")], "usr/lib/f"),
    "directory-emptied-by-link": ([m("d", DIR), m("d", SYM, "{c}"), m("e")], "e"),
    "hardlink-to-link-is-the-link": ([m("l", SYM, "{c}/file"), m("h", LNK, "l"), m("h")], "h"),
    "hardlink-to-itself": ([m("f"), m("f", LNK, "f")], "f"),
    "hardlink-absolute-inside": ([m("a/f"), m("h", LNK, "/a/f")], "h"),
    "dangling-link-replaced": ([m("x", SYM, "{c}/new"), m("x")], "x"),
    "same-file-twice": ([m("x", body=b"one"), m("x")], "x"),
    "file-by-directory": ([m("x"), m("x", DIR), m("x/f")], "x/f"),
    "directory-mode-after-link": ([m("d", DIR, mode=0o700), m("d", SYM, "{c}"), m("f")], "f"),
    "device-replaced": ([m("x", FIFO), m("x")], "x"),
    "whiteouts-are-files": ([m("d/.wh.x"), m(".wh...", body=b""), m("d/.wh..wh..opq")], "d/.wh.x"),
    "link-to-dot": ([m("d", DIR), m("d/l", SYM, "."), m("d/l/l/f")], "d/f"),
    "link-replaced-through-itself": ([m("d", DIR), m("d/l", SYM, "."), m("d/l/l", DIR), m("d/l/f")], "d/l/f"),
}  # fmt: skip


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    tree = tmp_path / "canary"
    tree.mkdir()
    (tree / "file").write_text("alive")
    (tree / "sub").mkdir()
    return tree


def spelled(members: list[tuple[tarfile.TarInfo, bytes]], canary: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    done = []
    for original, body in members:
        info = tarfile.TarInfo()
        for name in ("name", "type", "linkname", "mode", "size", "devmajor", "devminor", "uid", "mtime", "pax_headers"):
            setattr(info, name, getattr(original, name))
        info.name, info.linkname = (
            text.replace("{c}", str(canary)).replace("{r}", "../canary") for text in (info.name, info.linkname)
        )
        done.append((info, body))
    return done


@pytest.mark.parametrize("case", REFUSED)
def test_a_hostile_archive_is_refused(tmp_path: Path, canary: Path, case: str) -> None:
    before = picture(canary), os.stat(tmp_path).st_mode
    _, error = attempt(tmp_path, packed(spelled(REFUSED[case], canary)))
    assert (picture(canary), os.stat(tmp_path).st_mode) == before
    assert isinstance(error, ArchiveDamaged), case


@pytest.mark.parametrize("case", INSIDE)
def test_a_strange_archive_lands_inside(tmp_path: Path, canary: Path, case: str) -> None:
    members, expected = INSIDE[case]
    before = picture(canary)
    target, error = attempt(tmp_path, packed(spelled(members, canary)))
    assert error is None and picture(canary) == before
    made = os.lstat(target / expected.replace("{C}", str(canary)[1:]))
    assert stat.S_ISREG(made.st_mode) or stat.S_ISDIR(made.st_mode)


def test_the_defence_is_what_keeps_the_canary_alive(tmp_path: Path, canary: Path) -> None:
    """The same members, made by a naive extractor, do reach the canary: the cases are real."""
    for info, body in spelled([m("d", SYM, "{c}"), m("d/file")], canary):
        place = tmp_path / info.name
        if info.issym():
            place.symlink_to(info.linkname)
        else:
            place.write_bytes(body)
    assert (canary / "file").read_bytes() == b"evil"


# What the shortcut may take, and what looks so.
PLAIN = [
    *(m(f"{place}/{name}", body=body) for place in ("d", "d/e", "./d", "l") for name in "ab" for body in (b"", b"x" * 700)),
    *(m(f"d/{kind}", mode=mode, uid=uid) for kind, mode, uid in (("s", 0o4755, 0), ("t", 0o600, 7), ("a", 0o2711, 7))),
    m("d/c", SYM, "a"), m("d/a", SYM, "b"), m("d/b", DIR), m("d/b", FIFO), m("d/c", LNK, "d/a"), m("l", SYM, "d/e"),
    m("d", SYM, "e"), m("d/."), m("d/.."), m("d/"), m("d/" + "n" * 97), m("d/" + "n" * 150), m("d/x", mtime=-1),
    m("d/y", mtime=1.5), m("d/a", mtime=-0.25, pax_headers={"atime": "1.5"}), m("d/v", pax_headers={"ctime": "7"}),
    m("d/w", pax_headers={"mtime": ""}), m("d/z", pax_headers={"SCHILY.xattr.user.a": "b"}), m("d/a", mtime=1 << 34), m("d/b", uid=1 << 24),
]  # fmt: skip
FRAME = [m("d", DIR), m("d/e", DIR), m("l", SYM, "d"), m("d/first"), m("d/second")]


def mutants(
    canary: Path, seed: int, count: int, more: list[tuple[tarfile.TarInfo, bytes]] | None = None
) -> Iterator[bytes]:
    """Make archives of random members, every other one with a few bytes changed."""
    generator = random.Random(seed)
    pool = [member for case in (*REFUSED.values(), *(members for members, _ in INSIDE.values())) for member in case]
    for round_ in range(count):
        chosen = generator.choices(pool if more is None else more, k=generator.randrange(2, 9))
        chosen = spelled(chosen if more is None else FRAME + chosen, canary)
        data = bytearray(packed(chosen, generator.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))))
        if round_ % 2:
            for _ in range(generator.randrange(1, 4)):
                data[generator.randrange(len(data) - 10240)] = generator.randrange(256)
        yield bytes(data)


def test_mutated_archives_never_reach_the_canary(tmp_path: Path, canary: Path) -> None:
    before = picture(canary)
    for round_, data in enumerate(mutants(canary, 20, 400)):
        place = tmp_path / str(round_)
        place.mkdir()
        attempt(place, data)
        assert picture(canary) == before


@pytest.mark.parametrize("seed", [21, 22])
def test_the_shortcut_for_plain_files_changes_nothing(
    tmp_path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    def outcome(place: Path, data: bytes) -> tuple[str, object]:
        place.mkdir()
        target, error = attempt(place, data)
        names = picture(target)
        return str(error), [(str(path).removeprefix(str(place)), *rest[:-2], rest[-1]) for path, *rest in names]

    archives = [*mutants(canary, seed, 200, PLAIN)]
    with_it = [outcome(tmp_path / f"with-{number}", data) for number, data in enumerate(archives)]
    monkeypatch.setattr(PlainFiles, "make", lambda self, tar: None)
    without = [outcome(tmp_path / f"without-{number}", data) for number, data in enumerate(archives)]
    assert with_it == without
    assert {error == "None" for error, _ in without} == {True, False}


def test_a_member_cannot_lie_about_its_size_and_fill_the_memory(tmp_path: Path) -> None:
    header = bytearray(m("f", body=b"")[0].tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"L"
    header[124:136] = b"77777777777\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    _, error = attempt(tmp_path, bytes(header) + bytes(20480))
    assert isinstance(error, ArchiveDamaged) and "longer than" in str(error)


def test_what_was_said_of_a_directory_is_not_done_to_what_a_link_in_its_place_leads_to(tmp_path: Path) -> None:
    members = [m("v", DIR, mode=0o751), m("d", DIR, mode=0o4700), m("d", SYM, "v")]
    target, error = attempt(tmp_path, packed(members))
    assert error is None and stat.S_IMODE(os.stat(target / "v").st_mode) == 0o751


def test_a_long_name_in_two_fields_is_not_mistaken_for_its_second_half(tmp_path: Path) -> None:
    half, rest = "p" * 80, "d/" + "n" * 90
    members = [m("d", DIR), m("d/first"), m("d/second"), m(f"{half}/{rest}"), m("d/third")]
    target, error = attempt(tmp_path, packed(members, tarfile.USTAR_FORMAT))
    assert error is None and (target / half / rest).read_bytes() == b"evil"
    assert sorted(os.listdir(target / "d")) == ["first", "second", "third"]

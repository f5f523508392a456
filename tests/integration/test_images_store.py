"""The store of images: unpacked once, complete or absent, removed only when nobody uses it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tinydocker.errors import ImageCorrupt, ImageNotFound, InUse, InvalidSpec, NotSupported, StateCorrupt
from tinydocker.image_store.catalogue import Catalogue
from tinydocker.image_store.layers import Lease
from tinydocker.store import records
from tinydocker.store.paths import Paths

pytestmark = pytest.mark.needs("root", tool="tar")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "state", tmp_path / "state-run").ensure()


@pytest.fixture
def store(paths: Paths) -> Catalogue:
    return Catalogue(paths)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    def made(name: str = "root.tar", text: str = "hello", files: int = 5, *options: str) -> Path:
        tree = tmp_path / f"tree-{name}"
        (tree / "etc").mkdir(parents=True, exist_ok=True)
        for n in range(files):
            (tree / "etc" / f"file{n}").write_text(f"{text} {n}")
        subprocess.run(
            ["tar", "-C", tree, "-cf", tmp_path / name, "--sort=name", "--mtime=@1", *options, "."], check=True
        )
        return tmp_path / name

    return made


def state(paths: Paths) -> dict[str, list[str]]:
    return {name: sorted(os.listdir(getattr(paths, name))) for name in ("images", "layers", "archives", "trash")}


def nothing(paths: Paths) -> bool:
    return not any(state(paths).values())


def test_an_archive_becomes_one_image_with_one_layer(store: Catalogue, paths: Paths, make: Callable[..., Path]) -> None:
    archive = make()
    image, lease = store.open_archive(archive)
    with lease:
        assert Path(lease.rootfs[0], "etc/file3").read_text() == "hello 3"
        assert len(lease.fds) == 1 and not os.get_inheritable(lease.fds[0])
        assert store.layers.is_leased(image.layers[0])
    lease.close()
    assert lease.fds == () and not store.layers.is_leased(image.layers[0])
    assert image.layers == (f"sha256:{os.listdir(paths.layers)[0]}",)
    assert image.config["rootfs"]["diff_ids"] == list(image.layers) and image.size == store.size(image) == 35
    assert (image.source, image.kind) == (str(archive), "archive") and [image] == store.images()
    for name in (paths.layers, paths.images):
        for entry in Path(name).iterdir():
            assert entry.stat().st_mode & 0o777 == 0o700


def test_an_unchanged_file_is_not_read_again(store: Catalogue, paths: Paths, make: Callable[..., Path]) -> None:
    archive = make()
    image = store.import_archive(archive)
    before = state(paths)
    layer = Path(paths.layers, os.listdir(paths.layers)[0])
    inode = layer.stat().st_ino
    assert store.import_archive(archive) == image == Catalogue(paths).import_archive(str(archive))
    assert state(paths) == before and layer.stat().st_ino == inode
    assert [name for name in before["archives"] if name.endswith(".lock")] == []


def test_the_same_content_elsewhere_and_compressed_is_the_same_image(
    store: Catalogue, paths: Paths, make: Callable[..., Path], tmp_path: Path
) -> None:
    archive = make()
    image = store.import_archive(archive)
    copy = tmp_path / "copy.bin"
    copy.write_bytes(archive.read_bytes())
    subprocess.run(["gzip", "-k", archive], check=True)
    assert store.import_archive(copy).id == store.import_archive(f"{archive}.gz").id == image.id
    assert len(os.listdir(paths.layers)) == 1 and len(os.listdir(paths.images)) == 1
    for name in ("copy.bin", "root.tar.gz", str(copy), image.id, image.id[:8], f"sha256:{image.id}"):
        assert store.find(name).id == image.id


def test_a_file_that_changed_is_another_image(store: Catalogue, make: Callable[..., Path]) -> None:
    first = store.import_archive(make())
    second = store.import_archive(make(text="other"))
    assert first.id != second.id and {i.id for i in store.images()} == {first.id, second.id}
    with pytest.raises(InvalidSpec, match="only one image"):
        store.find("root.tar")
    for unknown in ("nothing", "f" * 64, "0000"):
        with pytest.raises(ImageNotFound):
            store.find(unknown)


def test_a_tag_belongs_to_one_image(store: Catalogue, make: Callable[..., Path]) -> None:
    one, two = store.import_archive(make("1.tar", "a")), store.import_archive(make("2.tar", "b"))
    store.tag(one, "site:1", "site:latest")
    store.tag(two, "site:latest")
    assert store.find("site:1").id == one.id and store.find("site:latest").id == two.id
    assert store.find(one.id).tags == ("site:1",)


@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage", "fifo", "directory"])
def test_what_is_damaged_leaves_nothing(
    store: Catalogue, paths: Paths, make: Callable[..., Path], tmp_path: Path, damage: str
) -> None:
    archive = make(files=200)
    bad = tmp_path / "bad.tar"
    if damage == "fifo":
        os.mkfifo(bad)
    elif damage == "directory":
        bad.mkdir()
    else:
        bad.write_bytes({"truncated": archive.read_bytes()[:60_000], "empty": b"", "garbage": b"x" * 5000}[damage])
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ImageCorrupt, match=r"bad\.tar: .+"):
        store.import_archive(bad)
    assert nothing(paths) and len(os.listdir("/proc/self/fd")) == descriptors


def test_what_is_missing_or_holds_images_is_said_so(store: Catalogue, paths: Paths, tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound, match="no such file"):
        store.import_archive(tmp_path / "missing.tar")
    (tmp_path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    subprocess.run(["tar", "-C", tmp_path, "-cf", tmp_path / "oci.tar", "oci-layout"], check=True)
    with pytest.raises(NotSupported, match=r"oci\.tar"):
        store.import_archive(tmp_path / "oci.tar")
    assert nothing(paths)


PROGRAM = """
import sys
from tinydocker.image_store.catalogue import Catalogue
from tinydocker.store.paths import Paths
catalogue = Catalogue(Paths(sys.argv[1], sys.argv[2]))
made = catalogue.layers.add
def add(*arguments):
    print("unpacking", flush=True)
    return made(*arguments)
catalogue.layers.add = add
sys.stdin.readline()
image, lease = catalogue.open_archive(sys.argv[3])
print(image.id, lease.rootfs[0], flush=True)
"""


def started(paths: Paths, archive: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, paths.root, paths.run_root, str(archive)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_eight_processes_at_once_unpack_once(paths: Paths, make: Callable[..., Path]) -> None:
    archive = make(files=1500)
    programs = [started(paths, archive) for _ in range(8)]
    for program in programs:
        assert program.stdin is not None
        program.stdin.write("go\n")
        program.stdin.flush()
    said = [program.communicate()[0].splitlines() for program in programs]
    assert all(program.returncode == 0 for program in programs)
    assert sum(lines.count("unpacking") for lines in said) == 1
    assert len({lines[-1] for lines in said}) == 1
    left = state(paths)
    assert [len(left[name]) for name in ("images", "layers", "archives", "trash")] == [1, 1, 1, 0]


def test_a_killed_unpacker_leaves_what_the_next_one_sweeps(paths: Paths, make: Callable[..., Path]) -> None:
    archive = make(files=3000)
    for round_ in range(6):
        with started(paths, archive) as program:
            assert program.stdin is not None and program.stdout is not None
            program.stdin.write("go\n")
            program.stdin.flush()
            program.stdout.readline()
            partial = next_partial(paths, entries=round_ * 300)
            program.send_signal(signal.SIGKILL)
        if partial is None:
            continue
        assert os.listdir(paths.images) == [] and os.listdir(paths.layers) == [partial]
        store = Catalogue(paths)
        assert store.images() == []
        assert partial in store.sweep() and nothing(paths)
    image, lease = Catalogue(paths).open_archive(archive)
    with lease:
        assert len(os.listdir(os.path.join(lease.rootfs[0], "etc"))) == 3000
    assert image.size > 0


def next_partial(paths: Paths, entries: int) -> str | None:
    """Wait until an unpacker has made so many files, or has finished."""
    while True:
        names = os.listdir(paths.layers)
        if names and not names[0].startswith("."):
            return None
        try:
            if names and len(os.listdir(os.path.join(paths.layers, names[0], "rootfs", "etc"))) >= entries:
                return names[0]
        except FileNotFoundError:
            continue


def test_a_living_unpacker_is_not_swept(store: Catalogue, paths: Paths, make: Callable[..., Path]) -> None:
    archive = make(files=50)
    swept: list[list[str]] = []
    unpack_and_sweep = store.layers.add

    def add(fd: int, check: Callable[[], None]) -> tuple[object, Lease]:
        def check_and_sweep() -> None:
            swept.append(Catalogue(paths).sweep())
            check()

        return unpack_and_sweep(fd, check_and_sweep)

    store.layers.add = add  # type: ignore[method-assign, assignment]
    store.import_archive(archive)
    assert swept == [[]] and len(store.images()) == 1


def test_a_file_that_changes_while_it_is_read_is_no_image(
    store: Catalogue, paths: Paths, make: Callable[..., Path]
) -> None:
    archive = make()
    whole = store.layers.add

    def add(fd: int, check: Callable[[], None]) -> tuple[object, Lease]:
        def changed() -> None:
            with archive.open("ab") as file:
                file.write(bytes(512))
            check()

        return whole(fd, changed)

    store.layers.add = add  # type: ignore[method-assign, assignment]
    with pytest.raises(ImageCorrupt, match="changed while it was read"):
        store.import_archive(archive)
    assert nothing(paths)


def test_removal_waits_for_nobody_and_refuses_while_in_use(
    store: Catalogue, paths: Paths, make: Callable[..., Path]
) -> None:
    archive = make()
    image, lease = store.open_archive(archive)
    with lease, pytest.raises(InUse, match="in use"):
        store.remove(image)
    for record in ({"image": {"id": image.id}}, {"image": {"layers": list(image.layers)}}):
        os.mkdir(os.path.join(paths.containers, "abc123"))
        records.write(os.path.join(paths.containers, "abc123", "record.json"), record)
        with pytest.raises(InUse, match="abc123"):
            store.remove(image)
        os.unlink(os.path.join(paths.containers, "abc123", "record.json"))
        os.rmdir(os.path.join(paths.containers, "abc123"))
    store.remove(image)
    assert nothing(paths)
    with pytest.raises(ImageNotFound):
        store.remove(image)
    assert store.import_archive(archive).id == image.id


def test_a_layer_that_another_image_has_stays(store: Catalogue, paths: Paths, make: Callable[..., Path]) -> None:
    image = store.import_archive(make())
    other = os.path.join(paths.images, "f" * 64)
    os.mkdir(other)
    records.write(os.path.join(other, "record.json"), {**image.to_dict(), "id": "f" * 64})
    store.remove(image)
    assert [i.id for i in store.images()] == ["f" * 64]
    store.lease(store.find("f" * 64)).close()
    store.remove(store.find("f" * 64))
    assert nothing(paths)


@pytest.mark.parametrize("content", [b"", bytes(100), b"{}", b'{"schema":1,"id":3}', b"null"])
def test_one_damaged_record_hides_no_other_image(
    store: Catalogue, paths: Paths, make: Callable[..., Path], content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = store.import_archive(make("1.tar", "a")), store.import_archive(make("2.tar", "b"))
    Path(paths.images, bad.id, "record.json").write_bytes(content)
    assert store.images() == [good] and bad.id in caplog.text
    with pytest.raises((ImageNotFound, StateCorrupt)):
        store.find(bad.id)
    assert store.import_archive(make("2.tar", "b")).id == bad.id
    assert len(store.images()) == 2


def test_a_layer_of_an_earlier_boot_is_compared_once_before_use(
    store: Catalogue, paths: Paths, make: Callable[..., Path]
) -> None:
    archive = make()
    image = store.import_archive(archive)
    layer = Path(paths.layers, os.listdir(paths.layers)[0])
    path = layer / "record.json"

    def as_if_booted() -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), "boot_id": "another", "settled": False}))

    as_if_booted()
    store.lease(image).close()
    assert json.loads(path.read_text())["settled"] is True
    as_if_booted()
    (layer / "rootfs/etc/file1").write_text("")
    with pytest.raises(ImageCorrupt, match="lost files"):
        store.lease(image)
    assert os.listdir(paths.layers) == []
    again, lease = store.open_archive(archive)
    with lease:
        assert again.id == image.id and Path(lease.rootfs[0], "etc/file1").read_text() == "hello 1"


def test_a_layer_without_its_record_is_no_layer(store: Catalogue, paths: Paths, make: Callable[..., Path]) -> None:
    archive = make()
    image = store.import_archive(archive)
    Path(paths.layers, os.listdir(paths.layers)[0], "record.json").unlink()
    with pytest.raises(ImageCorrupt):
        store.lease(image)
    with pytest.raises(ImageNotFound):
        store.lease(image)
    store.lease(store.import_archive(archive)).close()


@pytest.mark.parametrize("digest", ["sha256:../../etc", "md5:abc", "sha256:" + "G" * 64, "", "sha256:" + "a" * 63])
def test_a_digest_is_no_path(store: Catalogue, digest: str) -> None:
    with pytest.raises(ImageCorrupt):
        store.layers.lease([digest])

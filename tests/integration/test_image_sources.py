"""Images: where a root filesystem comes from, what is guessed, and what is kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest

import make_busybox
import tinydocker as td
from programs import Program

pytestmark = [pytest.mark.needs("root", "overlay", "busybox"), pytest.mark.leaves("images")]

ECHO = ["echo", "ran"]


def ran(engine, image):
    done = engine.run(image, ECHO)
    assert (done.returncode, done.stdout) == (0, "ran\n"), done
    return True


def test_a_directory_is_used_in_place_and_never_written(engine, busybox_dir, roots):
    before = subprocess.run(["find", busybox_dir, "-printf", "%p %T@ %C@\n"], capture_output=True, check=True).stdout
    for image in (
        busybox_dir,
        str(busybox_dir),
        td.Image(busybox_dir),
        td.Image.directory(busybox_dir),
        engine.image(busybox_dir),
    ):
        assert ran(engine, image)
    engine.run(busybox_dir, ["sh", "-c", "rm -rf /bin /etc; mkdir /x"])
    assert (
        subprocess.run(["find", busybox_dir, "-printf", "%p %T@ %C@\n"], capture_output=True, check=True).stdout
        == before
    )
    assert engine.images() == [] and os.listdir(roots.root / "layers") == []
    image = engine.image(busybox_dir)
    assert (image.id, image.layers, image.size, image.tags) == ("", [], 0, [])


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_an_archive_is_unpacked_whatever_its_compression_and_name(engine, tmp_path, suffix, roots):
    path = make_busybox.make_archive(tmp_path / f"b.{suffix}")
    misleading = path.rename(tmp_path / "no-suffix-at-all")
    for image in (misleading, str(misleading), td.Image.archive(misleading)):
        assert ran(engine, image)
    assert len(os.listdir(roots.root / "layers")) == 1


def test_one_content_is_unpacked_once_under_any_name_and_compression(engine, busybox, tmp_path, roots):
    plain = make_busybox.make_archive(tmp_path / "plain.tar")
    os.link(busybox, tmp_path / "again.tar.xz") if busybox.stat().st_dev == tmp_path.stat().st_dev else None
    for path in (busybox, plain):
        assert ran(engine, path)
    assert len(os.listdir(roots.root / "layers")) == 1
    assert len({engine.image(path).layers[0] for path in (busybox, plain)}) == 1


def test_many_who_ask_at_once_unpack_it_once(engine, busybox, roots):
    code = "say('ready'); hear(); say(td.run(image, ['echo', 'ran']).stdout.strip())"
    programs = [Program(code, busybox) for _ in range(3)]
    try:
        for program in programs:
            assert program.line() == "ready"
        for program in programs:
            program.say()
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(lambda _: ran(engine, busybox), range(4)))
        assert [program.line() for program in programs] == ["ran"] * 3
    finally:
        for program in programs:
            program.__exit__(None, None, None)
    assert len(os.listdir(roots.root / "layers")) == len(os.listdir(roots.root / "images")) == 1


def test_what_is_stored_is_listed_and_found_by_its_id(engine, busybox):
    with engine.image(busybox) as image:
        (stored,) = engine.images()
        assert stored.id == image.id and len(image.id) == 64
        assert image.size > 500_000 and len(image.layers) == 1
        assert image.created is not None and str(busybox) in image.sources
        for name in (image.id, image.id[:12]):
            assert ran(engine, td.Image.reference(name))
            assert ran(engine, name)


def test_entering_takes_a_lease_and_leaving_drops_it(engine, busybox):
    image = engine.image(busybox)
    with image:
        with pytest.raises(td.TinydockerError, match="open already"), image:
            pass
        with pytest.raises(td.InUse):
            engine.images()[0].remove()
        assert ran(engine, image)
    image.remove()
    assert engine.images() == []


def test_an_image_that_a_container_uses_is_not_removed(engine, busybox, roots):
    with engine.container(busybox, ["sleep", "1000"]) as container:
        with pytest.raises(td.InUse):
            engine.image(busybox).remove()
        assert container.exec(ECHO).stdout == "ran\n"
    with engine.workspace(busybox) as ws:
        with pytest.raises(td.InUse):
            engine.image(busybox).remove()
        assert (ws.path / "bin/busybox").exists()
    engine.image(busybox).remove()
    assert (
        os.listdir(roots.root / "layers")
        == os.listdir(roots.root / "images")
        == os.listdir(roots.root / "archives")
        == []
    )
    assert busybox.exists() and ran(engine, busybox), "the archive stays"


def test_an_image_in_use_by_another_program_is_not_removed(engine, busybox):
    code = "c = td.Container(image, ['sleep', '1000']).start(); say('up'); hear(); c.close(); td.images(); say('down')"
    with Program(code, busybox) as program:
        assert program.line() == "up"
        with pytest.raises(td.InUse):
            engine.image(busybox).remove()
        program.say()
        assert program.line() == "down"
    engine.image(busybox).remove()


def test_the_host_is_an_image_and_stays_as_it_is(engine):
    for image in ("host", td.Image.host()):
        done = engine.run(
            image, ["sh", "-c", "echo x > /tinydocker-test && cat /tinydocker-test && head -1 /etc/passwd"]
        )
        assert done.stdout.startswith("x\nroot:"), done
    assert not os.path.exists("/tinydocker-test")


def test_the_word_host_may_also_be_a_folder(engine, busybox_dir, tmp_path, monkeypatch):
    (tmp_path / "host").symlink_to(busybox_dir)
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        assert ran(engine, td.Image.directory("host")) and ran(engine, "./host")
        assert engine.run("./host", ["test", "-e", "/usr/lib"]).returncode == 1


def test_scratch_holds_the_mount_points_and_nothing_else(engine, busybox_dir):
    done = engine.run(
        td.Image.scratch(), ["/b/busybox", "ls", "-A", "/", "/etc", "/tmp"], volumes={busybox_dir / "bin": "/b"}
    )
    assert done.stdout.split() == [
        "/:",
        "b",
        "dev",
        "etc",
        "proc",
        "sys",
        "tmp",
        "/etc:",
        "hostname",
        "hosts",
        "resolv.conf",
        "/tmp:",
    ]
    with (
        engine.container(td.Image.scratch(), ["/x"])
        .with_volume(busybox_dir / "bin/busybox", "/bin/true")
        .with_command(["/bin/true"]) as container
    ):
        assert container.wait() == 0


def test_guessing_takes_what_exists_or_has_a_separator_for_a_path(engine, busybox, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        os.symlink(busybox, "alpine")
        assert ran(engine, "alpine"), "it exists, so it is a path"
        with pytest.raises(td.ImageNotFound, match="no/such"):
            engine.run("no/such", ECHO)
        with pytest.raises(td.ImageNotFound, match="nothing-here"):
            engine.run("nothing-here", ECHO)
    for source in ("", "a\0b", 7, None):
        with pytest.raises((td.InvalidSpec, TypeError)):
            td.Container(source, ECHO)


@pytest.mark.parametrize("kind", ["empty", "garbage", "truncated", "truncated xz", "folder of another kind"])
def test_what_is_no_archive_is_named_and_leaves_nothing(engine, busybox, tmp_path, roots, kind):
    path = tmp_path / "image.tar"
    if kind == "empty":
        path.touch()
    elif kind == "garbage":
        path.write_bytes(os.urandom(100_000))
    elif kind == "truncated":
        whole = make_busybox.make_archive(tmp_path / "whole.tar").read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "truncated xz":
        whole = busybox.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    else:
        os.mkfifo(path)
    for _ in range(2):
        with pytest.raises((td.ImageCorrupt, td.ImageNotFound), match=r"image\.tar"):
            engine.run(path, ECHO)
    assert engine.images() == [] and os.listdir(roots.root / "layers") == []


def test_an_archive_that_is_replaced_is_unpacked_anew_and_what_runs_goes_on(engine, tmp_path):
    path = make_busybox.make_archive(tmp_path / "image.tar")
    with engine.container(path, ["sleep", "1000"]) as container:
        with tarfile.open(tmp_path / "other.tar", "w") as archive:
            for member, content in make_busybox.members(make_busybox.Path("/bin/busybox")):
                import io

                archive.addfile(member, io.BytesIO(content) if content else None)
            extra = tarfile.TarInfo("marker")
            archive.addfile(extra)
        os.replace(tmp_path / "other.tar", path)
        assert engine.run(path, ["test", "-e", "/marker"]).returncode == 0
        assert container.exec(["test", "-e", "/marker"]).returncode == 1
    assert len(engine.images()) == 2


def test_what_later_versions_do_is_refused(busybox):
    image = td.Image(busybox)
    for use in (
        image.pull,
        lambda: image.push("x"),
        lambda: image.save("x.tar"),
        lambda: td.Image.from_dockerfile("."),
    ):
        with pytest.raises(td.NotSupported):
            use()


def test_removing_what_is_not_kept_is_an_error(engine, busybox_dir):
    for image in (engine.image(busybox_dir), engine.image("host"), engine.image("no-such-thing")):
        with pytest.raises(td.ImageNotFound):
            image.remove()


def test_the_images_own_files_have_their_modes_owners_and_setuid(engine, tmp_path):
    with tarfile.open(tmp_path / "i.tar", "w") as archive:
        import io

        for member, content in make_busybox.members(make_busybox.Path("/bin/busybox")):
            archive.addfile(member, io.BytesIO(content) if content else None)
        for name, mode, uid, gid in (("a", 0o4755, 0, 0), ("b", 0o640, 1000, 100), ("c", 0o2751, 5, 6)):
            member = tarfile.TarInfo(name)
            member.mode, member.uid, member.gid, member.mtime = mode, uid, gid, 1_000_000_000
            archive.addfile(member)
    previous = os.umask(0o077)
    try:
        said = engine.run(tmp_path / "i.tar", ["stat", "-c", "%n %a %u %g %Y", "/a", "/b", "/c", "/", "/tmp"]).stdout
    finally:
        os.umask(previous)
    assert said.splitlines()[:3] == ["/a 4755 0 0 1000000000", "/b 640 1000 100 1000000000", "/c 2751 5 6 1000000000"]
    assert [line.split()[1] for line in said.splitlines()[3:]] == ["755", "1777"]


def test_the_root_can_be_used_by_other_users(engine, busybox):
    assert (
        engine.run(
            busybox,
            ["sh", "-c", "cd / && ls / > /tmp/x && cat /etc/hosts /etc/hostname /etc/resolv.conf > /dev/null"],
            user="app",
        ).returncode
        == 0
    )


def test_a_directory_replaced_under_its_name_is_the_image_of_the_next_container(engine, busybox_dir, tmp_path):
    image = tmp_path / "rootfs"
    shutil.copytree(busybox_dir, image, symlinks=True)
    for number in range(3):  # each leaves a child behind that has the root of the last one mounted
        (image / "etc/number").write_text(str(number))
        for _ in range(3):
            assert engine.run(image, ["cat", "/etc/number"]).stdout == str(number)
        image.rename(tmp_path / f"old-{number}")
        shutil.copytree(busybox_dir, image, symlinks=True)
    assert engine.run(image, ["cat", "/etc/number"]).returncode == 1

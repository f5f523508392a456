"""Real overlays: what diff, pack and copy make of an upper directory and of the merged root.

Each is mounted in a mount namespace that ends with the command that uses it.
"""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from exchanging import exchanging
from tinydocker.image_store.copy import copy_layer
from tinydocker.image_store.diff import changes
from tinydocker.image_store.pack import pack, pack_layer

pytestmark = pytest.mark.needs("root", "overlay")

OPTIONS = "redirect_dir=off,metacopy=off,index=off"


class Overlay:
    """Two lower layers, an upper one, and commands that run in the merged root."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.upper, self.lowers = base / "upper", [base / "middle", base / "lowest"]
        for directory in (self.upper, *self.lowers, base / "work", base / "merged"):
            directory.mkdir()

    def run(self, *command: str, upper: str = "upper", work: str = "work") -> str:
        options = f"lowerdir=middle:lowest,upperdir={upper},workdir={work},{OPTIONS}"
        script = f'cd "$0" && mount -t overlay overlay -o {options} merged && cd merged && exec "$@"'
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, self.base, *command], capture_output=True, check=True
        )
        return done.stdout.decode()

    def shell(self, script: str, **where: str) -> str:
        return self.run("sh", "-ec", script, **where)

    def told(self, upper: Path | None = None) -> list[str]:
        return [str(change) for change in changes(upper or self.upper, self.lowers)]


@pytest.fixture
def overlay(tmp_path: Path) -> Overlay:
    made = Overlay(tmp_path)
    for layer, name in enumerate(("middle", "lowest")):
        for path in ("etc/motd", "etc/passwd", f"srv/{name}", f"var/{name}/deep/file", "opt/tree/x", "bin/tool"):
            file = made.base / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"%d" % layer)
    (made.base / "lowest/bin/tool").chmod(0o4755)
    return made


def test_the_differences_are_those_that_were_made(overlay):
    overlay.shell(
        "echo hi >> etc/motd; chmod 600 etc/passwd; rm srv/middle; rm -r opt/tree; mkdir opt/tree; touch opt/tree/y;"
        "rm -r var/lowest; mkdir -p new/dir; touch new/dir/file; ln -s motd etc/link; mkfifo pipe"
    )
    assert overlay.told() == [
        "C /etc",
        "A /etc/link",
        "C /etc/motd",
        "C /etc/passwd",
        "A /new",
        "A /new/dir",
        "A /new/dir/file",
        "C /opt",
        "C /opt/tree",
        "D /opt/tree/x",
        "A /opt/tree/y",
        "A /pipe",
        "C /srv",
        "D /srv/middle",
        "C /var",
        "D /var/lowest",
    ]


def test_opening_for_writing_copies_up_and_changes_nothing(overlay):
    overlay.run(sys.executable, "-c", "import os; os.close(os.open('etc/motd', os.O_RDWR))")
    assert (overlay.upper / "etc/motd").exists()
    assert overlay.told() == []


def test_what_was_made_and_taken_away_again_is_no_difference(overlay):
    overlay.shell("touch etc/x; rm etc/x; mkdir -p a/b; rm -r a")
    assert overlay.told() == []


PACK = "import os, sys; from tinydocker.image_store.pack import pack; pack(os.open('.', os.O_PATH), sys.argv[1])"


def test_a_merged_root_is_packed_as_gnu_tar_packs_it(overlay, tmp_path):
    overlay.shell(
        "rm srv/middle; rm -r opt/tree; mkdir opt/tree; ln bin/tool bin/same; "
        "mknod null c 1 3; chown 1234:5678 etc/passwd; chmod 2711 etc; mkdir mnt; touch -d 1969-12-31T12:00:00Z old"
    )
    script = 'mount -t tmpfs x mnt && touch mnt/secret && "$1" -c "$2" "$3" && umount mnt && tar --xattrs -cf "$4" .'
    ours, theirs = tmp_path / "ours.tar", tmp_path / "theirs.tar"
    overlay.run("sh", "-ec", script, "sh", sys.executable, PACK, str(ours), str(theirs))
    back = []
    for archive in (ours, theirs):
        target = tmp_path / f"back-{archive.stem}"
        target.mkdir()
        subprocess.run(["tar", "-xpf", archive, "-C", target, "--numeric-owner"], check=True)
        back.append({str(p.relative_to(target)): described(p) for p in [target, *target.rglob("*")]})
    assert "mnt/secret" not in back[0]
    assert back[0].pop("mnt")
    assert back[1].pop("mnt")
    # GNU tar's own format has no fractions of a second.
    assert back[0] == back[1]
    assert back[0]["bin/same"][4] == 2
    assert stat.S_ISCHR(back[0]["null"][0])


def described(path: Path) -> tuple[int, int, int, int, int, int, bytes]:
    st = path.lstat()
    regular = stat.S_ISREG(st.st_mode)
    nlink = 0 if stat.S_ISDIR(st.st_mode) else st.st_nlink
    content = path.read_bytes() if regular else b""
    return st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns // 1_000_000_000, nlink, st.st_rdev, content


def test_a_layer_says_what_the_upper_directory_says(overlay):
    overlay.shell("rm srv/middle; rm -r opt/tree; mkdir opt/tree; touch opt/tree/y; echo x > etc/new")
    out = io.BytesIO()
    pack_layer(overlay.upper, out)
    out.seek(0)
    with tarfile.open(fileobj=out) as archive:
        names = archive.getnames()
    assert names == [
        ".",
        "etc",
        "etc/new",
        "opt",
        "opt/tree",
        "opt/tree/.wh..wh..opq",
        "opt/tree/y",
        "srv",
        "srv/.wh.middle",
    ]


def test_a_copied_upper_directory_makes_the_same_root(overlay):
    overlay.shell(
        "rm srv/middle; rm -r opt/tree; mkdir opt/tree; touch opt/tree/y; ln bin/tool bin/same; ln -s x etc/link;"
        "mkfifo pipe; mknod null c 1 3; chown -h 7:8 etc/link; chown 9:9 etc/motd; chmod 4711 etc/motd;"
        "truncate -s 1G sparse; echo end >> sparse; touch -d 2001-02-03 sparse; chmod 1777 var"
    )
    os.setxattr(overlay.upper / "sparse", "trusted.note", b"kept")
    copy = overlay.base / "copy"
    copy_layer(overlay.upper, copy)
    (overlay.base / "work2").mkdir()
    look = (
        "find . -printf '%p %y %m %U:%G %T@ %n %s %l\\n' | sort; "
        "find . -type f ! -name sparse -exec sha256sum {} + | sort -k2"
    )
    assert overlay.shell(look, upper="copy", work="work2") == overlay.shell(look)
    assert overlay.told(copy) == overlay.told()
    assert os.getxattr(copy / "sparse", "trusted.note") == b"kept"
    assert (copy / "sparse").stat().st_blocks < 100
    assert (copy / "bin/tool").stat().st_ino == (copy / "bin/same").stat().st_ino
    assert stat.S_ISCHR((copy / "srv/middle").lstat().st_mode)
    for path in overlay.upper.rglob("*"):
        twin = copy / path.relative_to(overlay.upper)
        assert twin.lstat().st_mtime_ns == path.lstat().st_mtime_ns


def test_a_copy_that_fails_leaves_nothing(overlay):
    copy = overlay.base / "copy"
    copy.mkdir()
    (copy / "already").touch()
    with pytest.raises(OSError, match="not empty"):
        copy_layer(overlay.upper, copy)
    assert os.listdir(copy) == ["already"]
    overlay.shell("mkdir a; dd if=/dev/zero of=a/big bs=1M count=8 status=none")
    script = 'mount -t tmpfs -o size=4m x "$0" && ! "$1" -c "$2" "$3" "$0/copy" 2>/dev/null && ls -A "$0"'
    code = "import sys; from tinydocker.image_store.copy import copy_layer; copy_layer(*sys.argv[1:])"
    command = ["unshare", "--mount", "sh", "-c", script, overlay.base / "work", sys.executable, code, overlay.upper]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b""


def test_packing_and_copying_never_bring_what_lies_outside_while_a_link_is_swapped_in(tmp_path):
    canary, tree = tmp_path / "canary", tmp_path / "tree"
    for folder, content in [(canary, b"host secret"), (tree / "dir", b"container's")]:
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(content)
    (tree / "fake").symlink_to(canary)
    root, seen = os.open(tree, os.O_PATH), set()
    try:
        with exchanging(tree / "dir", tree / "fake"):
            for count in range(2000):
                out = io.BytesIO()
                pack(root, out)
                assert b"host secret" not in out.getvalue()
                seen.add(b"container's" in out.getvalue())
                if count % 10 == 0:
                    copy_layer(tree, tmp_path / f"copy{count}")
    finally:
        os.close(root)
    assert True in seen
    for path in tmp_path.glob("copy*/*/file"):
        assert path.parent.is_symlink() or path.read_bytes() == b"container's"

"""Removal: everything goes, nothing behind a link or outside is touched."""

from __future__ import annotations

import os
from pathlib import Path

from tinydocker.store import trash


def test_a_tree_of_awkward_things_goes_and_what_links_lead_to_stays(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "canary").write_text("alive")
    tree = tmp_path / "tree"
    closed = tree / "closed" / "inner"
    closed.mkdir(parents=True)
    (closed / "file").write_text("x")
    for name in (b"new\nline", b"\xff\xfe", b"-rf", b" ", b"%s", b"*"):
        os.mkdir(os.path.join(os.fsencode(tree), name))
        Path(os.fsdecode(os.path.join(os.fsencode(tree), name, name))).write_text("x")
    os.mkfifo(tree / "fifo")
    (tree / "to-file").symlink_to(outside / "canary")
    (tree / "to-directory").symlink_to(outside)
    (tree / "to-root").symlink_to("/")
    os.link(outside / "canary", tree / "hard")
    for path in (closed, closed.parent):
        path.chmod(0)
    trash.remove_tree(str(tree))
    assert not tree.exists()
    assert (outside / "canary").read_text() == "alive" and os.stat(outside / "canary").st_nlink == 1
    trash.remove_tree(str(tree))


def test_a_link_itself_is_removed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    trash.remove_tree(str(tmp_path / "link"))
    assert os.listdir(tmp_path) == ["target"]


def test_a_very_deep_tree_goes_with_few_descriptors(tmp_path: Path) -> None:
    top = tmp_path / "deep"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for level in range(3000):
        os.mkdir("d" * 50, dir_fd=fd)
        if level % 100 == 0:
            os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
            os.mkdir("beside", dir_fd=fd)
        below = os.open("d" * 50, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    before = len(os.listdir("/proc/self/fd"))
    trash.remove_tree(str(top))
    assert not top.exists() and len(os.listdir("/proc/self/fd")) == before


def test_discarding_is_one_step_and_sweeping_finishes_it(tmp_path: Path) -> None:
    bin_ = tmp_path / "trash"
    bin_.mkdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f").write_text("x")
    place = trash.discard(str(tmp_path / "a"), str(bin_))
    assert place is not None and os.path.isfile(f"{place}/f") and not (tmp_path / "a").exists()
    assert trash.discard(str(tmp_path / "a"), str(bin_)) is None
    trash.sweep(str(bin_))
    assert os.listdir(bin_) == []

"""What a test's engine may leave in its directories, and what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

import engineroots

DIGEST = "ab" * 32


@pytest.fixture
def roots(tmp_path: Path) -> engineroots.Roots:
    roots = engineroots.Roots(tmp_path / "root", tmp_path / "run", "td-unit")
    for name in [*engineroots.SKELETON, "scaffold/proc"]:
        (roots.root / name).mkdir(parents=True)
    roots.run_root.mkdir()
    return roots


def finish_layer(roots: engineroots.Roots) -> Path:
    layer = roots.root / "layers" / DIGEST
    (layer / "rootfs").mkdir(parents=True)
    (layer / "record.json").touch()
    return layer


def test_the_skeleton_alone_is_nothing(roots: engineroots.Roots) -> None:
    assert engineroots.left_below(roots) == []


def test_directories_that_never_were_are_nothing(tmp_path: Path) -> None:
    assert engineroots.left_below(engineroots.Roots(tmp_path / "a", tmp_path / "b", "t")) == []


@pytest.mark.parametrize("folder", ["containers", "names", "workspaces", "trash", "volumes", "images", "archives"])
def test_whatever_is_left_is_named(roots: engineroots.Roots, folder: str) -> None:
    left = roots.root / folder / "web"
    left.touch()
    assert engineroots.left_below(roots) == [f"engine's root: {left}"]


def test_a_dangling_name_is_named(roots: engineroots.Roots) -> None:
    left = roots.root / "names" / "web"
    left.symlink_to("0123456789ab")
    assert engineroots.left_below(roots) == [f"engine's root: {left}"]


def test_images_and_volumes_may_be_allowed(roots: engineroots.Roots) -> None:
    finish_layer(roots)
    (roots.root / "images" / "cd").mkdir()
    (roots.root / "volumes" / "cache").mkdir()
    assert len(engineroots.left_below(roots)) == 3
    assert engineroots.left_below(roots, ["images", "volumes"]) == []


@pytest.mark.parametrize("name", [".partial-1", DIGEST, f"{DIGEST}.tmp", "abc"])
def test_a_partial_layer_is_never_allowed(roots: engineroots.Roots, name: str) -> None:
    (roots.root / "layers" / name / "rootfs").mkdir(parents=True)
    assert len(engineroots.left_below(roots, ["images"])) == 1


def test_a_stray_file_and_a_socket_are_named(roots: engineroots.Roots) -> None:
    (roots.root / "stray").touch()
    (roots.run_root / "socket").touch()
    assert len(engineroots.left_below(roots)) == 2


def test_an_unknown_word_is_an_error(roots: engineroots.Roots) -> None:
    with pytest.raises(ValueError, match="containers"):
        engineroots.left_below(roots, ["containers"])

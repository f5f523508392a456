"""Volumes and tmpfs mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinydocker.errors import InvalidSpec
from tinydocker.spec.mounts import TmpfsMount, VolumeMount, parse_tmpfs, parse_volumes


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"/srv": "/data"}, VolumeMount("/srv", "/data")),
        ({"/srv": ("/data", "ro")}, VolumeMount("/srv", "/data", True)),
        ({"/srv": ["/data", "rw"]}, VolumeMount("/srv", "/data")),
        ({"cache": "/cache"}, VolumeMount("cache", "/cache", named=True)),
        ({"./cache": "/cache"}, VolumeMount("./cache", "/cache")),
        ({"a/../b": "/cache"}, VolumeMount("a/../b", "/cache")),
        ({".": "/here"}, VolumeMount(".", "/here")),
        ({Path("cache"): "/cache"}, VolumeMount("./cache", "/cache")),
        ({Path("/srv"): Path("/data")}, VolumeMount("/srv", "/data")),
        ({"/a:b,c\\d": "/x:y"}, VolumeMount("/a:b,c\\d", "/x:y")),
        (["/etc:/ro_dir:ro"], VolumeMount("/etc", "/ro_dir", True)),
        (["/var:/rw_dir"], VolumeMount("/var", "/rw_dir")),
        ("cache:/cache:rw", VolumeMount("cache", "/cache", named=True)),
        ([("/a:b", "/c", "ro")], VolumeMount("/a:b", "/c", True)),
        ([VolumeMount("/a", "/b", True)], VolumeMount("/a", "/b", True)),
        ({"/srv": "//data/./x/"}, VolumeMount("/srv", "/data/x")),
        ({"/dev/fuse": "/dev/fuse"}, VolumeMount("/dev/fuse", "/dev/fuse")),
    ],
)
def test_a_volume_is_a_path_or_a_name_and_a_target(given: object, expected: VolumeMount) -> None:
    assert parse_volumes("volumes", given) == (expected,)


def test_one_source_may_have_several_targets_in_a_list() -> None:
    found = parse_volumes("volumes", ["/srv:/a", "/srv:/b:ro"])
    assert [(v.source, v.target, v.read_only) for v in found] == [("/srv", "/a", False), ("/srv", "/b", True)]


@pytest.mark.parametrize(
    "given",
    [
        {"/srv": "data"}, {"/srv": "/"}, {"/srv": "//"}, {"/srv": "/."}, {"/srv": "/a/../b"}, {"/srv": ".."},
        {"/srv": ""},
        {"/srv": "/a\0"}, {"/s\0": "/a"}, {"": "/a"}, {"-x": "/a"}, {"a b": "/a"}, {".hidden": "/a"}, {"a" * 129: "/a"},
        {"/srv": ("/data", "r")}, {"/srv": ("/data", True)}, {"/srv": ("/data",)}, {"/srv": ("/a", "ro", "x")},
        {"/srv": None}, {"/srv": {"bind": "/data"}}, {5: "/a"}, {"/srv": "/proc"}, {"/srv": "/proc/sys"},
        {"/srv": "/dev/"},
        ["/srv"], ["/srv:"], [":/a"], ["/srv:/a:"], ["/srv:/a:z"], ["/srv:/a:ro:x"], ["/a:b:/c"], [5], 5, b"/a:/b",
        ["/a:/x", "/b:/x/"], {"/a": "/x", "/b": "//x"}, ("/srv", "/data"), [("/srv",)], {"../x;rm": 5},
    ],
)  # fmt: skip
def test_a_malformed_volume_is_refused(given: object) -> None:
    with pytest.raises(InvalidSpec, match="volumes="):
        parse_volumes("volumes", given)


def test_a_tmpfs_without_options_is_closed_to_programs_and_devices() -> None:
    (mount,) = parse_tmpfs("tmpfs", ["/tmp"])
    assert mount == TmpfsMount("/tmp")
    assert mount.options == ("rw", "noexec", "nosuid", "nodev", "mode=1777")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"/tmp": "size=16m,mode=1777"}, TmpfsMount("/tmp", 16 << 20)),
        ({"/tmp": ""}, TmpfsMount("/tmp")),
        ({"/a:b": "exec"}, TmpfsMount("/a:b", exec=True)),
        (["/run:size=1g,ro"], TmpfsMount("/run", 1 << 30, read_only=True)),
        ("/run", TmpfsMount("/run")),
        ({"/t": "suid,dev,mode=0700,uid=5,gid=6"}, TmpfsMount("/t", None, 0o700, suid=True, dev=True, uid=5, gid=6)),
        ({"/t": "rw,noexec,nosuid,nodev"}, TmpfsMount("/t")),
        ([TmpfsMount("/t", 4096, uid=3)], TmpfsMount("/t", 4096, uid=3)),
    ],
)
def test_tmpfs_options_are_read(given: object, expected: TmpfsMount) -> None:
    assert parse_tmpfs("tmpfs", given) == (expected,)
    (again,) = parse_tmpfs("tmpfs", {expected.target: ",".join(expected.options)})
    assert again == expected


@pytest.mark.parametrize(
    "given",
    [
        {"/t": "size=0"}, {"/t": "size=-1"}, {"/t": "size=50%"}, {"/t": "size="}, {"/t": "size"}, {"/t": "mode=888"},
        {"/t": "mode=17777"}, {"/t": "mode="}, {"/t": "uid=-1"}, {"/t": "uid=4294967295"}, {"/t": "gid=x"},
        {"/t": "ro,rw"},
        {"/t": "exec,exec"}, {"/t": "size=1m,size=2m"}, {"/t": "ro,"}, {"/t": ","}, {"/t": "bogus"}, {"/t": "ro=1"},
        {"/t": "lowerdir=/etc"}, {"/t": None}, {"/t": 5}, {"t": ""}, {"/": ""}, {"/a/..": ""}, {"/proc": ""},
        {"/dev": ""},
        ["/t:"], [""], [5], 5, ["/t", "/t/"], {"/t": "size=1m ,ro"}, {"/t": "mode=0x1"},
    ],
)  # fmt: skip
def test_a_malformed_tmpfs_is_refused(given: object) -> None:
    with pytest.raises(InvalidSpec, match="tmpfs="):
        parse_tmpfs("tmpfs", given)

"""Who a command runs as: by name or number, out of the files of the image."""

from __future__ import annotations

import os
import shutil

import pytest

import tinydocker as td

pytestmark = pytest.mark.needs("root", "overlay", "busybox")

WHO = ["sh", "-c", "id -u; id -g; id -G; echo $HOME"]


def who(engine, image, user):
    done = engine.run(image, WHO, user=user)
    assert done.returncode == 0, done
    return done.stdout.split("\n")[:4]


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (None, ["0", "0", "0", "/root"]),
        ("root", ["0", "0", "0", "/root"]),
        ("app", ["1000", "1000", "1000 100", "/home/app"]),
        (1000, ["1000", "1000", "1000 100", "/home/app"]),
        ("1000", ["1000", "1000", "1000 100", "/home/app"]),
        ("app:users", ["1000", "100", "100", "/home/app"]),
        ("app:33", ["1000", "33", "33", "/home/app"]),
        ("1000:1000", ["1000", "1000", "1000", "/home/app"]),
        ("4242", ["4242", "0", "0", "/"]),
        ("4242:4343", ["4242", "4343", "4343", "/"]),
        ("nobody", ["65534", "65534", "65534", "/home"]),
    ],
)
def test_a_user_has_the_ids_groups_and_home_of_the_images_files(engine, busybox_dir, user, expected):
    assert who(engine, busybox_dir, user) == expected


def test_exec_takes_a_user_of_its_own(engine, busybox_dir):
    with engine.container(busybox_dir, ["sleep", "1000"], user="app") as container:
        assert container.exec(["id", "-u"]).stdout == "1000\n"
        assert container.exec(WHO, user="root").stdout.split("\n")[:4] == ["0", "0", "0", "/root"]
        assert container.exec(WHO, user="www-data").stdout.split("\n")[:4] == ["33", "33", "33", "/var/www"]
        with pytest.raises(td.StartFailed, match="no user 'ghost'"):
            container.exec(["id"], user="ghost")
        assert container.status == "running"


@pytest.mark.parametrize("user", ["ghost", "app:ghosts", "1000:ghosts"])
def test_an_unknown_user_or_group_is_an_error_that_leaves_nothing(engine, busybox_dir, roots, user):
    with pytest.raises(td.StartFailed, match="ghost"):
        engine.run(busybox_dir, ["true"], user=user)
    assert os.listdir(roots.root / "containers") == roots.names() == []


@pytest.mark.parametrize(
    "user",
    [
        "-1",
        "4294967295",
        "4294967296",
        "0x0",
        "1:",
        ":1",
        "1000abc",
        "",
        " 0",
        "00",
        "0:-1",
        "root\n",
        "a:b:c",
        True,
        -1,
    ],
)
def test_what_might_be_mistaken_for_root_is_refused(busybox_dir, user):
    with pytest.raises(td.InvalidSpec, match="user"):
        td.Container(busybox_dir, ["id"], user=user)


@pytest.fixture
def image(busybox_dir, tmp_path):
    """Give a copy of the image that may be changed."""
    return shutil.copytree(busybox_dir, tmp_path / "image", symlinks=True)


def test_the_hosts_users_mean_nothing(engine, image):
    (image / "etc/passwd").write_text("root:x:0:0::/somewhere:/bin/sh\nmine:x:77:78::/m:/bin/sh\n")
    (image / "etc/group").write_text("g1:x:101:mine\ng2:x:102:other,mine\ng3:x:103:minelike\n")
    assert who(engine, image, "mine") == ["77", "78", "78 101 102", "/m"]
    assert who(engine, image, None) == ["0", "0", "0", "/somewhere"]
    with pytest.raises(td.StartFailed):
        engine.run(image, WHO, user="daemon")


@pytest.mark.parametrize("what", ["missing", "fifo", "directory", "link out", "device", "garbage"])
def test_a_passwd_that_is_no_passwd_is_safe(engine, image, what):
    passwd = image / "etc/passwd"
    passwd.unlink()
    if what == "fifo":
        os.mkfifo(passwd)
    elif what == "directory":
        passwd.mkdir()
    elif what == "link out":
        passwd.symlink_to("../../../../../../../../../../etc/passwd")  # of the root itself, inside
    elif what == "device":
        os.mknod(passwd, 0o600 | 0o020000, os.makedev(1, 5))
    elif what == "garbage":
        passwd.write_bytes(b"\0\xff:::::\nroot:x:notanumber:0:::\n\n:::\nx:y:99999999999:0::/:\n" + b"a" * 100_000)
    ids = ["awk", "/^[UG]id:/ {print $2}", "/proc/self/status"]  # `id` would read the file itself
    assert engine.run(image, ids).stdout == "0\n0\n"
    assert engine.run(image, ids, user="7:8").stdout == "7\n8\n"
    with pytest.raises(td.StartFailed):
        engine.run(image, WHO, user="root")


def test_files_that_a_user_makes_belong_to_that_user(engine, busybox_dir, tmp_path):
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:2]:
        parent.chmod(parent.stat().st_mode | 0o011)
    engine.run(busybox_dir, ["touch", "/data/mine"], user="1000:100", volumes={str(tmp_path): "/data"}, check=True)
    made = (tmp_path / "mine").stat()
    assert (made.st_uid, made.st_gid) == (1000, 100)


def test_a_working_directory_that_is_made_for_a_user_can_be_entered(engine, busybox_dir):
    assert engine.run(busybox_dir, ["pwd"], user="app", workdir="/srv/app").stdout == "/srv/app\n"

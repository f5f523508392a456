"""Each option of a container, seen from inside of it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

import tinydocker as td

pytestmark = pytest.mark.needs("root", "overlay", "busybox")


@pytest.fixture
def say(engine, busybox_dir):
    """Run a shell script in a container with the given options and return what it says."""

    def run(script, **options):
        done = engine.run(busybox_dir, ["sh", "-c", script], **options)
        assert done.returncode == 0, done
        return done.stdout

    return run


def test_the_environment_is_what_is_given_and_three_variables(engine, busybox_dir, monkeypatch):
    env = {"A": "1", "EMPTY": "", "EQUALS": "b=c=d", "LINES": "x\ny"}
    with monkeypatch.context() as patch:
        patch.setenv("SECRET_OF_THE_HOST", "1")
        done = engine.run(busybox_dir, ["env", "-0"], env=env, hostname="box")
    found = dict(pair.split("=", 1) for pair in done.stdout.rstrip("\0").split("\0"))
    assert found.pop("PATH") == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert found.pop("HOME") == "/root"
    assert found.pop("HOSTNAME") == "box"
    assert found == env


def test_what_is_given_replaces_the_three_variables(say):
    said = say("echo $PATH $HOME $HOSTNAME", env={"PATH": "/bin:/x", "HOME": "/h", "HOSTNAME": "n"})
    assert said == "/bin:/x /h n\n"


def test_a_command_is_looked_up_on_the_path_of_the_container(engine, busybox_dir, tmp_path):
    (tmp_path / "greet").write_text("#!/bin/sh\necho found\n")
    (tmp_path / "greet").chmod(0o755)
    options = {"volumes": {str(tmp_path): "/tools"}}
    assert engine.run(busybox_dir, ["greet"], env={"PATH": "/nowhere:/tools:/bin"}, **options).stdout == "found\n"
    assert engine.run(busybox_dir, ["greet"], **options).returncode == 127


def test_the_working_directory_is_made_when_it_is_missing(say):
    assert say("pwd; ls -ld . | cut -c1-10", workdir="/a/b/c") == "/a/b/c\ndrwxr-xr-x\n"
    assert say("pwd", workdir="/tmp") == "/tmp\n"
    assert say("pwd") == "/\n"


def test_the_hostname_is_in_the_kernel_and_in_the_files(say):
    said = say("hostname; cat /etc/hostname; grep -c 'web.example web$' /etc/hosts", hostname="web.example")
    assert said == "web.example\nweb.example\n1\n"
    assert socket.gethostname() not in ("web.example", "web")


def test_without_a_hostname_it_is_the_id(engine, busybox_dir):
    with engine.container(busybox_dir, ["hostname"]) as container:
        container.wait()
        assert container.logs() == f"{container.id}\n"


def test_labels_are_kept_and_found(engine, busybox_dir):
    with engine.container(busybox_dir, ["true"], labels={"job": "7", "empty": ""}) as container:
        assert container.labels == {"job": "7", "empty": ""}
        assert engine.get(container.id).labels == {"job": "7", "empty": ""}


def test_dev_shm_has_the_size_that_is_asked_for(say):
    fill = "df -k /dev/shm | tail -1 | awk '{print $2}'; dd if=/dev/zero of=/dev/shm/x bs=1M 2>/dev/null; wc -c < /dev/shm/x"
    assert say(fill, shm_size="1m") == "1024\n1048576\n"
    assert say("df -k /dev/shm | tail -1 | awk '{print $2}'") == "65536\n"


def test_ulimits_are_set_soft_and_hard(say):
    said = say(
        "ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hf", ulimits={"nofile": (100, 200), "core": 0, "fsize": 4096}
    )
    assert said == "100\n200\n0\n8\n"


def test_the_limit_of_open_files_is_the_programs_own(say):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert say("ulimit -Sn; ulimit -Hn") == f"{soft}\n{hard}\n"


def test_the_umask_is_022_unless_given(say):
    previous = os.umask(0o077)
    try:
        assert say("umask") == "0022\n"
        assert say("umask; touch x; stat -c %a x", umask=0o027) == "0027\n640\n"
    finally:
        os.umask(previous)


@pytest.mark.leaves("volumes")
def test_the_umask_of_the_program_does_not_show(say):
    previous = os.umask(0o077)
    try:
        said = say("stat -c '%a' / /v /etc/hosts /new", volumes={"data": "/v"}, workdir="/new")
    finally:
        os.umask(previous)
    assert said.split() == ["755", "755", "644", "755"]


def test_the_out_of_memory_score_is_set(say):
    assert say("cat /proc/self/oom_score_adj", oom_score_adj=500) == "500\n"
    own = int(Path("/proc/self/oom_score_adj").read_text())
    assert say("cat /proc/self/oom_score_adj") == f"{own}\n"


def test_name_servers_and_further_hosts_are_in_the_files(say):
    said = say(
        "cat /etc/resolv.conf; grep db /etc/hosts", dns=["10.77.0.1", "10.77.0.2"], extra_hosts={"db": "10.0.0.1"}
    )
    assert said.startswith("nameserver 10.77.0.1\nnameserver 10.77.0.2\n")
    assert said.endswith("10.0.0.1\tdb\n")


def test_the_files_of_the_name_service_can_be_written_and_stay_inside(say):
    before = Path("/etc/hosts").read_bytes()
    assert say("echo 1.2.3.4 mine >> /etc/hosts && grep -c mine /etc/hosts") == "1\n"
    assert Path("/etc/hosts").read_bytes() == before


def test_network_none_is_a_loopback_of_its_own_that_is_up(say):
    script = "ls /sys/class/net; cat /sys/class/net/lo/flags; ip -o addr show lo | grep -c 'inet 127.0.0.1/8'"
    assert say(script) == "lo\n0x9\n1\n"
    assert say("cat /proc/sys/net/ipv4/ping_group_range").split() == ["0", "2147483647"]


def test_a_server_of_the_host_is_not_reached_with_network_none_and_is_with_host(say):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        reach = f"nc -w 5 127.0.0.1 {port} </dev/null >/dev/null 2>&1; echo $?"
        assert say(reach) == "1\n"
        assert say(f"grep -c ':{port:04X} ' /proc/net/tcp", network="host") == "1\n"


def test_network_host_is_the_hosts_own_namespace(say):
    inode = os.stat("/proc/self/ns/net").st_ino
    assert say("readlink /proc/self/ns/net", network="host") == f"net:[{inode}]\n"
    assert say("readlink /proc/self/ns/net") != f"net:[{inode}]\n"


def test_sysctls_are_the_containers_own(say):
    before = Path("/proc/sys/net/core/somaxconn").read_text()
    said = say(
        "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax",
        sysctls={"net.core.somaxconn": "1024", "kernel.msgmax": 9000},
    )
    assert said == "1024\n9000\n"
    assert Path("/proc/sys/net/core/somaxconn").read_text() == before


def test_an_entrypoint_is_put_before_the_command(engine, busybox_dir):
    assert engine.run(busybox_dir, ["b", "c"], entrypoint=["echo", "a"]).stdout == "a b c\n"
    assert engine.run(busybox_dir, entrypoint="echo 'one word'").stdout == "one word\n"
    assert engine.run(busybox_dir, ["echo", "a"], entrypoint=[]).stdout == "a\n"


def test_without_any_command_nothing_is_created(engine, busybox_dir, roots):
    with pytest.raises(td.InvalidSpec, match="command"):
        engine.run(busybox_dir)
    assert os.listdir(roots.root / "containers") == []


def test_a_read_only_root_leaves_dev_proc_volumes_and_tmpfs_as_they_are(say, tmp_path):
    said = say(
        "touch /x 2>/dev/null || echo root; touch /etc/hosts 2>/dev/null || echo hosts;"
        "echo y > /data/y; echo z > /scratch/z; echo > /dev/null; touch /dev/shm/s; cat /scratch/z",
        read_only=True, volumes={str(tmp_path): "/data"}, tmpfs={"/scratch": "size=1m"},
    )  # fmt: skip
    assert said == "root\nhosts\nz\n"
    assert (tmp_path / "y").read_text() == "y\n"


def test_a_tmpfs_has_its_size_mode_and_owner(say):
    said = say(
        "stat -c '%a %u %g' /t; dd if=/dev/zero of=/t/x bs=64k 2>/dev/null; wc -c < /t/x; grep ' /t ' /proc/mounts",
        tmpfs={"/t": "size=1m,mode=750,uid=5,gid=6"},
    ).splitlines()
    assert said[:2] == ["750 5 6", "1048576"]
    options = said[2].split()[3].split(",")
    assert {"nosuid", "nodev", "noexec", "rw"} <= set(options)


def test_a_tmpfs_may_be_executable_and_read_only(say):
    said = say(
        "cp /bin/busybox /e/true && /e/true && echo ran; cp /bin/busybox /n/true; /n/true 2>/dev/null || echo refused;"
        "touch /r/x 2>/dev/null || echo read-only",
        tmpfs=["/e:exec", "/n", "/r:ro"],
    )
    assert said == "ran\nrefused\nread-only\n"


def test_a_container_of_another_machines_options_is_refused_at_once(busybox_dir):
    for option, value in (
        ("memory", "64m"),
        ("cpus", 0.5),
        ("ports", {80: 8080}),
        ("privileged", True),
        ("restart", "always"),
    ):
        with pytest.raises(td.NotSupported, match=option):
            td.Container(busybox_dir, ["true"], **{option: value})

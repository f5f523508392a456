"""exec and popen: further commands in a running container."""

from __future__ import annotations

import os
import select
import subprocess

import pytest

import tinydocker as td
from programs import Awaited

pytestmark = pytest.mark.needs("root", "overlay", "busybox")

FOREVER = ["sleep", "1000"]


@pytest.fixture
def box(engine, busybox_dir):
    """Give a running container."""
    with engine.container(busybox_dir, FOREVER, env={"A": "1"}, workdir="/tmp") as container:
        yield container


def alive(container):
    """Return the commands of a container's processes, without what is a zombie or about to be one."""
    return [row.command for row in container.top() if not row.command.startswith("[")]


def test_an_exec_has_the_environment_directory_and_identity_of_the_container(box):
    done = box.exec(["sh", "-c", "echo $A $HOME $HOSTNAME; pwd; id -u; echo err >&2; exit 3"])
    assert (done.args[0], done.returncode) == ("sh", 3)
    assert (done.stdout, done.stderr) == (f"1 /root {box.id}\n/tmp\n0\n", "err\n")
    assert done.duration > 0 and done.usage.cpu_seconds >= 0 and done.oom_killed is False


def test_an_exec_may_have_its_own_environment_user_and_directory(box):
    done = box.exec(
        ["sh", "-c", "echo $A $B $HOME; pwd; id -u"], env={"A": "2", "B": "3"}, user="app", workdir="/new/place"
    )
    assert done.stdout == "2 3 /home/app\n/new/place\n1000\n"
    assert box.exec("echo $A").stdout == "$A\n", "no shell is in between"


def test_input_text_and_bytes(box):
    assert box.exec(["cat"], input="äö").stdout == "äö"
    assert box.exec(["cat"], input=b"\0\xff", text=False).stdout == b"\0\xff"
    assert box.exec(["cat"]).stdout == ""


def test_check_and_a_missing_command(box):
    with pytest.raises(td.ContainerFailed, match="why"):
        box.exec(["sh", "-c", "echo why >&2; exit 9"], check=True)
    with pytest.raises(td.CommandNotFound, match="no-such-command") as caught:
        box.exec(["no-such-command"])
    assert caught.value.returncode == 127
    with pytest.raises(td.CommandNotExecutable, match="/etc/passwd") as caught:
        box.exec(["/etc/passwd"])
    assert caught.value.returncode == 126
    assert box.exec(["sh", "-c", "kill -9 $$"]).returncode == -9
    assert box.status == "running"


def test_an_exec_sees_the_containers_processes_and_files_only(box):
    done = box.exec(["sh", "-c", "ls -d /proc/[0-9]* | wc -l; tr '\\0' ' ' < /proc/1/cmdline; echo; hostname"])
    count, command, name = done.stdout.split("\n")[:3]
    assert int(count) <= 6 and command == "sleep 1000 " and name == box.id


def test_top_lists_init_and_what_was_executed(box):
    with box.popen(["sh", "-c", "echo up; while read x; do :; done"], user="app", text=True, stdin=td.PIPE) as process:
        assert process.stdout.readline() == "up\n"
        rows = box.top()
        assert [(row.user, row.ppid) for row in rows] == [("root", 0), ("app", 0)]
        assert [row.command.split()[0] for row in rows] == ["sleep", "sh"]
        assert rows[0].pid == 1 and rows[0].host_pid == box.pid and rows[1].host_pid == process.pid
        assert rows[0].rss > 0 and rows[0].cpu_seconds >= 0
        process.kill()


def test_a_time_out_takes_the_whole_tree_with_daemons_and_sessions(box):
    script = """
        (setsid sh -c '(setsid sleep 1001 & exec setsid sleep 1002 &) ; exec sleep 1003' &)
        echo started; exec sleep 1004
    """
    process = box.popen(["sh", "-c", script], text=True)
    assert process.stdout.readline() == "started\n"
    while len(alive(box)) < 5:  # the daemons are on their way
        os.sched_yield()
    members = [Awaited(row.host_pid) for row in box.top() if row.pid != 1 and row.command[0] != "["]
    with pytest.raises(td.ContainerTimeout) as caught:
        process.complete(timeout=0.01)
    assert isinstance(caught.value, TimeoutError)
    for member in members:
        member.wait()
        member.__exit__(None, None, None)
    assert alive(box) == ["sleep 1000"]


def test_a_time_out_spares_the_other_execs_and_carries_the_output(box):
    with box.popen(["sh", "-c", "echo up; exec sleep 1005"], text=True) as other:
        assert other.stdout.readline() == "up\n"
        with pytest.raises(td.ContainerTimeout) as caught:
            box.exec(["sh", "-c", "echo so far; echo bad >&2; exec sleep 1006"], timeout=1)
        assert (caught.value.stdout, caught.value.stderr) == ("so far\n", "bad\n")
        assert len(alive(box)) == 2 and "sleep 1005" in alive(box)[1]
        other.kill()


def test_a_time_out_after_the_command_has_ended_takes_what_holds_its_output(box):
    with pytest.raises(td.ContainerTimeout):
        box.exec(["sh", "-c", "(setsid sleep 1007 &)"], timeout=0.5)
    assert alive(box) == ["sleep 1000"]


def test_a_daemon_that_an_ended_exec_left_runs_on(box):
    box.exec(["sh", "-c", "(setsid sleep 1008 >/dev/null 2>&1 </dev/null &)"], check=True)
    assert any("sleep 1008" in command for command in alive(box))


def test_an_exec_in_an_ended_container_is_an_error_and_never_runs_on_the_host(engine, busybox_dir, tmp_path):
    mark = tmp_path / "executed-on-the-host"
    with engine.container(busybox_dir, ["true"]) as container:
        container.wait()
        for call in (container.exec, container.popen, engine.get(container.id).exec):
            with pytest.raises(td.ContainerNotRunning):
                call(["/bin/touch", str(mark)])
    with pytest.raises(td.TinydockerError):
        container.exec(["/bin/touch", str(mark)])
    assert not mark.exists()


def test_an_exec_that_races_the_end_has_the_right_code_or_a_typed_error(engine, busybox_dir):
    seen = set()
    container = engine.container(busybox_dir, ["cat"], stdin=True)
    for number in range(150):
        with container.with_name(None) as box:
            if number % 3:
                box.stdin.close()
            try:
                process = box.popen(["sh", "-c", "exit 5"])
                if not number % 3:
                    box.stdin.close()
                out, err = process.communicate()
                assert (out, err) == ("", "")
                seen.add(process.returncode)
                process.close()
            except (td.ContainerNotRunning, td.StartFailed) as err:
                seen.add(type(err).__name__)
    assert seen <= {5, -9, "ContainerNotRunning", "StartFailed"} and seen & {5, -9}


def test_64_mebibytes_of_both_streams_at_once_come_whole(box):
    script = "head -c 67108864 /dev/zero & head -c 67108864 /dev/zero >&2; wait"
    done = box.exec(["sh", "-c", script], text=False)
    assert (len(done.stdout), len(done.stderr)) == (64 << 20, 64 << 20)


def test_popen_reads_like_subprocess(box):
    process = box.popen(["sh", "-c", "read x; echo got $x; echo err >&2; exit 4"], stdin=td.PIPE)
    assert process.poll() is None and process.returncode is None
    assert process.communicate("word\n") == ("got word\n", "err\n")
    assert process.returncode == process.poll() == process.wait() == 4
    assert process.communicate() == ("got word\n", "err\n")
    process.close()


def test_popen_communicate_can_time_out_and_go_on(box):
    process = box.popen(["sh", "-c", "echo first; read x; echo got $x"], stdin=td.PIPE, text=True)
    assert process.stdout.readline() == "first\n"
    with pytest.raises(td.ContainerTimeout):
        process.wait(timeout=0)
    with pytest.raises(td.ContainerTimeout):
        box.popen(FOREVER).complete(timeout=0)
    process.stdin.write("word\n")
    process.stdin.flush()
    assert process.communicate() == ("got word\n", "")
    process.close()


@pytest.mark.parametrize(("end", "code"), [("terminate", -15), ("kill", -9)])
def test_popen_can_be_ended(box, end, code):
    with box.popen(["sh", "-c", "echo up; exec sleep 1000"], text=True) as process:
        assert process.stdout.readline() == "up\n"
        getattr(process, end)()
        assert process.wait() == code
        getattr(process, end)()  # of what has ended nothing happens


def test_a_thread_that_waits_does_not_keep_others_from_killing(box):
    import threading

    with box.popen(FOREVER) as process:
        codes = []
        waiter = threading.Thread(target=lambda: codes.append(process.wait()))
        waiter.start()
        process.terminate()
        waiter.join()
        assert codes == [-15]


def test_send_signal_sends_any(box):
    with box.popen(
        ["sh", "-c", "trap 'echo usr1; exit 8' USR1; echo up; while :; do sleep 1000 & wait; done"], text=True
    ) as process:
        assert process.stdout.readline() == "up\n"
        process.send_signal(10)
        assert process.stdout.readline() == "usr1\n"
        assert process.wait() == 8


def test_streams_may_be_joined_thrown_away_or_files(box, tmp_path):
    script = ["sh", "-c", "echo out; echo err >&2"]
    joined = box.popen(script, stderr=td.STDOUT)
    assert joined.stderr is None
    assert joined.communicate() == ("out\nerr\n", "")
    joined.close()
    silent = box.popen(script, stdout=td.DEVNULL, stderr=subprocess.DEVNULL)
    assert (silent.stdin, silent.stdout, silent.stderr) == (None, None, None)
    assert silent.wait() == 0
    silent.close()
    with open(tmp_path / "out", "wb") as out, open("/etc/hostname") as given:
        with box.popen(["sh", "-c", "cat; echo end"], stdin=given, stdout=out, stderr=out.fileno()) as process:
            assert process.wait() == 0
        assert not out.closed and not given.closed
    with open("/etc/hostname") as given:
        assert (tmp_path / "out").read_text() == given.read() + "end\n"
    with pytest.raises(td.InvalidSpec, match="stdout"):
        box.popen(script, stdout="a name")


def test_lines_are_read_as_they_come_and_bytes_on_request(box):
    with box.popen(["cat"], stdin=td.PIPE, text=False) as process:
        for word in (b"one\n", b"two\n"):
            process.stdin.write(word)
            process.stdin.flush()
            assert process.stdout.readline() == word
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait() == 0


def test_leaving_the_block_with_an_error_ends_the_command(box):
    with pytest.raises(KeyError), box.popen(["sh", "-c", "echo up; exec sleep 1010"], text=True) as process:
        assert process.stdout.readline() == "up\n"
        raise KeyError
    assert alive(box) == ["sleep 1000"]
    assert process.poll() == -9


def test_execs_end_with_the_container(engine, busybox_dir):
    with engine.container(busybox_dir, FOREVER) as container:
        process = container.popen(["sh", "-c", "(setsid sleep 1011 &); echo up; exec sleep 1012"], text=True)
        assert process.stdout.readline() == "up\n"
        members = [Awaited(row.host_pid) for row in container.top()]
        container.remove(force=True)
        for member in members:
            assert member.has_ended()
            member.__exit__(None, None, None)
        assert process.wait() == -9
        process.close()


def test_no_descriptor_beyond_the_three_arrives(box):
    extra = [os.open("/", os.O_RDONLY) for _ in range(70)]
    try:
        for fd in extra:
            os.set_inheritable(fd, True)
        for tty in (False, True):
            said = box.exec(["sh", "-c", "exec ls /proc/self/fd"], tty=tty).stdout.split()
            assert said == ["0", "1", "2", "3"], "3 is the directory that ls reads"
    finally:
        for fd in extra:
            os.close(fd)


def test_bad_options_are_refused_and_leave_no_descriptor(box):
    before = os.listdir("/proc/self/fd")
    for options in ({"user": "0x0"}, {"workdir": "relative"}, {"env": {"A=B": "1"}}):
        with pytest.raises(td.InvalidSpec):
            box.exec(["true"], **options)
    for command in ("", [], None, [""]):
        with pytest.raises(td.InvalidSpec, match="command"):
            box.exec(command)
    assert os.listdir("/proc/self/fd") == before


def test_the_process_can_be_awaited_with_others(box):
    with box.popen(["sh", "-c", "echo up; exec sleep 1000"], text=True) as process:
        assert select.select([process.stdout], [], [], 60)[0]
        pidfd = os.pidfd_open(process.pid)
        process.kill()
        assert select.select([pidfd], [], [], 60)[0]
        os.close(pidfd)

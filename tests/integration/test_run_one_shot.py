"""``run``: one command in a container of its own, and all that it says and costs."""

from __future__ import annotations

import os
import subprocess

import pytest

import tinydocker as td
from programs import Awaited

pytestmark = pytest.mark.needs("root", "overlay", "busybox")


@pytest.mark.leaves("images")
def test_the_result_is_a_completed_process_with_both_streams(roots, busybox):
    done = td.run(str(busybox), ["echo", "hi"])
    assert isinstance(done, subprocess.CompletedProcess)
    assert (done.args, done.returncode, done.stdout, done.stderr) == (["echo", "hi"], 0, "hi\n", "")
    assert done.check_returncode() is None
    assert done.oom_killed is False
    assert done.duration > 0
    assert done.usage.cpu_seconds >= 0 and done.usage.memory_peak is None


@pytest.mark.needs(tool="python3")
def test_the_word_host_is_this_machines_own_root(roots):
    done = td.run("host", ["python3", "-c", "print(6*7)"], network="none", timeout=60, check=True)
    assert done.stdout == "42\n"


def test_the_two_streams_are_kept_apart_and_never_none(engine, busybox_dir):
    done = engine.run(busybox_dir, ["sh", "-c", "echo out; echo err >&2"])
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    silent = engine.run(busybox_dir, ["true"], text=False)
    assert (silent.stdout, silent.stderr) == (b"", b"")


def test_input_reaches_the_command_as_text_and_as_bytes(engine, busybox_dir):
    assert engine.run(busybox_dir, ["cat"], input="äbc").stdout == "äbc"
    assert engine.run(busybox_dir, ["cat"], input=b"\0\xff\r\n", text=False).stdout == b"\0\xff\r\n"
    assert engine.run(busybox_dir, ["cat"]).stdout == "", "without input there is nothing to read"


def test_text_has_the_newlines_of_subprocess(engine, busybox_dir):
    done = engine.run(busybox_dir, ["printf", r"a\r\nb\rc\377"])
    assert done.stdout == "a\nb\nc\ufffd"


def test_a_command_that_reads_nothing_of_a_long_input_is_no_error(engine, busybox_dir):
    assert engine.run(busybox_dir, ["true"], input=b"x" * (4 << 20), text=False).returncode == 0


def test_a_text_command_is_split_as_a_shell_would_and_run_by_none(engine, busybox_dir):
    done = engine.run(busybox_dir, "echo 'a b' $HOME ; echo c")
    assert done.stdout == "a b $HOME ; echo c\n"


def test_a_failure_is_a_return_code_and_check_makes_it_an_error(engine, busybox_dir):
    command = ["sh", "-c", "echo out; echo why >&2; exit 7"]
    assert engine.run(busybox_dir, command).returncode == 7
    with pytest.raises(td.ContainerFailed, match="why") as caught:
        engine.run(busybox_dir, command, check=True)
    completed = caught.value.completed
    assert (completed.returncode, completed.stdout, completed.stderr) == (7, "out\n", "why\n")
    with pytest.raises(td.ContainerFailed):
        completed.check_returncode()


@pytest.mark.parametrize("number", [9, 11, 15])
def test_a_death_by_signal_is_a_negative_code(engine, busybox_dir, number):
    # The first process of a container is spared its own signals, so a child dies and init says how.
    done = engine.run(busybox_dir, ["sh", "-c", f"kill -{number} $$"], init=True)
    assert done.returncode == -number
    assert done.oom_killed is False


def test_a_command_that_is_missing_is_127_and_named(engine, busybox_dir):
    for command in ("no-such-command", "/no/such/file", "/etc/passwd/below-a-file"):
        done = engine.run(busybox_dir, [command, "argument"])
        assert (done.returncode, done.stdout) == (127, "")
        assert command in done.stderr and "not found" in done.stderr
    assert engine.run(busybox_dir, ["no-such-command"], text=False).stderr.startswith(b"no-such-command")
    with pytest.raises(td.ContainerFailed, match="no-such-command"):
        engine.run(busybox_dir, ["no-such-command"], check=True)


def test_a_command_that_cannot_be_executed_is_126_and_named(engine, busybox_dir, tmp_path):
    (tmp_path / "script").write_text("#!/bin/sh\necho never\n")
    (tmp_path / "script").chmod(0o644)
    for command in ("/data/script", "/etc/passwd", "/etc"):
        done = engine.run(busybox_dir, [command], volumes={str(tmp_path): "/data"})
        assert (done.returncode, done.stdout) == (126, ""), done
        assert command in done.stderr


def test_a_missing_interpreter_is_127_and_said(engine, busybox_dir, tmp_path):
    (tmp_path / "script").write_text("#!/no/such/interpreter\n")
    (tmp_path / "script").chmod(0o755)
    done = engine.run(busybox_dir, ["/data/script"], volumes={str(tmp_path): "/data"})
    assert done.returncode == 127
    assert "/data/script" in done.stderr and "interpreter" in done.stderr


def test_a_time_out_kills_every_process_and_carries_the_output_so_far(engine, busybox_dir):
    script = """
        setsid sh -c 'setsid sleep 1000 & exec sleep 1000' &
        echo before; echo trouble >&2
        while :; do sleep 1000; done
    """
    container = engine.container(busybox_dir, ["sh", "-c", script])
    process = container.start_process(text=True)
    try:
        assert process.stdout.readline() == "before\n"
        while len(container.top()) < 4:  # the daemons are on their way
            os.sched_yield()
        members = [Awaited(entry.host_pid) for entry in container.top()]
        with pytest.raises(td.ContainerTimeout):
            process.complete(timeout=0.01)
        for member in members:
            assert member.has_ended(), "closing waits until everything is gone"
            member.__exit__(None, None, None)
    finally:
        container.close()


def test_the_error_of_a_time_out_carries_both_streams(engine, busybox_dir):
    command = ["sh", "-c", "echo before; echo trouble >&2; exec sleep 1000"]
    for text, out, err in ((True, "before\n", "trouble\n"), (False, b"before\n", b"trouble\n")):
        with pytest.raises(td.ContainerTimeout) as caught:
            engine.run(busybox_dir, command, timeout=1, text=text)
        assert isinstance(caught.value, TimeoutError)
        assert (caught.value.stdout, caught.value.stderr) == (out, err)
        assert caught.value.timeout == 1
    assert engine.containers(all=True) == []


def test_an_unknown_option_is_a_type_error_that_suggests(engine, busybox_dir):
    with pytest.raises(TypeError, match="hostname"):
        engine.run(busybox_dir, ["true"], hostnam="x")


def test_what_a_run_makes_is_gone_at_its_end(engine, busybox_dir, roots):
    engine.run(busybox_dir, ["sh", "-c", "echo x > /new; echo said"])
    assert os.listdir(roots.root / "containers") == roots.names() == []
    assert not (busybox_dir / "new").exists(), "the image is untouched"


def test_big_output_on_both_streams_comes_whole(engine, busybox_dir):
    script = "head -c 20000000 /dev/zero | tr '\\0' a & head -c 20000000 /dev/zero | tr '\\0' b >&2; wait"
    done = engine.run(busybox_dir, ["sh", "-c", script], text=False)
    assert done.stdout == b"a" * 20_000_000
    assert done.stderr == b"b" * 20_000_000


def test_usage_counts_what_the_command_computed(engine, busybox_dir):
    idle = engine.run(busybox_dir, ["true"])
    busy = engine.run(busybox_dir, ["sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"])
    assert busy.usage.cpu_seconds > idle.usage.cpu_seconds
    assert busy.duration >= busy.usage.cpu_seconds * 0.5


def test_a_detached_run_is_refused_as_it_could_not_wait(engine, busybox_dir):
    with pytest.raises(td.InvalidSpec, match="detach"):
        engine.run(busybox_dir, ["true"], detach=True)

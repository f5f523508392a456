"""A supervisor or a container's init that is killed: what was attached dies, records are honest, the next call works."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from pathlib import Path

import pytest

import tinydocker as td
from programs import Awaited, Program

pytestmark = pytest.mark.needs("root", "overlay", "busybox")

FOREVER = ["sleep", "1000"]


def kill_supervisor(engine: td.Engine) -> None:
    """Kill the engine's supervisor and wait until it is gone."""
    with Awaited(engine._client.pid) as supervisor:
        supervisor.kill()
        supervisor.wait()


def test_r4_attached_containers_die_with_the_supervisor_and_are_never_running(engine, busybox_dir: Path, roots) -> None:
    plain = engine.container(busybox_dir, FOREVER, name="plain").start()
    reaper = engine.container(
        busybox_dir, ["sh", "-c", "setsid sleep 1000 & exec sleep 1000"], init=True, name="reaper"
    ).start()
    user = engine.container(busybox_dir, FOREVER, user="1000:1000", name="user").start()
    command = plain.popen(["sleep", "1000"])
    members = [Awaited(process.host_pid) for container in (plain, reaper, user) for process in container.top()]
    assert len(members) >= 6
    kill_supervisor(engine)
    for member in members:
        member.wait()
        member.__exit__(None, None, None)
    for container in (plain, reaper, user):
        assert (container.status, container.returncode) == ("exited", None)
        assert engine.get(container.name).status == "exited"
        with pytest.raises(td.TinydockerError, match="supervisor"):
            container.wait()
        with pytest.raises(td.ContainerNotRunning):
            container.exec(["true"])
        assert container.stop(0) is None
    with pytest.raises(td.SupervisorDied):
        command.wait()
    command.close()
    for container in (plain, reaper, user):
        container.close()
    td.Engine().open()
    assert os.listdir(roots.root / "containers") == []


def test_the_error_names_what_happened_and_the_next_call_has_a_new_supervisor(engine, busybox_dir: Path) -> None:
    assert engine.run(busybox_dir, ["true"]).returncode == 0
    first = engine._client.pid
    kill_supervisor(engine)
    with pytest.raises(td.SupervisorDied, match="supervisor"):
        engine.run(busybox_dir, ["true"])
    assert engine.run(busybox_dir, ["echo", "hi"]).stdout == "hi\n"
    assert engine._client.pid != first
    td.Engine().open()


def test_an_old_handles_complaint_does_not_end_the_new_supervisor(engine, busybox_dir: Path) -> None:
    old = engine.container(busybox_dir, FOREVER).start()
    command = old.popen(["sleep", "1000"])
    kill_supervisor(engine)
    with pytest.raises(td.SupervisorDied):
        engine.run(busybox_dir, ["true"])
    with engine.container(busybox_dir, FOREVER) as new:
        with pytest.raises(td.SupervisorDied):
            command.wait()
        assert old.returncode is None
        command.close()
        old.close()
        assert new.status == "running"
        assert new.exec(["echo", "hi"]).stdout == "hi\n"


def test_whoever_waits_while_the_supervisor_is_killed_is_told(engine, busybox_dir: Path) -> None:
    with engine.container(busybox_dir, ["sh", "-c", "echo up; exec sleep 1000"]) as container:
        lines = container.logs(follow=True)
        assert next(lines) == "up\n"
        command = container.popen(["sh", "-c", "echo up; exec sleep 1000"])
        assert command.stdout.readline() == "up\n"
        caught: list[BaseException] = []

        def wait(act) -> None:
            try:
                act()
            except td.TinydockerError as err:
                caught.append(err)

        acts = (container.wait, engine.get(container.id).wait, command.wait, command.communicate)
        threads = [threading.Thread(target=wait, args=(act,)) for act in acts]
        for thread in threads:
            thread.start()
        kill_supervisor(engine)
        for thread in threads:
            thread.join()
        assert len(caught) == 4 and all("supervisor" in str(err) for err in caught)
        assert list(lines) == [], "a follower ends"
        command.close()


def test_a_detached_container_runs_on_and_others_may_look_after_it(engine, busybox_dir: Path) -> None:
    detached = engine.container(busybox_dir, FOREVER, detach=True, name="web").start()
    with Awaited(detached.pid) as init:
        kill_supervisor(engine)
        code = """
            web = td.get("web")
            say(web.status, web.exec(["echo", "hi"]).stdout.strip(), len(web.top()))
            web.stop(0)
            say(web.status, web.returncode)
            web.remove()
        """
        with Program(code) as program:
            assert program.line() == "running hi 1"
            assert program.line() == "exited None"
            assert program.wait() == 0
        assert init.has_ended()
    assert detached.status == "removed"


def test_a_workspace_whose_supervisor_was_killed_can_be_closed_and_leaves_nothing(
    engine, busybox_dir: Path, roots
) -> None:
    with engine.workspace(busybox_dir) as space, engine.workspace(busybox_dir, size="1m") as memory:
        (space.path / "file").write_text("x")
        (memory.path / "file").write_text("x")
        kill_supervisor(engine)
        with pytest.raises(td.SupervisorDied):
            space.fork()
    for name in ("workspaces", "trash"):
        assert os.listdir(roots.root / name) == []
    with engine.workspace(busybox_dir) as space:
        assert not (space.path / "file").exists()


@pytest.mark.needs("root", "overlay", tool="setpriv")
@pytest.mark.parametrize("auto_remove", [True, False])
@pytest.mark.parametrize("by", ["its own handle", "the next engine"])
def test_an_attached_container_that_clings_to_life_is_ended(engine, auto_remove: bool, by: str) -> None:
    clinging = ["setpriv", "--pdeathsig", "clear", "sh", "-c", "echo up; exec sleep 1000"]
    container = engine.container("host", clinging, name="leech", auto_remove=auto_remove, stop_timeout=0).start()
    assert next(container.logs(follow=True)) == "up\n"
    with Awaited(container.pid) as init:
        kill_supervisor(engine)
        if by == "its own handle":
            container.close()
        td.Engine().open()
        init.wait()
    container.close()
    assert container.status == ("removed" if auto_remove else "exited")
    if not auto_remove:
        td.Engine().get("leech").remove()


@pytest.mark.parametrize("repetition", range(2))
def test_r4_a_supervisor_killed_at_any_moment_of_starts_execs_and_ends_is_an_error_and_no_more(
    engine, busybox_dir: Path, roots, repetition: int
) -> None:
    code = """
        import random, threading
        chance = random.Random(int(sys.argv[2]))
        engine = td.Engine(); engine.open()
        died = 0
        for n in range(8):
            engine.prepare()
            pid, turns = engine._client.pid, chance.randrange(4000)
            def killer():
                for _ in range(turns):
                    os.sched_yield()
                os.kill(pid, 9)
            thread = threading.Thread(target=killer); thread.start()
            try:
                for _ in range(8):
                    with td.Container(image, ["sleep", "1000"], engine=engine) as container:
                        container.exec(["true"])
                    engine.run(image, ["true"])
            except td.TinydockerError as err:
                died += 1
            thread.join()
            try:
                engine.run(image, ["true"])
            except td.SupervisorDied:
                assert engine.run(image, ["true"]).returncode == 0
        say(died); hear()
        engine.close()
    """
    with Program(code, busybox_dir, str(repetition)) as program:
        assert int(program.line()) > 0
        td.Engine().open()
        assert os.listdir(roots.root / "containers") == []
        program.say()
        assert program.wait() == 0


def test_program_and_supervisor_killed_at_once_leave_nothing_to_the_next(busybox_dir: Path, roots) -> None:
    code = """
        engine = td.Engine()
        containers = [td.Container(image, ["sleep", "1000"], name=f"c{n}", init=bool(n % 2), engine=engine).start() for n in range(4)]
        space = engine.workspace(image).__enter__()
        say(engine._client.pid, *[p.host_pid for c in containers for p in c.top()]); hear()
    """
    with Program(code, busybox_dir) as program:
        supervisor, *members = (Awaited(int(word)) for word in program.line().split())
        for pid in (supervisor.pid, program.pid):
            os.kill(pid, signal.SIGSTOP)  # neither sees the other die
        supervisor.kill()
        program.kill()
        for process in (supervisor, *members):
            process.wait()
            process.__exit__(None, None, None)
    engine = td.Engine()
    assert all(container.status != "running" for container in engine.containers(all=True))
    for name in ("containers", "workspaces", "trash"):
        assert os.listdir(roots.root / name) == []
    assert set(os.listdir(roots.root / "names")) <= {".lock"}


@pytest.mark.parametrize(
    "options", [{}, {"init": True}, {"tty": True}, {"detach": True}], ids=lambda o: "".join(o) or "plain"
)
def test_r4_the_kill_of_an_init_is_an_end_like_others(engine, busybox_dir: Path, options) -> None:
    script = "setsid sleep 1000 & echo up; exec sleep 1000"
    container = engine.container(busybox_dir, ["sh", "-c", script], auto_remove=False, name="web", **options).start()
    assert next(container.logs(follow=True)).rstrip() == "up"
    command = container.popen(["sleep", "1000"])
    members = [Awaited(process.host_pid) for process in container.top()]
    assert len(members) >= 3
    os.kill(container.pid, signal.SIGKILL)
    assert container.wait() == -9
    assert command.wait() == -9
    command.close()
    for member in members:
        member.wait()
        member.__exit__(None, None, None)
    assert (container.status, container.returncode, container.logs().rstrip()) == ("exited", -9, "up")
    container.remove()


def test_what_is_stopped_is_removed_by_force_and_by_closing(engine, busybox_dir: Path) -> None:
    for end in (
        lambda c: c.remove(force=True),
        lambda c: c.close(),
        lambda c: engine.get(c.id).remove(force=True),
        lambda c: c.stop(0),
    ):
        container = engine.container(busybox_dir, FOREVER).start()
        command = container.popen(["sleep", "1000"])
        members = [Awaited(process.host_pid) for process in container.top()]
        for member in members:
            os.kill(member.pid, signal.SIGSTOP)
        end(container)
        for member in members:
            member.wait()
            member.__exit__(None, None, None)
        command.close()
        container.close()
        assert container.status == "removed"


def test_a_container_whose_directory_somebody_took_away_harms_no_other(engine, busybox_dir: Path, roots) -> None:
    with engine.container(busybox_dir, FOREVER) as other:
        lost = engine.container(
            busybox_dir, ["sh", "-c", "trap exit TERM; sleep 1000 & wait"], name="lost", auto_remove=False
        ).start()
        kept = engine.container(busybox_dir, FOREVER, name="kept", detach=True).start()
        for container in (lost, kept):
            shutil.rmtree(roots.root / "containers" / container.id)
            with Awaited(engine_init(container)) as init:
                init.kill()
                init.wait()
        assert other.exec(["echo", "hi"]).stdout == "hi\n"
        for container in (lost, kept):
            assert container.status == "removed"
            container.close()
        assert engine.run(busybox_dir, ["true"], name="lost").returncode == 0, "its name is free again"
    engine.prune()


def engine_init(container: td.Container) -> int:
    """Return the number of a started container's init from the descriptor that the start has given."""
    assert container._started is not None
    return container._started.pid


def test_a_start_that_cannot_be_recorded_fails_and_ends_nobody_else(busybox_dir: Path, roots) -> None:
    code = """
        import resource
        engine = td.Engine(); engine.open()
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
        engine.prepare()  # its supervisor cannot write a byte
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        pid = engine._client.pid
        for options in ({}, {"auto_remove": False}, {"detach": True}):
            try:
                td.Container(image, ["sleep", "1000"], engine=engine, **options).start()
            except td.StartFailed as err:
                say(err.errno, err)
        done = engine.run(image, ["echo", "hi"])
        say(done.returncode, done.stdout.strip(), engine._client.pid == pid)
        engine.close()
    """
    with Program(code, busybox_dir) as program:
        for _ in range(3):
            assert "state.json: File too large" in program.line()
        assert program.line() == "0 hi True"
        assert program.wait() == 0
    for name in ("containers", "trash"):
        assert os.listdir(roots.root / name) == []

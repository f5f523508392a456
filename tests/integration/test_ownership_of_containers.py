"""Who a container belongs to: what ends with a program, what outlives it, and what others may do with it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from programs import Awaited, Program

pytestmark = pytest.mark.needs("root", "overlay", "busybox")

FOREVER = ["sleep", "1000"]
UP = ["sh", "-c", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 1000 & wait; done"]


def test_a_killed_program_takes_its_containers_execs_workspaces_and_directories_along(
    engine, busybox_dir, roots, tmp_path
):
    code = """
        one = td.Container(image, ["sh", "-c", "(setsid sleep 1000 &); echo up; exec sleep 1000"], name="one").start()
        two = td.Container(image, ["sleep", "1000"], init=True, auto_remove=False, volumes={sys.argv[2]: "/d"}).start()
        created = td.Container(image, ["true"], name="created").create()
        workspace = td.Workspace(image).__enter__()
        (workspace.path / "x").write_text("x"); twin = workspace.fork()
        three = td.Container(workspace, ["sleep", "1000"]).start()
        process = two.popen(["sh", "-c", "(setsid sleep 1000 &); echo up; exec sleep 1000"], text=True)
        next(one.logs(follow=True)), process.stdout.readline()
        say(two.id, *[row.host_pid for c in (one, two, three) for row in c.top()]); hear()
    """
    with Program(code, busybox_dir, tmp_path) as program:
        two, *pids = program.line().split()
        members = [Awaited(int(pid)) for pid in pids]
        assert len(members) >= 6
        with program.supervisor() as supervisor:
            program.kill()
            supervisor.wait()
        for member in members:
            assert member.has_ended()
            member.__exit__(None, None, None)
    kept = engine.get(two)  # opening the engine tidies up what only a living program could have
    assert (kept.status, kept.returncode) == ("exited", -9)
    kept.remove()
    assert os.listdir(roots.root / "containers") == os.listdir(roots.root / "workspaces") == []
    assert roots.names() == []


@pytest.mark.parametrize("end", ["os._exit(5)", "sys.exit(5)", "raise SystemExit(5)", "os.kill(os.getpid(), 15)"])
def test_a_program_that_ends_without_closing_leaves_nothing(busybox_dir, roots, end):
    code = f"""
        import warnings; warnings.simplefilter("ignore")
        container = td.Container(image, ["sleep", "1000"]).start()
        say(container.pid); hear()
        {end}
    """
    with (
        Program(code, busybox_dir) as program,
        Awaited(int(program.line())) as init,
        program.supervisor() as supervisor,
    ):
        program.say()
        assert program.wait() in (5, -15)
        supervisor.wait()
        assert init.has_ended()
    assert os.listdir(roots.root / "containers") == roots.names() == []


def test_a_detached_container_outlives_its_program_and_its_end_is_recorded(engine, busybox_dir):
    code = """
        container = td.Container(image, ["sh", "-c", "echo up; read x < /fifo/f; echo last; exit 7"], name="job",
                                 detach=True, volumes={sys.argv[2]: "/fifo"}, labels={"job": "7"}).start()
        say(container.pid)
    """
    fifo = roots_fifo(engine)
    with Program(code, busybox_dir, fifo.parent) as program, program_init(program) as init:
        assert program.wait() == 0
        job = engine.get("job")
        assert job.status == "running" and not init.has_ended()
        assert [c.name for c in engine.containers(label="job=7")] == ["job"]
        lines = job.logs(follow=True)
        assert next(lines) == "up\n"
        assert job.exec(["echo", "x"], check=True).stdout == "x\n"
        fifo.write_text("go\n")
        assert list(lines) == ["last\n"]
        assert job.wait() == 7
    again = engine.get("job")
    assert (again.status, again.returncode, again.logs()) == ("exited", 7, "up\nlast\n")
    assert again.finished >= again.started >= again.created
    again.remove()


def roots_fifo(engine):
    folder = Path(engine.paths.root).parent / "fifo"
    folder.mkdir()
    os.mkfifo(folder / "f")
    return folder / "f"


def program_init(program):
    return Awaited(int(program.line()))


def test_a_detached_container_survives_the_kill_of_its_program_and_is_stopped_by_another(engine, busybox_dir):
    code = """
        container = td.Container(image, ["sh", "-c", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 1000 & wait; done"],
                                 name="job", detach=True).start()
        attached = td.Container(image, ["sleep", "1000"]).start()
        say(container.pid); say(attached.pid); hear()
    """
    with Program(code, busybox_dir) as program, program_init(program) as init, program_init(program) as attached:
        program.kill()
        attached.wait()
        job = engine.get("job")
        assert next(job.logs(follow=True)) == "up\n"
        assert job.stop() == 3 and init.has_ended()
        assert job.logs() == "up\nbye\n"
        job.remove()


def test_two_programs_and_several_threads_wait_for_one_end(engine, busybox_dir):
    with (
        engine.container(busybox_dir, UP, name="web") as web,
        Program('say("ready"); say(td.get("web").wait())') as program,
    ):
        assert program.line() == "ready"
        codes = []
        threads = [threading.Thread(target=lambda: codes.append(web.wait())) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert next(web.logs(follow=True)) == "up\n"
        web.kill("TERM")
        for thread in threads:
            thread.join()
        assert codes == [3] * 4
        assert program.line() == "3"


def test_a_detached_container_with_auto_remove_is_gone_at_its_end(engine, busybox_dir, roots):
    container = engine.container(busybox_dir, ["sh", "-c", "exit 5"], detach=True, auto_remove=True).start()
    assert container.wait() == 5
    assert container.status == "removed"
    container.close()
    assert os.listdir(roots.root / "containers") == roots.names() == []
    code = """
        container = td.Container(image, ["sh", "-c", "read x < /fifo/f; exit 5"], name="job", detach=True, auto_remove=True,
                                 volumes={sys.argv[2]: "/fifo"}).start()
        say(container.pid); hear()
    """
    fifo = roots_fifo(engine)
    with Program(code, busybox_dir, fifo.parent) as program, program_init(program), program.supervisor() as supervisor:
        program.kill()
        fifo.write_text("go\n")
        supervisor.wait()
    assert os.listdir(roots.root / "containers") == roots.names() == []


def test_leaving_the_block_of_a_detached_container_lets_it_run_on_and_so_does_closing(busybox_dir):
    code = """
        engine = td.Engine()
        with td.Container(image, ["sleep", "1000"], detach=True, name="job", engine=engine) as container:
            pass
        say(container.status)
        engine.close()
        job = engine.get("job")
        say(job.status); hear()
        job.remove(force=True); say(job.status)
        engine.close()
    """
    with Program(code, busybox_dir) as program:
        assert [program.line(), program.line()] == ["running", "running"]
        with program.supervisor() as supervisor:
            program.say()
            assert program.line() == "removed"
            supervisor.wait()
        assert program.wait() == 0


def test_another_program_may_exec_log_stop_and_remove_what_an_owner_runs(engine, busybox_dir):
    with engine.container(busybox_dir, UP, name="web", auto_remove=False) as web:
        assert next(web.logs(follow=True)) == "up\n"
        code = """
            web = td.get("web")
            say(web.status, web.exec(["echo", "inside"]).stdout.strip(), web.logs().strip(), web.stop())
            web.remove(); say("removed")
        """
        with Program(code) as program:
            assert program.line() == "running inside up 3"
            assert program.line() == "removed"
        assert web.status == "removed"


def test_r25_a_forked_childs_end_leaves_the_parents_containers_alone(engine, busybox_dir):
    code = """
        import gc, warnings; warnings.simplefilter("ignore")
        engine = td.Engine()
        workspace = td.Workspace(image, engine=engine)
        with workspace, td.Container(image, ["sleep", "1000"], engine=engine) as container:
            (workspace.path / "x").write_text("x")
            twin = workspace.fork()
            process = container.popen(["cat"], stdin=td.PIPE, text=True)
            def child(how):
                pid = os.fork()
                if pid == 0:
                    try:
                        how()
                    finally:
                        os._exit(0)
                assert os.waitpid(pid, 0) == (pid, 0)
            child(lambda: None)
            child(container.close)
            child(lambda: container.__exit__(None, None, None))
            child(process.close)
            child(workspace.close)
            child(twin.close)
            lone = td.Workspace(image, engine=engine).__enter__()
            (lone.path / "x").write_text("lone")
            lone.fork().close()
            child(lone.close)
            child(engine.close)
            def drop():
                global container, process, engine, workspace, twin
                container = process = engine = workspace = twin = None
                gc.collect()
            child(drop)
            def own():
                with td.Container(image, ["echo", "of the child"]) as other:
                    assert other.wait() == 0 and container.status == "running"
                    assert container.exec(["true"]).returncode == 0
                    os.write(1, b"child works\\n")
            child(own)
            say(container.status, container.exec(["echo", "alive"]).stdout.strip())
            with lone.fork() as other:
                say((other.path / "x").read_text())
            lone.close()
            process.stdin.write("x\\n"); process.stdin.flush()
            say(process.stdout.readline().strip(), (workspace.path / "x").read_text())
            with twin:
                say((twin.path / "x").read_text())
            process.close()
        engine.close()
        say("closed")
    """
    with Program(code, busybox_dir) as program:
        said = [program.line() for _ in range(6)]
    assert said == ["child works", "running alive", "lone", "x x", "x", "closed"]


def test_a_forked_child_that_unwinds_the_parents_blocks_harms_nothing(engine, busybox_dir):
    code = """
        with td.Engine() as engine, td.Container(image, ["sleep", "1000"], engine=engine) as container:
            pid = os.fork()
            if pid == 0:
                sys.exit(0)
            os.waitpid(pid, 0)
            say(container.status, container.exec(["echo", "alive"]).stdout.strip())
    """
    with Program(code, busybox_dir) as program:
        assert program.line() == "running alive"
        assert program.wait() == 0


def test_a_killed_supervisor_is_never_a_running_container(engine, busybox_dir, roots):
    code = """
        import warnings; warnings.simplefilter("ignore")
        container = td.Container(image, ["sleep", "1000"], name="web").start()
        process = container.popen(["sleep", "1000"])
        say(container.pid); hear()
        for use in (container.wait, process.wait, lambda: container.exec(["true"])):
            try:
                use(); say("no error")
            except td.TinydockerError as err:
                say(type(err).__name__)
        say(container.status)
        container.close(); process.close()
        with td.Container(image, ["echo", "again"], name="web") as again:
            say(again.wait(), again.logs().strip())
    """
    with Program(code, busybox_dir) as program, program_init(program) as init:
        with program.supervisor() as supervisor:
            supervisor.kill()
            supervisor.wait()
        init.wait()
        program.say()
        assert [program.line() for _ in range(3)] == ["TinydockerError", "SupervisorDied", "ContainerNotRunning"]
        assert program.line() == "exited"
        assert program.line() == "0 again"
        assert program.wait() == 0
    engine.open()
    assert os.listdir(roots.root / "containers") == roots.names() == []

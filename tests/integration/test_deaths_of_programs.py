"""A program that is killed, at any step of what it does: nothing of what was attached to it outlives it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import tinydocker as td
from programs import Awaited, Program

pytestmark = pytest.mark.needs("root", "overlay", "busybox")

# Children of a program that has everything loaded kill themselves at one call or return after the
# other within the library; each time the next engine has to find, or to make, everything clean.
AT_EVERY_STEP = """
import select, signal

def traced(act, at):
    count = 0
    def profile(frame, event, argument):
        nonlocal count
        if event in ("call", "return") and "/tinydocker/" in frame.f_code.co_filename:
            count += 1
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.setprofile(profile)
    act()
    sys.setprofile(None)
    return count

def attempt(act, at):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        engine = td.Engine()
        engine.open()
        engine.prepare()
        os.write(writing, b"%d\\n" % engine._client.pid)
        os.write(writing, b"%d\\n" % traced(lambda: act(engine), at))
        engine.close()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        supervisor = os.pidfd_open(int(file.readline()))
        count = int(file.readline() or 0)
    _, status = os.waitpid(child, 0)
    select.select([supervisor], [], [])
    os.close(supervisor)
    assert os.waitstatus_to_exitcode(status) == (0 if count else -9), status
    return count

def left(root):
    found = []
    for name in ("containers", "names", "workspaces", "trash"):
        found += [f"{name}/{entry}" for entry in os.listdir(f"{root}/{name}") if entry != ".lock"]
    return found

def at_every_step(act, steps=25):
    engine = td.Engine()
    engine.open()
    count = attempt(act, 0)
    assert count > steps, count
    problems = []
    for step in range(1, count, max(1, count // steps)):
        attempt(act, step)
        td.Engine().open()
        problems += [f"{step}: {thing}" for thing in left(engine.paths.root)]
        if problems:
            break
    say(len(problems), *problems)
"""

ACTIONS = {
    "start and close": """
        container = engine.container(image, ["sleep", "1000"], name="web").start()
        container.close()
    """,
    "start detached and remove": """
        container = engine.container(image, ["true"], name="web", detach=True, auto_remove=True).start()
        container.remove(force=True)
    """,
    "run": """
        engine.run(image, ["true"])
    """,
    "exec": """
        with engine.container(image, ["sleep", "1000"]) as container:
            container.exec(["echo", "hi"])
    """,
    "stop": """
        with engine.container(image, ["sh", "-c", "trap exit TERM; sleep 1000 & wait"], stop_timeout=0) as container:
            container.stop()
    """,
    "workspace": """
        with engine.workspace(image) as one:
            (one.path / "file").write_text("x")
            with one.fork() as other:
                other.changes()
    """,
    "workspace in memory": """
        with engine.workspace(image, size="1m") as one, engine.container(one, ["true"]) as container:
            container.wait()
    """,
}


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_r3_a_program_killed_at_any_step_leaves_nothing_to_the_next(busybox_dir: Path, action: str) -> None:
    code = f"{AT_EVERY_STEP}\ndef act(engine):{action}\nat_every_step(act)\n"
    with Program(code, busybox_dir) as program:
        assert program.line() == "0"
        assert program.wait() == 0


def test_the_supervisor_of_a_killed_program_cleans_up_before_anybody_asks(busybox_dir: Path, roots) -> None:
    code = """
        engine = td.Engine()
        one = td.Container(image, ["sh", "-c", "setsid sleep 1000 & exec sleep 1000"], name="one", engine=engine).start()
        two = td.Container(image, ["sleep", "1000"], init=True, tty=True, name="two", engine=engine).start()
        created = td.Container(image, ["true"], name="created", engine=engine).create()
        ended = td.Container(image, ["true"], name="ended", engine=engine).start()
        ended.wait()
        shell = one.popen(["sh", "-c", "(setsid sleep 1000 &); echo up; exec sleep 1000"])
        shell.stdout.readline()
        space = engine.workspace(image).__enter__()
        memory = engine.workspace(image, size="1m").__enter__()
        inside = td.Container(space, ["sleep", "1000"], engine=engine).start()
        pids = {p.host_pid for c in (one, two, inside) for p in c.top()}
        say(engine._client.pid, *pids)
        hear()
    """
    with Program(code, busybox_dir) as program:
        supervisor, *members = (Awaited(int(word)) for word in program.line().split())
        assert len(members) >= 7
        program.kill()
        supervisor.wait()
        for process in (supervisor, *members):
            assert process.has_ended()
            process.__exit__(None, None, None)
    for name in ("workspaces", "trash"):
        assert os.listdir(roots.root / name) == []
    # A container that was never started is nobody's but the program's, until somebody opens the root.
    assert len(os.listdir(roots.root / "containers")) <= 1
    td.Engine().open()
    assert os.listdir(roots.root / "containers") == []
    assert set(os.listdir(roots.root / "names")) <= {".lock"}


def test_what_was_to_be_kept_is_kept_and_says_how_it_ended(engine, busybox_dir: Path) -> None:
    code = """
        engine = td.Engine()
        container = td.Container(image, ["sh", "-c", "echo said; exec sleep 1000"], name="kept", auto_remove=False, engine=engine).start()
        next(container.logs(follow=True))
        say(container.pid, engine._client.pid); hear()
    """
    with Program(code, busybox_dir) as program:
        init, supervisor = (Awaited(int(word)) for word in program.line().split())
        with init, supervisor:
            program.kill()
            supervisor.wait()
            assert init.has_ended()
    kept = engine.get("kept")
    assert (kept.status, kept.returncode, kept.logs()) == ("exited", -9, "said\n")
    kept.remove()


def test_a_program_that_becomes_another_one_lets_go_of_its_containers(busybox_dir: Path, roots) -> None:
    code = """
        engine = td.Engine()
        container = td.Container(image, ["sleep", "1000"], engine=engine).start()
        say(container.pid, engine._client.pid); hear()
        os.execv("/bin/cat", ["cat"])
    """
    with Program(code, busybox_dir) as program:
        init, supervisor = (Awaited(int(word)) for word in program.line().split())
        with init, supervisor:
            program.say()
            init.wait()
            supervisor.wait()
            assert os.listdir(roots.root / "containers") == []
        program.kill()


def test_r25_a_forked_childs_end_leaves_the_parents_commands_alone(engine, busybox_dir: Path) -> None:
    code = """
        engine = td.Engine()
        with td.Container(image, ["sleep", "1000"], name="web", engine=engine) as web:
            for way in ("raise", "exit", "close", "kill"):
                with web.popen(["cat"], stdin=td.PIPE) as command, engine.workspace(image) as space:
                    child = os.fork()
                    if child == 0:
                        if way == "raise":
                            try:
                                with command, space:
                                    raise KeyError
                            except KeyError:
                                pass
                        elif way == "close":
                            command.close(); web.close(); space.close(); engine.close()
                        elif way == "kill":
                            os.kill(os.getpid(), 9)
                        os._exit(0)
                    os.waitpid(child, 0)
                    (space.path / "file").write_text("x")
                    command.stdin.write("still here\\n"); command.stdin.close()
                    say(command.stdout.read().strip(), command.wait(), web.status, web.exec(["cat", "/proc/1/cmdline"]).returncode)
        engine.close()
    """
    with Program(code, busybox_dir) as program:
        for _ in range(4):
            assert program.line() == "still here 0 running 0"
        assert program.wait() == 0

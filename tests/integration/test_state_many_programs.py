"""State that many programs use at once, damaged records among healthy ones, and records that lie."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import supervisors
import tinydocker as td
from commandline import CommandLine
from programs import Awaited, Program
from tinydocker.store import records

pytestmark = pytest.mark.needs("root", "overlay", "busybox")

FOREVER = ["sleep", "1000"]

# Children of one program that has everything loaded, each with an engine and a supervisor of its own.
AT_ONCE = """
def at_once(count, act):
    opening, open_gate = os.pipe()
    reading, writing = os.pipe()
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            os.close(open_gate)
            try:
                engine = td.Engine()
                engine.prepare()
                os.write(writing, b"ready\\n")
                os.read(opening, 1)
                said = act(engine, number)
                engine.close()
            except BaseException as err:
                said = f"{type(err).__name__}: {err}"
            os.write(writing, f"{said}\\n".encode())
            os._exit(0)
        children.append(child)
    os.close(opening); os.close(writing)
    with os.fdopen(reading) as file:
        for _ in children:
            assert file.readline() == "ready\\n"
        os.close(open_gate)
        said = file.read().splitlines()
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
    return said
"""


def test_r11_of_32_programs_that_take_one_name_at_once_exactly_one_wins(busybox_dir: Path) -> None:
    code = AT_ONCE + (
        "td.Engine().open()\n"
        "def act(engine, number):\n"
        "    try:\n"
        "        container = td.Container(image, ['true'], name='web', auto_remove=False, engine=engine).start()\n"
        "    except td.NameInUse:\n"
        "        return 'lost'\n"
        "    container.wait(); container.close()\n"
        "    return 'won'\n"
        "say(*sorted(at_once(32, act)))\n"
        "web = td.get('web'); say(web.status, len(td.containers(all=True))); web.remove()\n"
    )
    with Program(code, busybox_dir) as program:
        assert program.line().split() == ["lost"] * 31 + ["won"]
        assert program.line() == "exited 1"
        assert program.wait() == 0


@pytest.mark.leaves("images")
def test_8_programs_with_20_runs_each_on_one_root_at_once_leave_no_error_and_nothing_else(busybox: Path, roots) -> None:
    code = AT_ONCE + (
        "def act(engine, number):\n"
        "    for n in range(20):\n"
        "        kind = (number + n) % 4\n"
        "        if kind == 0:\n"
        "            with engine.workspace(image) as space, td.Container(space, ['cat', '/etc/passwd'], engine=engine) as c:\n"
        "                assert c.wait() == 0\n"
        "        elif kind == 1:\n"
        "            with td.Container(image, ['sleep', '1000'], name=f'c{number}-{n}', engine=engine) as c:\n"
        "                assert c.exec(['echo', 'hi']).stdout == 'hi\\n'\n"
        "                assert any(other.id == c.id for other in engine.containers())\n"
        "        elif kind == 2:\n"
        "            td.Engine().prune(dry_run=True)\n"
        "            assert engine.run(image, ['sh', '-c', 'exit 3']).returncode == 3\n"
        "        else:\n"
        "            c = td.Container(image, ['echo', 'hi'], auto_remove=False, engine=engine).start()\n"
        "            c.wait(); assert td.Engine().get(c.id).logs() == 'hi\\n'; c.close(); c.remove()\n"
        "    return 'fine'\n"
        "say(sorted(set(at_once(8, act))))\n"
    )
    with Program(code, busybox) as program:
        assert program.line() == "['fine']"
        assert program.wait() == 0
    for name in ("containers", "workspaces", "trash"):
        assert os.listdir(roots.root / name) == []
    assert len(os.listdir(roots.root / "images")) == 1


# -- damaged records -----------------------------------------------------------------------------

DAMAGE = {
    "truncated": lambda data: data[: len(data) // 2],
    "zeroed": lambda data: bytes(len(data)),
    "empty": lambda data: b"",
    "garbage": lambda data: os.urandom(len(data)),
    "a list": lambda data: b"[1,2,3]",
    "another kind": lambda data: b'{"schema":1}',
    "wrong parts": lambda data: json.dumps({**json.loads(data), "spec": {"no": 1}, "image": 7, "config": []}).encode(),
    "wrong within": lambda data: json.dumps(
        {**json.loads(data), "spec": {"no": 1}, "image": {}, "config": {}}
    ).encode(),
    "of the future": lambda data: json.dumps({**json.loads(data), "schema": 99}).encode(),
}


@pytest.fixture
def five(engine, busybox_dir: Path) -> list[td.Container]:
    """Give five ended containers that were to be kept, of which the third is about to have an accident."""
    found = [
        engine.container(busybox_dir, ["echo", f"c{n}"], name=f"c{n}", auto_remove=False).start() for n in range(5)
    ]
    for container in found:
        assert container.wait() == 0
        container.close()
    return found


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_r7_one_damaged_record_stops_no_other(cli: CommandLine, five, roots, damage) -> None:
    ids = [container.id for container in five]
    path = roots.root / "containers" / ids[2] / "record.json"
    path.write_bytes(damage(path.read_bytes()))
    fresh = td.Engine()
    assert {container.name for container in fresh.containers(all=True)} == {"c0", "c1", "c3", "c4"}
    for name in ("c0", "c1", "c3", "c4"):
        assert fresh.get(name).logs() == f"{name}\n"
    assert cli("ps", "-a", check=True).stdout.count("Exited (0)") == 4
    for name in ("c0", "c1", "c3", "c4"):
        assert cli("rm", name).returncode == 0
    assert os.listdir(roots.root / "containers") == [ids[2]], "what it was is not known: it is not removed unasked"
    shutil.rmtree(roots.root / "containers" / ids[2])
    assert fresh.containers(all=True) == []
    assert "name c2 of a container that is gone" in fresh.prune()


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_r7_a_damaged_record_is_named_and_removed_by_force(cli: CommandLine, five, roots, damage) -> None:
    ids = [container.id for container in five]
    path = roots.root / "containers" / ids[2] / "record.json"
    path.write_bytes(damage(path.read_bytes()))
    fresh = td.Engine()
    for word in (ids[2], "c2"):
        with pytest.raises(td.TinydockerError, match=ids[2]):
            fresh.get(word)
        done = cli("logs", word)
        assert done.returncode == 1 and ids[2] in done.stderr and "rm -f" in done.stderr
    assert cli("rm", "-f", ids[2]).returncode == 0
    for name in ("c0", "c1", "c3", "c4"):
        fresh.get(name).remove()
    assert os.listdir(roots.root / "containers") == []
    assert set(os.listdir(roots.root / "names")) <= {".lock"}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_r7_one_damaged_state_is_an_unknown_end_and_can_be_removed(cli: CommandLine, five, roots, damage) -> None:
    path = roots.root / "containers" / five[2].id / "state.json"
    path.write_bytes(damage(path.read_bytes()))
    fresh = td.Engine()
    assert {container.name for container in fresh.containers(all=True)} == {f"c{n}" for n in range(5)}
    assert cli("ps", "-a", check=True).stdout.count("Exited (") == 5
    assert fresh.get("c2").status == "exited" and fresh.containers() == []
    assert fresh.get("c2").logs() == "c2\n"
    for n in range(5):
        assert cli("rm", f"c{n}").returncode == 0


# -- records that lie ----------------------------------------------------------------------------


@pytest.fixture
def innocent() -> Iterator[subprocess.Popen[bytes]]:
    """Give a process that has nothing to do with containers, and see that it ends by itself."""
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.communicate(b"\n")
        assert process.returncode == 0, "it got a signal"


def forge(roots, container_id: str, **changes: object) -> None:
    path = roots.root / "containers" / container_id / "state.json"
    state = json.loads(path.read_text()) if path.exists() else {}
    records.write(str(path), {**state, **changes}, durable=False)


@pytest.mark.parametrize("owner", ["alive", "gone"])
@pytest.mark.parametrize("lie", ["start time", "boot"])
def test_r8_whoever_has_the_number_of_a_dead_init_gets_no_signal(
    engine, busybox_dir: Path, roots, innocent, owner: str, lie: str
) -> None:
    forged = {"status": "running", "pid": innocent.pid, "boot_id": records.boot_id(), "finished": None}
    if lie == "boot":
        forged.update(boot_id="0" * 36, start_time=records.process_start_time(innocent.pid))
    for auto_remove in (True, False):
        container = engine.container(busybox_dir, FOREVER, name="web", auto_remove=auto_remove).start()
        init = Awaited(container.pid)
        if owner == "gone":
            init.kill()
            container.wait()
            if auto_remove:
                forged["attached"] = True  # and it is for whoever comes next to end and to remove
            else:
                container.close()
        forge(roots, container.id, **forged)
        other = td.Engine().get("web") if not (owner == "gone" and auto_remove) else container
        for act in (lambda c: c.kill(), lambda c: c.exec(["true"]), lambda c: c.popen(["true"]), lambda c: c.top()):
            with pytest.raises(td.TinydockerError):
                act(other)
        if lie == "boot":
            assert other.status == "exited"
            assert other.stop(0) is None or other.returncode is not None
        td.Engine().prune()
        assert innocent.poll() is None
        if owner == "alive":
            init.kill()
            init.wait()
            container.wait()
        container.close()
        if not auto_remove and container.status != "removed":
            container.remove(force=True)
        assert innocent.poll() is None
        init.__exit__(None, None, None)


def test_r8_a_container_of_another_boot_has_ended_and_is_not_mistaken_for_anything(
    cli: CommandLine, engine, busybox_dir: Path, roots
) -> None:
    container = engine.container(busybox_dir, FOREVER, name="web", detach=True, auto_remove=False).start()
    with Awaited(container.pid) as init:
        forge(roots, container.id, boot_id="0" * 36)
        for handle in (container, engine.get("web"), td.Engine().get("web")):
            assert (handle.status, handle.returncode) == ("exited", None)
        assert "Exited (unknown)" in cli("ps", "-a").stdout
        assert cli("kill", "web").returncode == 1
        assert not init.has_ended()
        init.kill()
        init.wait()
    engine.close()
    supervisors.await_end(roots.token)
    td.Engine().get("web").remove()


# -- foreign things ------------------------------------------------------------------------------


def test_r24_prune_and_reconcile_touch_nothing_that_is_not_ours(
    cli: CommandLine, engine, busybox_dir: Path, roots, tmp_path
) -> None:
    engine.open()
    beside = [roots.root.parent / f"{roots.root.name}{end}" for end in ("2", ".old", "-backup")]
    foreign: list[Path] = []
    for folder in [*beside, *(roots.root / name for name in ("containers", "names", "workspaces", "volumes"))]:
        folder.mkdir(exist_ok=True)
        for name in ("notes.txt", "0123456789abc", ".gitignore", "directory/lock", "directory/record.json"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text("mine")
            foreign.append(folder / name)
    (roots.root / "names/link").symlink_to(tmp_path)
    engine.run(busybox_dir, ["true"])
    for act in (
        engine.prune,
        lambda: td.Engine().open(),
        lambda: cli("prune", check=True),
        lambda: cli("ps", "-a", check=True),
    ):
        act()
        assert [path for path in foreign if path.read_text() != "mine"] == []
    assert (roots.root / "names/link").is_symlink()
    for path in foreign:
        path.unlink()
    (roots.root / "names/link").unlink()
    for path in {path.parent for path in foreign if path.parent.name == "directory"}:
        path.rmdir()
    for folder in beside:
        folder.rmdir()


def test_signals_reach_the_container_while_its_supervisor_is_stopped(engine, busybox_dir: Path) -> None:
    """A supervisor that does not get to run records nothing, and nobody is mistaken for the container meanwhile."""
    code = """
        container = td.Container(image, ["sleep", "1000"], name="web").start()
        say(container.pid); hear()
        container.close()
    """
    with Program(code, busybox_dir) as program:
        init = Awaited(int(program.line()))
        supervisor = program.supervisor()
        os.kill(supervisor.pid, signal.SIGSTOP)
        web = engine.get("web")
        web.kill()
        init.wait()
        with pytest.raises(td.ContainerNotRunning):
            web.kill()
        with pytest.raises(td.ContainerTimeout):
            web.wait(timeout=0)
        os.kill(supervisor.pid, signal.SIGCONT)
        assert web.wait() == -9
        program.say()
        assert program.wait() == 0
        init.__exit__(None, None, None)
        supervisor.__exit__(None, None, None)

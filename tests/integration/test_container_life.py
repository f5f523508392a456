"""A container's life: defined, created, running, exited, removed, and what each state allows."""

from __future__ import annotations

import gc
import os
import signal
import threading

import pytest

import tinydocker as td
from programs import Awaited

pytestmark = pytest.mark.needs("root", "overlay", "busybox")

FOREVER = ["sleep", "1000"]
UP = ["sh", "-c", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 1000 & wait; done"]


def up(container):
    """Wait until a container that runs UP has said so."""
    assert next(container.logs(follow=True)) == "up\n"
    return container


def test_the_states_of_a_container_follow_one_another(engine, busybox_dir, roots):
    container = engine.container(busybox_dir, UP, name="web", auto_remove=False)
    assert (container.status, container.created, container.returncode) == ("defined", None, None)
    assert container.create() is container
    assert (container.status, container.started, container.finished) == ("created", None, None)
    assert container.start() is container
    assert container.status == "running" and container.returncode is None
    assert container.created <= container.started
    os.kill(up(container).pid, 0)
    assert container.stop() == 3
    assert (container.status, container.returncode) == ("exited", 3)
    assert container.finished >= container.started
    container.remove()
    assert container.status == "removed"
    assert os.listdir(roots.root / "containers") == roots.names() == []


def test_leaving_the_block_ends_and_removes_it(engine, busybox_dir, roots):
    with engine.container(busybox_dir, FOREVER) as container, Awaited(container.pid) as init:
        assert container.status == "running"
        container.close()
        assert init.has_ended()
    assert container.status == "removed"
    assert os.listdir(roots.root / "containers") == []


def test_an_error_in_the_block_travels_on_and_removes_it(engine, busybox_dir):
    with pytest.raises(KeyError, match="mine"), engine.container(busybox_dir, FOREVER) as container:
        raise KeyError("mine")
    assert container.status == "removed"


def test_without_auto_remove_leaving_the_block_stops_and_keeps_it(engine, busybox_dir):
    with engine.container(busybox_dir, UP, name="kept", auto_remove=False) as container:
        up(container)
    again = engine.get("kept")
    assert (again.status, again.returncode, again.logs()) == ("exited", 3, "up\nbye\n")
    again.remove()


def test_an_ended_container_keeps_its_log_and_code_until_the_block_is_left(engine, busybox_dir):
    with engine.container(busybox_dir, ["sh", "-c", "echo said; exit 5"]) as container:
        assert container.wait() == 5
        assert container.wait() == 5, "waiting again tells the same"
        assert (container.status, container.logs()) == ("exited", "said\n")
    assert container.returncode == 5


def test_stop_sends_the_stop_signal_and_returns_the_code(engine, busybox_dir):
    script = "trap 'exit 4' USR1; trap 'exit 5' TERM; echo up; while :; do sleep 1000 & wait; done"
    with engine.container(busybox_dir, ["sh", "-c", script], stop_signal="USR1") as container:
        assert up(container).stop() == 4
        assert container.stop() == 4, "stopping again is no error"


def test_what_ignores_the_stop_signal_is_killed_with_all_that_it_started(engine, busybox_dir):
    script = "trap '' TERM; (setsid sleep 1000 &); echo up; while :; do sleep 1000; done"
    with engine.container(busybox_dir, ["sh", "-c", script], stop_timeout=0) as container:
        members = [Awaited(process.host_pid) for process in up(container).top()]
        assert len(members) >= 2
        assert container.stop() == -signal.SIGKILL
        for member in members:
            assert member.has_ended()
            member.__exit__(None, None, None)


def test_kill_sends_any_signal_by_name_or_number(engine, busybox_dir):
    script = "trap 'echo got hup' HUP; trap 'echo got int; exit 0' INT; echo up; while :; do sleep 1000 & wait; done"
    with engine.container(busybox_dir, ["sh", "-c", script]) as container:
        lines = container.logs(follow=True)
        assert next(lines) == "up\n"
        container.kill("HUP")
        assert next(lines) == "got hup\n"
        container.kill(signal.SIGINT)
        assert list(lines) == ["got int\n"]
        assert container.wait() == 0
        with pytest.raises(td.ContainerNotRunning):
            container.kill()


def test_kill_without_a_signal_is_sigkill(engine, busybox_dir):
    with engine.container(busybox_dir, FOREVER) as container:
        container.kill()
        assert container.wait() == -9


@pytest.mark.parametrize("signal_name", ["NOSUCH", 0, 99, -1, "", True])
def test_a_signal_that_does_not_exist_is_refused(engine, busybox_dir, signal_name):
    with engine.container(busybox_dir, FOREVER) as container:
        with pytest.raises(td.InvalidSpec, match="signal"):
            container.kill(signal_name)
        assert container.status == "running"


def test_wait_gives_up_after_its_time_and_the_container_runs_on(engine, busybox_dir):
    with engine.container(busybox_dir, FOREVER) as container:
        with pytest.raises(td.ContainerTimeout) as caught:
            container.wait(timeout=0)
        assert isinstance(caught.value, TimeoutError)
        with pytest.raises(td.ContainerTimeout):
            container.wait(timeout=0.01)
        assert container.status == "running"


def test_several_threads_and_handles_wait_for_one_end(engine, busybox_dir):
    with engine.container(busybox_dir, UP, name="web") as container:
        codes = []
        handles = [container] * 4 + [engine.get("web") for _ in range(4)]
        threads = [threading.Thread(target=lambda h=handle: codes.append(h.wait())) for handle in handles]
        for thread in threads:
            thread.start()
        up(container).kill("TERM")
        for thread in threads:
            thread.join()
        assert codes == [3] * 8


@pytest.mark.parametrize("auto_remove", [True, False])
def test_restart_runs_it_again_on_the_same_files(engine, busybox_dir, auto_remove):
    script = "echo x >> /count; wc -l < /count; trap 'exit 0' TERM; echo up; while :; do sleep 1000 & wait; done"
    with engine.container(busybox_dir, ["sh", "-c", script], auto_remove=auto_remove) as container:
        for count in range(1, 4):
            lines = container.logs(follow=True)
            while next(lines) != "up\n" or container.logs().count("up\n") < count:
                pass
            first = container.pid
            assert container.restart() is container
            assert container.pid != first
        lines = container.logs(follow=True)
        assert [next(lines) for _ in range(8)] == [line for n in range(1, 5) for line in (f"{n}\n", "up\n")]
        container.stop()
    if not auto_remove:
        container.remove()


def test_an_ended_container_can_be_started_again(engine, busybox_dir):
    container = engine.container(busybox_dir, ["sh", "-c", "echo x >> /count; exec wc -l /count"], auto_remove=False)
    for _ in range(3):
        assert container.start().wait() == 0
    assert container.logs() == "1 /count\n2 /count\n3 /count\n"
    again = engine.get(container.id)
    container.close()
    assert again.start().wait() == 0
    assert again.logs().endswith("4 /count\n")
    again.remove()


def test_a_running_container_is_not_started_twice_nor_removed_without_force(engine, busybox_dir):
    with engine.container(busybox_dir, FOREVER) as container:
        for _ in range(2):
            with pytest.raises(td.ContainerRunning):
                container.start()
            with pytest.raises(td.ContainerRunning, match="force"):
                container.remove()
        assert container.status == "running"
        container.remove(force=True)
        assert container.status == "removed"


def test_entering_what_is_entered_is_an_error_and_harms_nothing(engine, busybox_dir):
    with engine.container(busybox_dir, FOREVER, name="web") as container:
        for handle in (container, engine.get("web")):
            with pytest.raises(td.TinydockerError, match="entered already"), handle:
                pass
        with pytest.raises(td.TinydockerError, match="exists already"):
            container.create()
        assert container.status == "running"


def test_what_was_created_or_started_is_entered_for_its_end_and_runs_once(engine, busybox_dir):
    script = ["sh", "-c", "echo x >> /count; wc -l < /count"]
    for container in (engine.container(busybox_dir, script).create(), engine.container(busybox_dir, script).start()):
        if container.status != "created":
            container.wait()
        with container as entered:
            assert entered is container
            assert container.wait() == 0 and container.logs() == "1\n"
        assert container.status == "removed"


def test_what_needs_a_running_container_says_so(engine, busybox_dir):
    defined = engine.container(busybox_dir, FOREVER)
    ended = engine.container(busybox_dir, ["true"]).start()
    ended.wait()
    for container in (engine.container(busybox_dir, FOREVER).create(), ended):
        for use in (
            lambda c: c.exec(["true"]),
            lambda c: c.popen(["true"]),
            lambda c: c.kill(),
            lambda c: c.pid,
            lambda c: c.top(),
        ):
            with pytest.raises(td.ContainerNotRunning):
                use(container)
        container.remove()
    uses = (
        lambda c: c.exec(["true"]),
        lambda c: c.logs(),
        lambda c: c.wait(),
        lambda c: c.id,
        lambda c: c.changes(),
        lambda c: c.remove(),
    )
    for use in uses:
        with pytest.raises(td.TinydockerError):
            use(defined)


def test_a_created_container_can_be_removed_and_closed(engine, busybox_dir, roots):
    engine.container(busybox_dir, FOREVER).create().remove()
    engine.container(busybox_dir, FOREVER).create().close()
    engine.container(busybox_dir, FOREVER, auto_remove=False, name="kept").create().close()
    assert engine.get("kept").status == "created"
    engine.get("kept").remove()
    assert os.listdir(roots.root / "containers") == roots.names() == []


def test_removing_twice_is_an_error_that_says_it_is_gone(engine, busybox_dir):
    container = engine.container(busybox_dir, FOREVER).start()
    container.remove(force=True)
    container.remove(force=True)  # what is wanted is so
    assert container.status == "removed"


def test_a_handle_that_was_never_closed_warns(engine, busybox_dir):
    container = engine.container(busybox_dir, FOREVER).start()
    with Awaited(container.pid) as init:
        held = [container]
        del container
        with pytest.warns(ResourceWarning) as warned:
            held.clear()
        assert any("never closed" in str(warning.message) for warning in warned)
        engine.close()
        assert init.has_ended()


def test_handles_that_own_nothing_do_not_warn(engine, busybox_dir):
    container = engine.container(busybox_dir, FOREVER, name="web").start()
    engine.get("web")
    engine.container(busybox_dir, FOREVER)
    gc.collect()  # a warning is an error here
    container.close()


def test_closing_twice_is_allowed(engine, busybox_dir):
    container = engine.container(busybox_dir, FOREVER).start()
    container.close()
    container.close()


def test_stdin_is_a_pipe_when_it_is_asked_for(engine, busybox_dir):
    with engine.container(busybox_dir, ["cat"], stdin=True) as container:
        container.stdin.write(b"typed\n")
        assert next(container.logs(follow=True)) == "typed\n"
        container.stdin.close()
        assert container.wait() == 0
    with engine.container(busybox_dir, ["cat"]) as container:
        assert container.stdin is None
        assert container.wait() == 0


def test_stop_returns_at_once_when_the_container_ends_at_once(engine, busybox_dir):
    with engine.container(
        busybox_dir, ["sh", "-c", "trap exit TERM; echo up; sleep 1000 & wait"], stop_timeout=100_000
    ) as container:
        up(container).stop()
        assert container.status == "exited"


def test_stopping_what_is_just_ending_never_fails(engine, busybox_dir):
    base = engine.container(busybox_dir, ["true"])
    for _ in range(60):
        container = base.with_command(["true"]).start()
        assert container.stop() == 0
        container.close()


def test_inspect_is_data_that_json_knows(engine, busybox_dir):
    import json

    with engine.container(busybox_dir, FOREVER, name="web", env={"A": "1"}) as container:
        seen = json.loads(json.dumps(container.inspect()))
        assert (seen["id"], seen["name"], seen["state"]["status"]) == (container.id, "web", "running")
        assert "A=1" in seen["config"]["process"]["env"]


def test_repr_reads_as_a_sentence_and_does_no_io(engine, busybox_dir, roots):
    container = engine.container(busybox_dir, ["sleep", "1000"], name="web")
    assert repr(container) == f"<container of 'sleep 1000' on {busybox_dir}, not created>"
    assert repr(engine) == f"<engine at {roots.root}>"
    assert os.listdir(roots.root) == []

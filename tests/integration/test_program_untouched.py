"""The user's program: its threads, signals, descriptors, children and event loop stay its own."""

from __future__ import annotations

import pytest

from programs import Program

pytestmark = pytest.mark.needs("root", "overlay", "busybox")

USE = """
with td.Container(image, ["sleep", "1000"], tty=True) as container:
    container.exec(["true"]); list(container.top()); container.logs()
    container.popen(["cat"], stdin=td.PIPE).close()
    with td.Workspace(image, size="1m") as workspace:
        workspace.fork().close()
try:
    td.run(image, ["sleep", "1000"], timeout=0)
except td.ContainerTimeout:
    pass
"""


def test_nothing_of_the_program_changes(busybox_dir, tmp_path):
    code = f"""
        import fcntl, resource, signal, threading, warnings
        warnings.simplefilter("error")
        os.chdir({str(tmp_path)!r}); os.umask(0o027)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL); signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        def picture():
            status = open("/proc/self/status").read().splitlines()
            kept = [line for line in status if line.startswith(("Sig", "Shd", "Cap", "Uid", "Gid", "Umask", "NoNew", "Seccomp", "Groups"))]
            fds = {{fd: os.readlink(f"/proc/self/fd/{{fd}}") for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{{fd}}")}}
            return dict(
                status=[line for line in kept if not line.startswith(("SigQ", "SigCgt"))], cwd=os.getcwd(), environ=dict(os.environ),
                handlers={{n: signal.getsignal(n) for n in signal.valid_signals()}}, threads=threading.active_count(),
                fds=sorted(value for value in fds.values() if not value.endswith("/fd")), limits=resource.getrlimit(resource.RLIMIT_NOFILE),
                session=os.getsid(0), group=os.getpgid(0), root=os.readlink("/proc/self/root"), children=children(),
                ns=[os.readlink(f"/proc/self/ns/{{n}}") for n in os.listdir("/proc/self/ns")], mounts=open("/proc/self/mountinfo").read(),
            )
        def children():
            return open(f"/proc/{{os.getpid()}}/task/{{os.getpid()}}/children").read().split()
        before = picture()
        engine = td.Engine()
        engine.run(image, ["true"])
        (supervisor,) = children()
        held = [os.readlink(f"/proc/self/fd/{{fd}}") for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{{fd}}")]
        for fd in os.listdir("/proc/self/fd"):
            try:
                assert int(fd) < 3 or fcntl.fcntl(int(fd), fcntl.F_GETFD) & fcntl.FD_CLOEXEC, fd
            except OSError:
                pass
        exec({USE!r})
        assert supervisor in children() and len(children()) == 2, "one for each engine"
        engine.close()
        from tinydocker.engine import default
        default().close()
        after = picture()
        for subject in before:
            assert before[subject] == after[subject], (subject, before[subject], after[subject])
        say("same")
    """
    with Program(code, busybox_dir) as program:
        assert program.line() == "same"


def test_a_program_of_32_busy_threads_may_use_every_part_from_all_of_them(busybox_dir):
    code = """
        import hashlib, threading, traceback, warnings
        warnings.simplefilter("error")
        engine = td.Engine()
        stop = threading.Event()
        def burn():
            data = b"x" * 1_000_000
            while not stop.is_set():
                hashlib.sha256(data)  # busy without the interpreter's lock, which no library could get past
        burning = [threading.Thread(target=burn) for _ in range(32)]
        failures = []
        def use(number):
            try:
                for turn in range(2):
                    assert engine.run(image, ["echo", f"{number} {turn}"]).stdout == f"{number} {turn}\\n"
                    with td.Container(image, ["cat"], stdin=True, engine=engine) as container:
                        assert container.exec(["cat"], input=f"x{number}").stdout == f"x{number}"
                        container.stdin.close()
                        assert container.wait() == 0
            except BaseException:
                failures.append(traceback.format_exc())
        using = [threading.Thread(target=use, args=(n,)) for n in range(8)]
        for thread in burning + using: thread.start()
        for thread in using: thread.join()
        stop.set()
        for thread in burning: thread.join()
        engine.close()
        say(failures or "fine")
    """
    with Program(code, busybox_dir) as program:
        assert program.line() == "fine"


def test_a_running_event_loop_goes_on_while_containers_work_in_threads(busybox_dir):
    code = """
        import asyncio, warnings
        warnings.simplefilter("error")
        async def main():
            ticks = 0
            async def tick():
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0)
            ticking = asyncio.create_task(tick())
            direct = td.run(image, ["echo", "direct"]).stdout
            jobs = [asyncio.to_thread(td.run, image, ["echo", str(n)]) for n in range(8)]
            done = await asyncio.gather(*jobs)
            before = ticks
            process = await asyncio.create_subprocess_exec("/bin/echo", "a child of its own", stdout=asyncio.subprocess.PIPE)
            out, _ = await process.communicate()
            ticking.cancel()
            say(direct.strip(), *[d.stdout.strip() for d in done], process.returncode, before > 0)
        asyncio.run(main(), debug=False)
    """
    with Program(code, busybox_dir) as program:
        assert program.line() == "direct 0 1 2 3 4 5 6 7 0 True"


def test_a_program_that_reaps_all_children_itself_or_ignores_them_works(busybox_dir):
    code = """
        import signal
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        with td.Engine() as engine:
            say(engine.run(image, ["sh", "-c", "exit 4"]).returncode)
        def reap(*_):
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                pass
        signal.signal(signal.SIGCHLD, reap)
        with td.Engine() as engine:
            say(engine.run(image, ["sh", "-c", "exit 5"]).returncode)
    """
    with Program(code, busybox_dir) as program:
        assert [program.line(), program.line()] == ["4", "5"]
        assert program.wait() == 0


def test_s30_variables_and_the_directory_of_the_program_hijack_nothing(busybox_dir, tmp_path, monkeypatch):
    for name in ("json", "os", "struct", "_socket", "tinydocker", "sitecustomize", "attr"):
        (tmp_path / f"{name}.py").write_text("import sys; sys.stderr.write('hijacked'); raise SystemExit(99)\n")
    code = """
        sys.path.remove("")  # what the program itself imports is its own affair
        os.chdir(sys.argv[2])
        os.environ.update(PYTHONPATH=sys.argv[2], PYTHONSTARTUP=sys.argv[2] + "/json.py", PATH=sys.argv[2], PYTHONHOME=sys.argv[2])
        with td.Engine() as engine:
            say(engine.run(image, ["echo", "safe"]).stdout.strip())
    """
    with Program(code, busybox_dir, tmp_path) as program:
        assert program.line() == "safe"


def test_an_interrupted_wait_leaves_the_container_to_its_block(busybox_dir):
    code = """
        import signal
        try:
            with td.Container(image, ["sh", "-c", "trap '' INT; echo up; exec sleep 1000"]) as container:
                next(container.logs(follow=True)); say(container.pid)
                container.wait()
        except KeyboardInterrupt:
            say(container.status)
        try:
            say("again"); td.run(image, ["sleep", "1000"])
        except KeyboardInterrupt:
            say(len(td.containers(all=True)))
    """
    import os
    import signal

    from programs import Awaited

    with Program(code, busybox_dir) as program, Awaited(int(program.line())) as init:
        os.kill(program.pid, signal.SIGINT)
        assert program.line() == "removed" and init.has_ended()
        assert program.line() == "again"
        os.kill(program.pid, signal.SIGINT)
        assert program.line() == "0"


def test_importing_pulls_in_no_network_library_and_no_engine(roots):
    code = """
        loaded = set(sys.modules)
        say(sorted(name for name in loaded if name.split(".")[0] in ("pyroute2", "iptc", "rich", "attr", "ctypes", "asyncio")))
        td.Container("x", ["y"])
        say(sorted(name for name in sys.modules if name.split(".")[0] in ("pyroute2", "iptc", "rich", "asyncio")))
    """
    with Program(code) as program:
        assert [program.line(), program.line()] == ["[]", "[]"]

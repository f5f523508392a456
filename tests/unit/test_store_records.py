"""Records: whole or not there, damaged ones set aside."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tinydocker.errors import StateCorrupt
from tinydocker.store import records
from tinydocker.store.paths import DIRECTORIES, Paths


def test_a_record_comes_back_as_it_was_written_with_any_name_in_it(tmp_path: Path) -> None:
    path = str(tmp_path / "record.json")
    record = {"name": "a\nb=c", "path": os.fsdecode(b"/x\xff"), "n": [1, None, 2.5]}
    records.write(path, record)
    assert records.read(path) == {"schema": records.SCHEMA, **record}
    assert os.stat(path).st_mode & 0o777 == 0o600
    records.write(path, {"n": 2}, durable=False)
    assert records.read(path)["n"] == 2
    assert os.listdir(tmp_path) == ["record.json"]


@pytest.mark.parametrize(
    "content",
    [b"", b'{"schema":1,"na', bytes(300), b"\xff\xfe garbage", b"[1]", b"3", b'{"schema":99}', b"{}", b"[" * 200_000],
    ids=["empty", "truncated", "zeroed", "garbage", "list", "number", "newer", "no-schema", "deep"],
)
def test_a_damaged_record_is_set_aside_and_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(StateCorrupt, match=r"record\.json"):
        records.read(str(path))
    assert (tmp_path / "record.json.damaged").read_bytes() == content
    with pytest.raises(FileNotFoundError):
        records.read(str(path))


def test_a_directory_in_place_of_a_record_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "record.json").mkdir()
    with pytest.raises(StateCorrupt):
        records.read(str(tmp_path / "record.json"))
    assert (tmp_path / "record.json.damaged").is_dir()


def test_a_value_that_json_lacks_leaves_the_old_record(tmp_path: Path) -> None:
    path = str(tmp_path / "record.json")
    records.write(path, {"n": 1})
    for bad in (object(), float("nan")):
        with pytest.raises((TypeError, ValueError)):
            records.write(path, {"n": bad})
    assert records.read(path)["n"] == 1
    assert os.listdir(tmp_path) == ["record.json"]


def test_r6_a_writer_killed_at_any_moment_leaves_the_old_record_or_the_new_one(tmp_path: Path) -> None:
    # Writers that one program forks are killed by it after ever other amounts of work.
    script = """
        import os, random, signal, sys
        from tinydocker.store import records
        path, chance, last = sys.argv[1], random.Random(6), -1
        for turn in range(400):
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                n = last
                while True:
                    n += 1
                    records.write(path, {"n": n, "also": n, "filler": "x" * chance.randrange(20_000)}, durable=turn % 20 == 0)
                    os.write(writing, b"%d\\n" % n)
            os.close(writing)
            with os.fdopen(reading, "rb", buffering=0) as file:
                for _ in range(1 + turn % 3):
                    file.readline()
                for _ in range(chance.randrange(300)):
                    os.sched_yield()
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                written = int((file.read().split() or [b"-1"])[-1])
            record = records.read(path)
            assert record["n"] == record["also"] and record["n"] >= max(last, written), (record["n"], last, written)
            last = record["n"]
        print(last)
    """
    path = tmp_path / "record.json"
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 400
    strays = set(os.listdir(tmp_path)) - {"record.json"}
    assert all(name.startswith(".record.json.") for name in strays), "no stray looks like a record"


def test_the_start_time_names_this_process_and_is_none_for_no_process() -> None:
    own = records.process_start_time(os.getpid())
    assert own is not None and own > 0
    with subprocess.Popen(["/bin/true"]) as child:
        child.wait()
    assert records.process_start_time(child.pid) is None
    assert records.boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_the_supervisor_can_import_the_store_without_site_packages() -> None:
    source = Path(records.__file__).parents[2]
    program = (
        f"import sys; sys.path.insert(0, {str(source)!r})\n"
        "from tinydocker.store import records, locks, trash, paths\nassert 'attr' not in sys.modules"
    )
    subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True)


def test_paths_are_a_frozen_value_and_ensure_closes_them_to_others(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir(0o755)
    paths = Paths(root, tmp_path / "run")
    assert paths.ensure() is paths and paths.ensure() == paths
    for name in ("", *DIRECTORIES):
        assert os.stat(root / name).st_mode & 0o777 == 0o700
    with pytest.raises(AttributeError):
        paths.root = "/"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(paths)) == paths and len({paths, Paths(root, tmp_path / "run")}) == 1
    assert json.dumps(repr(paths))

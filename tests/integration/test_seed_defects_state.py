"""The defects of the seed program that concern state, each by its number: none of them is back.

7 names and shells, 10 locks, records and half-made containers.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import supervisors
import tinydocker as td
from commandline import CommandLine
from programs import Program

pytestmark = pytest.mark.needs("root", "overlay", "busybox")

FOREVER = ["sleep", "1000"]


@pytest.fixture(autouse=True)
def supervisors_have_left(roots):
    yield
    supervisors.await_end(roots.token)


# -- 7 -------------------------------------------------------------------------------------------

BAD_NAMES = ["../outside", "a/b", "/abs", ".", "..", "-n", "_x", ".x", "a b", "a;b", "$(id)", "a\nb", "é", "x" * 129]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_defect_07_a_name_that_could_lead_elsewhere_is_refused_everywhere(
    cli: CommandLine, engine, busybox_dir, roots, name
):
    with pytest.raises(td.InvalidSpec, match="name"):
        engine.container(busybox_dir, ["true"], name=name)
    done = cli("run", f"--name={name}", busybox_dir, "true")
    assert done.returncode == 125 and done.stderr.count("\n") == 1
    for line in (["rm", "-f"], ["stop"], ["exec"], ["logs"], ["inspect"], ["kill"]):
        done = cli(*line, "--", name, *(["true"] if line == ["exec"] else []))
        assert done.returncode in (1, 125), (line, done)
    assert not (roots.root.parent / "outside").exists() and not (roots.root / "outside").exists()


@pytest.mark.parametrize("name", ["../images", "../../root", "names", "../containers"])
def test_defect_07_removing_by_a_path_removes_nothing(cli: CommandLine, engine, busybox_dir, roots, name):
    with engine.container(busybox_dir, FOREVER, name="web") as web:
        before = sorted(path for path in roots.root.rglob("*") if not {"rootfs", "ready"} & set(path.parts))
        assert cli("rm", "-f", name).returncode == 1
        assert sorted(path for path in roots.root.rglob("*") if not {"rootfs", "ready"} & set(path.parts)) == before
        assert web.status == "running"


def test_defect_07_no_shell_ever_sees_a_word(cli: CommandLine, busybox_dir, tmp_path):
    mark = tmp_path / "mark"
    words = [
        f"; touch {mark};",
        f"$(touch {mark})",
        f"`touch {mark}`",
        f"&& touch {mark}",
        f"| tee {mark}",
        "*",
        "~",
        "a  b",
    ]
    odd = tmp_path / f"x; touch {mark.name} #"
    odd.mkdir()
    (odd / "file").write_text("odd")
    line = ["-v", f"{odd}:/v", "-e", f"A=; touch {mark}", "-l", f"job=; touch {mark}", "-h", "web"]
    done = cli("run", "-n", "web", *line, busybox_dir, "printf", "%s\\n", *words)
    assert done.stdout.splitlines() == words
    cli("ps", "-a", check=True)
    cli("commit", "web", odd / "out; touch mark.tar", check=True)
    cli("export", "-o", odd / "$(touch mark).tar", "web", check=True)
    cli("rm", "web", check=True)
    assert not mark.exists() and not (Path.cwd() / mark.name).exists() and not (odd / mark.name).exists()


# -- 10 ------------------------------------------------------------------------------------------


def test_defect_10_starts_within_one_second_have_ids_and_names_of_their_own(engine, busybox_dir):
    base = engine.container(busybox_dir, ["true"])
    started = [base.with_command(["true"]).start() for _ in range(30)]
    assert len({container.id for container in started}) == len({container.name for container in started}) == 30
    for container in started:
        container.close()


@pytest.mark.parametrize(
    "word",
    ["a=b", "two\nlines", "\n", "=", "\t", '"', "\\", "{}", "é", os.fsdecode(b"\xff\xfe"), "x" * 100_000],
    ids=repr,
)
def test_defect_10_no_word_of_a_command_corrupts_the_record(cli: CommandLine, engine, busybox_dir, word):
    container = engine.container(
        busybox_dir, ["printf", "%s", word], env={"A": word}, labels={"l": word}, name="web", auto_remove=False
    )
    assert container.start().wait() == 0
    container.close()
    again = engine.get("web")
    assert again.inspect()["config"]["process"]["args"] == ["printf", "%s", word]
    assert again.labels == {"l": word}
    assert f"A={word}" in again.inspect()["config"]["process"]["env"]
    assert [fact["command"] for fact in json.loads(cli("ps", "-a", "--json", check=True).stdout)] == [
        ["printf", "%s", word]
    ]
    assert len(cli("ps", "-a", check=True).stdout.splitlines()) == 2
    assert again.start().wait() == 0, "it runs again by its record"
    assert b"".join(line.raw(False) for line in again.log_lines()) == os.fsencode(word) * 2
    again.remove()


def test_defect_10_a_half_made_container_does_not_stand_in_the_way(cli: CommandLine, busybox_dir, roots):
    code = """
        import signal
        engine = td.Engine()
        for kept in (True, False):
            child = os.fork()
            if child == 0:
                from tinydocker import starting
                def cut(*args, **kwargs): os.kill(os.getpid(), signal.SIGKILL)
                starting.order = cut  # all is made and recorded, and nothing is started yet
                td.Container(image, ["true"], name="kept" if kept else "gone", auto_remove=not kept, engine=engine).start()
            os.waitpid(child, 0)
    """
    with Program(code, busybox_dir) as program:
        assert program.wait() == 0
    assert set(os.listdir(roots.root / "names")) - {".lock"} == {"kept", "gone"}
    assert cli("run", "--rm", "-n", "gone", busybox_dir, "echo", "hi").stdout == "hi\n", "it can be run again"
    assert "Created" in cli("ps", "-a").stdout
    assert cli("rm", "kept").returncode == 0, "it can be removed"
    assert os.listdir(roots.root / "containers") == []

"""A pytest fixture with a container in it.

    pytest examples/04_pytest_fixture.py

TINYDOCKER_EXAMPLE_IMAGE names the image; without it, it is this machine's own root.
"""

import os

import pytest

import tinydocker as td


@pytest.fixture(scope="module")
def prepared():
    """A workspace that is prepared once; a test gets a fork of it, which costs next to nothing."""
    with td.Workspace(os.environ.get("TINYDOCKER_EXAMPLE_IMAGE", "host"), size="64m") as ws:
        (ws.root / "srv").mkdir(exist_ok=True)
        (ws.root / "srv" / "data").write_text("prepared\n")
        yield ws


@pytest.fixture
def box(prepared):
    """A running container of the test's own; nothing is left of it when the test ends."""
    with prepared.fork() as ws, td.Container(ws, ["sleep", "1000"], stop_timeout=0) as container:
        yield container


def test_sees_what_was_prepared(box):
    assert box.exec(["cat", "/srv/data"], check=True).stdout == "prepared\n"
    box.exec(["sh", "-c", "echo changed > /srv/data"], check=True)


def test_does_not_see_the_changes_of_another_test(box):
    assert (box.root / "srv" / "data").read_text() == "prepared\n"

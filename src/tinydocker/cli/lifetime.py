"""The subcommands that change what containers do: start, stop, restart, kill, wait, rm."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..errors import InvalidSpec
from .parser import Command, Option
from .session import Session

_STOP_SECONDS = Option("-t --time --timeout", "wait so long before killing, 0 is at once", "SECONDS", key="time")


def start(session: Session) -> int:
    """Start ended containers again, in the background."""
    session.prepare()

    def one(name: str) -> str:
        session.container(name).start(detach=True)
        return name

    return session.for_each(session.arguments, one)


def stop(session: Session) -> int:
    """End containers, all of them within one time-out."""
    seconds = _seconds(session)

    def one(name: str) -> str:
        session.container(name).stop(seconds)
        return name

    return session.for_each(session.arguments, _all_at_once(session.arguments, one))


def restart(session: Session) -> int:
    """Stop containers and start them again, in the background."""
    seconds = _seconds(session)
    session.prepare()

    def one(name: str) -> str:
        container = session.container(name)
        container.stop(seconds)
        container.start(detach=True)
        return name

    return session.for_each(session.arguments, _all_at_once(session.arguments, one))


def kill(session: Session) -> int:
    """Send a signal to containers."""
    signal = session.values.text("signal") or "KILL"

    def one(name: str) -> str:
        session.container(name).kill(signal)
        return name

    return session.for_each(session.arguments, one)


def wait(session: Session) -> int:
    """Wait for containers and print their exit codes."""

    def one(name: str) -> str:
        code = session.container(name).wait()
        return str(code if code >= 0 else 128 - code)

    return session.for_each(session.arguments, one)


def rm(session: Session) -> int:
    """Remove containers."""
    force = session.values.flag("force")

    def one(name: str) -> str:
        session.engine.remove(name, force=force)
        return name

    return session.for_each(session.arguments, one)


def _seconds(session: Session) -> float | None:
    text = session.values.text("time")
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise InvalidSpec("--time", text, "seconds, 0 or more") from None


def _all_at_once(names: list[str], action: Callable[[str], str]) -> Callable[[str], str]:
    """Begin ``action`` for every name now, and return what waits for one name's result."""
    outcomes: dict[str, str | Exception] = {}

    def carry_out(name: str) -> None:
        try:
            outcomes[name] = action(name)
        except Exception as err:  # noqa: BLE001 - raised again by whoever waits for it
            outcomes[name] = err

    threads = {name: threading.Thread(target=carry_out, args=(name,), daemon=True) for name in names}
    for thread in threads.values():
        thread.start()

    def result(name: str) -> str:
        threads[name].join()
        outcome = outcomes[name]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return result


COMMANDS = {
    "start": Command("CONTAINER...", start, least=1),
    "stop": Command("CONTAINER...", stop, (_STOP_SECONDS,), least=1),
    "restart": Command("CONTAINER...", restart, (_STOP_SECONDS,), least=1),
    "kill": Command(
        "CONTAINER...", kill, (Option("-s --signal", "its name or number, KILL by default", "SIGNAL"),), least=1
    ),
    "wait": Command("CONTAINER...", wait, least=1),
    "rm": Command(
        "CONTAINER...",
        rm,
        (
            Option("-f --force", "running ones too: they are killed"),
            Option("-v --volumes", "accepted: volumes without a name, which it would remove, do not exist here"),
        ),
        least=1,
    ),
}

"""Run one command in a container of its own, and wait for its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .completed import Completed, Usage
from .container import Container
from .errors import CommandNotExecutable, CommandNotFound, ContainerTimeout, InvalidSpec
from .process import PIPE

if TYPE_CHECKING:
    from .engine import Engine
    from .image import ImageLike
    from .workspace import Workspace


def run(
    image: ImageLike | Workspace,
    command: Any = None,
    *,
    input: str | bytes | None = None,
    text: bool = True,
    check: bool = False,
    timeout: float | None = None,
    engine: Engine | None = None,
    **options: Any,
) -> Completed:
    """Run ``command`` in a fresh container on ``image`` and return how it ended; nothing is left of it.

    ``input`` is sent to its standard input, which is empty otherwise. With ``text`` (the default)
    output is decoded as UTF-8, else it is bytes. ``timeout`` is in seconds: when it passes, every
    process of the container is killed and ContainerTimeout raised, which carries the output so far.
    ``check`` raises ContainerFailed for a return code other than 0. ``options`` are those of
    :class:`~tinydocker.Container`.

    A command that does not exist is a Completed with return code 127, and 126 where it cannot be
    executed, with a message that names it in ``stderr``.
    """
    container = Container(image, command, engine=engine, **options)
    if container.spec.detach:
        raise InvalidSpec("detach", True, "False in run(), which waits for the end; start a Container instead")
    try:
        process = container._start_process(PIPE if input is not None else None, PIPE, PIPE, text, one_shot=True)
        return process.complete(input, timeout, check)
    except (CommandNotFound, CommandNotExecutable) as err:
        return _not_run(container, err, text=text, check=check)
    except ContainerTimeout as err:
        err.what = container
        raise
    finally:
        container._let_go()


def _not_run(
    container: Container, err: CommandNotFound | CommandNotExecutable, *, text: bool, check: bool
) -> Completed:
    message = f"{err}\n"
    nothing, said = ("", message) if text else (b"", message.encode())
    command = list(container.spec.command or (err.path,))
    completed = Completed(command, err.returncode, nothing, said, 0.0, Usage(0.0))
    if check:
        completed.check_returncode()
    return completed

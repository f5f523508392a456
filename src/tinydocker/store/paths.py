"""Where an engine keeps what it remembers.

::

    root/                            run_root/
    ├── containers/<id>/             └── (sockets, which live as long as a boot)
    ├── names/<name> -> <id>
    ├── images/<id>/
    ├── layers/<digest>/
    ├── archives/<file's identity> -> the image made from that file
    ├── workspaces/<id>/
    ├── volumes/<name>/
    ├── scaffold/                    mount points for images that lack them
    ├── ready/                       writable layers made ahead of need
    └── trash/                       what is on its way out
"""

from __future__ import annotations

import os

DIRECTORIES = (
    "containers",
    "names",
    "images",
    "layers",
    "archives",
    "workspaces",
    "volumes",
    "scaffold",
    "ready",
    "trash",
)


class Paths:
    """The directories of one engine; a plain value, as the supervisor imports no attrs."""

    __slots__ = ("root", "run_root", *DIRECTORIES)

    root: str
    run_root: str
    containers: str
    names: str
    images: str
    layers: str
    archives: str
    workspaces: str
    volumes: str
    scaffold: str
    ready: str
    trash: str

    def __init__(self, root: str | os.PathLike[str], run_root: str | os.PathLike[str]) -> None:
        fix = object.__setattr__
        fix(self, "root", os.path.abspath(os.fspath(root)))
        fix(self, "run_root", os.path.abspath(os.fspath(run_root)))
        for name in DIRECTORIES:
            fix(self, name, os.path.join(self.root, name))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be set")

    def __reduce__(self) -> tuple[type[Paths], tuple[str, str]]:
        return (Paths, (self.root, self.run_root))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Paths):
            return NotImplemented
        return (self.root, self.run_root) == (other.root, other.run_root)

    def __hash__(self) -> int:
        return hash((self.root, self.run_root))

    def __repr__(self) -> str:
        return f"Paths({self.root!r}, {self.run_root!r})"

    def ensure(self) -> Paths:
        """Create what is missing, closed to other users, and return the paths.

        The two roots are closed even where the caller's umask or an earlier hand left them
        open: images hold setuid programs that ordinary users must not reach.
        """
        for root in (self.root, self.run_root):
            os.makedirs(root, 0o700, exist_ok=True)
            if os.stat(root).st_mode & 0o077:
                os.chmod(root, 0o700)
        for name in DIRECTORIES:
            try:
                os.mkdir(getattr(self, name), 0o700)
            except FileExistsError:
                continue
        return self

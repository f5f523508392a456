"""The subcommands about what is stored: images, rmi, prune."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from ..errors import TinydockerError
from . import listing
from .parser import Command, Option
from .session import Session

if TYPE_CHECKING:
    from ..image import Image

_COLUMNS = ("IMAGE_ID", "TAGS", "SOURCE", "CREATED", "SIZE")
_SHORT_ID = 12


def images(session: Session) -> int:
    """List the images in the store."""
    values = session.values
    whole = values.flag("no_trunc")
    facts = [fact for fact in map(_facts, session.engine.images()) if fact is not None]
    if values.flag("quiet"):
        for fact in facts:
            print(_id(fact, whole=whole))
    elif values.flag("json"):
        listing.print_json(facts)
    else:
        listing.print_table(_COLUMNS, [_row(fact, whole=whole) for fact in facts])
    return 0


def _facts(image: Image) -> dict[str, Any] | None:
    try:
        return {
            "id": image.id,
            "tags": image.tags,
            "sources": image.sources,
            "created": image.created,
            "size": image.size,
            "layers": image.layers,
        }
    except TinydockerError:  # it has just been removed
        return None


def _id(fact: dict[str, Any], *, whole: bool) -> str:
    found = str(fact["id"])
    return found if whole else found.removeprefix("sha256:")[:_SHORT_ID]


def _row(fact: dict[str, Any], *, whole: bool) -> tuple[str, ...]:
    sources = [source if whole else os.path.basename(source) or source for source in fact["sources"]]
    shown = sources if whole else list(dict.fromkeys(sources))
    return (
        _id(fact, whole=whole),
        ", ".join(fact["tags"]) or "-",
        ", ".join(shown) or "-",
        listing.ago(fact["created"]),
        listing.size(fact["size"]),
    )


def rmi(session: Session) -> int:
    """Remove images from the store."""

    def one(name: str) -> str:
        session.engine.image(name).remove()
        return name

    return session.for_each(session.arguments, one)


def prune(session: Session) -> int:
    """Remove ended containers and images that nothing uses, and list them."""
    values = session.values
    asking = not values.flag("force") and not values.flag("dry_run") and os.isatty(0) and os.isatty(1)
    if asking and not _agreed(session.engine.prune(dry_run=True)):
        return 0
    removed = session.engine.prune(dry_run=values.flag("dry_run"))
    if values.flag("json"):
        listing.print_json(removed)
    elif not asking:
        for thing in removed:
            print(thing)
    return 0


def _agreed(things: list[str]) -> bool:
    for thing in things:
        print(thing)
    if not things:
        return False
    print("Remove all of this? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


COMMANDS = {
    "images": Command(
        "",
        images,
        (
            Option("-q --quiet", "print ids only"),
            Option("--no-trunc", "print ids and paths in full"),
            listing.JSON,
        ),
        most=0,
    ),
    "rmi": Command(
        "IMAGE...", rmi, least=1, notes="IMAGE is an id, the beginning of one, a tag, or an archive's path."
    ),
    "prune": Command(
        "",
        prune,
        (
            Option("-n --dry-run", "only list what would be removed"),
            Option("-f --force", "do not ask, which happens on a terminal only"),
            listing.JSON,
        ),
        most=0,
    ),
}

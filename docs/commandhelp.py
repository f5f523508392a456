"""A directive that shows a subcommand's help text, taken from the program when the pages are built."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from tinydocker.cli import commands


class CommandHelp(SphinxDirective):
    """``command-help`` with a subcommand's name, or without for the program's own text."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0] if self.arguments else ""
        text = commands.command_help(name, commands.load(name)) if name else commands.general_help()
        return [nodes.literal_block(text, text, language="text")]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}

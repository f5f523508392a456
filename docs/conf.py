"""Sphinx configuration; ``tox run -e docs`` builds with warnings as errors and needs no network."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # the directive of commandhelp.py

project = "tinydocker"
author = "the tinydocker authors"
copyright = "the tinydocker authors, Apache-2.0"
release = importlib.metadata.version("tinydocker")

extensions = ["myst_parser", "sphinx.ext.autodoc", "commandhelp"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}

html_theme = "furo"
html_title = f"tinydocker {release}"
html_copy_source = False
html_show_sphinx = False

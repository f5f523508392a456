"""The runner of documentation pages sees what a reader sees, and every page is on the way of one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import docpages

DOCS = Path(__file__).parents[2] / "docs"
PAGE = """\
Before.

```python
print("a")
```

```text
a
```

```sh
not run
```

<!-- not run: it waits for somebody -->
```console
# tinydocker attach
```

- in a list:

  ```console
  $ echo one \\
    two
  one two
  # true
  ```
"""


def test_blocks_are_found_with_what_they_print() -> None:
    first, second = docpages.blocks(PAGE)
    assert (first.language, first.line, first.text, first.expected) == ("python", 4, 'print("a")\n', "a\n")
    assert docpages.commands(second.text) == [("echo one   two", "one two\n"), ("true", "")]


def test_a_comment_without_a_reason_leaves_nothing_out() -> None:
    assert len(docpages.blocks("<!-- not run: -->\n```python\npass\n```\n")) == 1


def test_text_behind_other_words_is_not_what_a_block_prints() -> None:
    (block,) = docpages.blocks("```python\npass\n```\nwords\n```text\nx\n```\n")
    assert block.expected is None


@pytest.mark.parametrize(
    ("block", "wrong"),
    [
        ("```python\nprint(1)\n```\n```text\n1\n```\n", False),
        ("```python\nprint(1)\n```\n```text\n2\n```\n", True),
        ("```python\nprint('a b c')\n```\n```text\na ... c\n```\n", False),
        ("```python\nassert False\n```\n", True),
        ("```console\n# echo 1\n1\n```\n", False),
        ("```console\n# echo 1\n```\n", True),
        ("```python\nx = 1\n```\n\n```python\nassert x == 1\n```\n", False),
    ],
)
def test_a_page_that_is_wrong_is_found(block: str, wrong: bool, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(block)
    assert bool(docpages.run(page)) is wrong


def test_the_tutorial_and_every_how_to_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    for folder in ("tutorial", "how-to", "reference"):
        for path in (DOCS / folder).glob("*.md"):
            assert re.search(rf"^{folder}/{path.stem}$", index, re.MULTILINE), path.name

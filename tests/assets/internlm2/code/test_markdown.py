"""Documentation becomes markdown, and a repository one document whose code blocks hold."""

from __future__ import annotations

import json
import re

import pytest

from assets.internlm2.code.fence import fenced
from assets.internlm2.code.markdown import NotADocument, repository_markdown, to_markdown

RST = """\
=====
Title
=====

Some ``code`` in :func:`~json.loads` and a `link <https://a.b>`_::

    x = 1

    y = 2

Part
----

.. code-block:: python
   :linenos:

   def f():
       '''doc'''

After it.
"""


def test_rst() -> None:
    """Headings by the order of their underlines, literal blocks fenced, roles and links in markdown."""
    assert to_markdown(RST, "rst") == (
        "# Title\n\nSome `code` in `json.loads` and a [link](https://a.b):\n\n```\nx = 1\n\ny = 2\n```\n\n\n## Part\n\n"
        "```python\ndef f():\n    '''doc'''\n```\n\n\nAfter it.\n"
    )


def test_rst_leaves_underlined_code_alone() -> None:
    """A rule inside a code block is no heading."""
    assert "# " not in to_markdown("Text::\n\n    Name\n    ----\n", "rst")


def test_notebook() -> None:
    """Text as it is, code fenced in the notebook's language, outputs left out."""
    cells = [
        {"cell_type": "markdown", "source": ["# Hi\n", "there"]},
        {"cell_type": "code", "source": "x = 1", "outputs": [{"text": "secret"}]},
    ]
    assert to_markdown(json.dumps({"cells": cells}), "notebook") == "# Hi\nthere\n\n```python\nx = 1\n```\n"
    with pytest.raises(NotADocument):
        to_markdown('{"worksheets": []}', "notebook")


def test_html() -> None:
    """The main text of a page, without its scripts; a page without text is no document."""
    page = "<html><body><article><h1>Use</h1><p>" + "Call it with care. " * 20 + "</p><script>evil()</script></article>"
    found = to_markdown(page, "html")
    assert "Call it with care." in found
    assert "evil" not in found
    with pytest.raises(NotADocument):
        to_markdown("<html></html>", "html")


def test_a_fence_is_longer_than_those_inside() -> None:
    """Code that holds a fence does not end its block."""
    assert fenced("a\n````\nb", "md") == "`````md\na\n````\nb\n`````"
    document = repository_markdown(
        "r", [("a.py", "python", "code", "'''\n```\n'''\n"), ("b.md", "markdown", "document", "hi")]
    )
    assert re.findall(r"^## (.*)$", document, re.MULTILINE) == ["a.py", "b.md"]
    assert document.startswith("# r\n\n## a.py\n\n````python\n")

"""Documentation to markdown, and a repository's files as one long markdown document (paper, §3.1.2)."""

from __future__ import annotations

import json
from collections.abc import Iterable

from assets.internlm2.code.fence import fenced
from assets.internlm2.code.rst import rst_to_markdown


class NotADocument(ValueError):
    """A file of documentation that does not have the form its name promises."""


def to_markdown(text: str, language: str) -> str:
    """Markdown of a document in `language` (of `languages.DOCUMENTS`). Raises NotADocument."""
    if language == "rst":
        return rst_to_markdown(text)
    if language == "html":
        return html_to_markdown(text)
    return notebook_to_markdown(text) if language == "notebook" else text


def html_to_markdown(text: str) -> str:
    """The main text of a page. Raises NotADocument where there is none."""
    import trafilatura

    found = trafilatura.extract(text, output_format="markdown", include_tables=True, include_formatting=True)
    if not found:
        raise NotADocument("no main text in the page")
    return f"{found}\n"


def notebook_to_markdown(text: str) -> str:
    """The cells of a Jupyter notebook: text as it is, code fenced, no outputs. Raises NotADocument."""
    try:
        notebook = json.loads(text)
        language = notebook.get("metadata", {}).get("language_info", {}).get("name", "python")
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotADocument(f"no notebook of format 4: {error!r}") from error
    return "\n\n".join(fenced(source, language) if kind == "code" else source for kind, source in cells) + "\n"


def repository_markdown(repo: str, files: Iterable[tuple[str, str, str, str]]) -> str:
    """One document of a repository: each of the (path, language, kind, text) under its path, code fenced."""
    parts = [f"# {repo}"]
    for path, language, kind, text in files:
        parts.append(f"## {path}\n\n{fenced(text.rstrip(), language) if kind == 'code' else text.strip()}")
    return "\n\n".join(parts) + "\n"

"""What a file is, by its name: the language of code, or the format of documentation."""

from __future__ import annotations

from pathlib import PurePosixPath

from assets.internlm2.code.schema import Kind

CODE = {
    ".c": "c", ".h": "c", ".cc": "cpp", ".cpp": "cpp", ".cxx": "cpp", ".hh": "cpp", ".hpp": "cpp", ".hxx": "cpp",
    ".cs": "csharp", ".css": "css", ".cu": "cuda", ".dart": "dart", ".el": "elisp", ".erl": "erlang", ".ex": "elixir",
    ".f90": "fortran", ".go": "go", ".hs": "haskell", ".java": "java", ".jl": "julia", ".js": "javascript",
    ".jsx": "javascript", ".kt": "kotlin", ".lua": "lua", ".m": "matlab", ".mjs": "javascript", ".ml": "ocaml",
    ".php": "php", ".pl": "perl", ".py": "python", ".pyi": "python", ".pyx": "python", ".r": "r", ".rb": "ruby",
    ".rs": "rust", ".scala": "scala", ".sh": "shell", ".sql": "sql", ".swift": "swift", ".ts": "typescript",
    ".tsx": "typescript", ".zig": "zig",
}  # fmt: skip
DOCUMENTS = {
    ".md": "markdown", ".markdown": "markdown", ".rst": "rst", ".txt": "text", ".html": "html", ".htm": "html",
    ".ipynb": "notebook",
}  # fmt: skip
BUILD_FILES = {"dockerfile": "dockerfile", "makefile": "make"}


def classify(path: str) -> tuple[str, Kind] | None:
    """The language and kind of a file; None for what is neither code nor documentation."""
    name = PurePosixPath(path).name.lower()
    if name in BUILD_FILES:
        return BUILD_FILES[name], "code"
    suffix = PurePosixPath(name).suffix
    if suffix in CODE:
        return CODE[suffix], "code"
    if suffix in DOCUMENTS:
        return DOCUMENTS[suffix], "document"
    return ("text", "document") if name in {"readme", "license", "copying", "authors"} else None

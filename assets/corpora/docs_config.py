"""Configuration of the installed documentation."""

from __future__ import annotations

import dagster as dg
from pydantic import Field


class InstalledDocsConfig(dg.Config):
    """`corpora/installed_docs`. What is read is our choice: the texts that every machine with Athanor has."""

    packages: list[str] = Field(
        ["numpy", "scipy", "scikit-learn", "sympy", "pandas", "networkx", "matplotlib", "SQLAlchemy"],
        description="Distributions whose docstrings are read, besides the standard library; none named: all installed.",
    )
    man_folder: str = Field("/usr/share/man", description="Folder of man pages; empty: none.")
    man_sections: list[str] = Field(
        ["5", "7", "8"],
        description="Sections of the man pages; that of commands is left out: generated pages of one tool may fill it.",
    )
    doc_folder: str = Field("/usr/share/doc", description="Folder of the system's documentation; empty: none.")
    max_file_bytes: int = Field(500_000, gt=0, description="A longer man page or text is no documentation. Bytes.")

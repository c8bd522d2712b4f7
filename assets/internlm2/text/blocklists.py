"""Lists of blocked domains and words: text files with one entry to a line, empty lines and `#` comments left out."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from assets.corpora.files import unreadable
from assets.corpora.formats import decompressed, format_of
from assets.corpora.listing import FileDigest, file_digest, list_files, reachable


@dataclass(frozen=True)
class Blocklists:
    """Blocked domains (lower case; of a long list those that can occur) and blocked words or phrases."""

    domains: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()


def entries(path: str) -> Iterator[str]:
    """The entries of a list, in lower case; the path is a file or folder, local or an fsspec URL, plain or compressed.

    Raises InputError when nothing is there or a file cannot be read.
    """
    for file in list_files(path).files:
        layout = format_of(file.relative)
        with reachable(file.display), decompressed(file.open(), layout.codec if layout else None) as lines:
            try:
                for line in lines:
                    entry = line.decode("utf-8").strip().lower()
                    if entry and not entry.startswith("#"):
                        yield entry
            except (OSError, UnicodeDecodeError) as error:
                raise unreadable(file.display, error) from error


def digests(path: str) -> list[FileDigest]:
    """What identifies the content of a list."""
    return [file_digest(file) for file in list_files(path).files]


def read_blocklists(domains: str, words: str, hosts: Collection[str]) -> Blocklists:
    """Both lists; of the domains only those of `hosts` (and what they are below), so that millions need no memory."""
    possible = {parent for host in hosts for parent in parents(host)}
    return Blocklists(
        frozenset(entry for entry in entries(domains) if entry in possible), tuple(sorted(set(entries(words))))
    )


def parents(host: str) -> list[str]:
    """A host and the domains above it: a.b.c, b.c, c."""
    labels = host.split(".")
    return [".".join(labels[start:]) for start in range(len(labels))]

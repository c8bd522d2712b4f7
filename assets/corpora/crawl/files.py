"""The files of a crawl: which there are, and what identifies the content of each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TypeVar
from urllib.parse import quote, unquote

import fsspec
from fsspec.implementations.local import LocalFileSystem

from assets.core.errors import InputError
from assets.core.lake import Dataset
from assets.corpora.crawl.config import CrawlConfig
from assets.corpora.crawl.readers import KNOWN, layout_of
from assets.corpora.listing import FileDigest, InputFile, file_digest, reachable

File = TypeVar("File")
# What file systems take as a name is 255 bytes.
KEY_CHARACTERS = 160


def crawl_files(config: CrawlConfig, world: Dataset | None = None) -> dict[str, str]:
    """Path or URL of each crawl file by partition key, sorted: those in `config.folder`, else those of `world`, the
    dataset of a generated crawl.

    Hidden files and those of other suffixes are left out. Raises InputError when the folder cannot be read or holds no
    crawl file.
    """
    if config.folder:
        return {key: file.display for key, file in _in_folder(config.folder).items()}
    if world is None:
        return {}
    root = world.store.url(world.location)
    return {key: f"{root}/{name}" for key, name in _in_world(world).items()}


def crawl_file(config: CrawlConfig, world: Dataset, partition: str) -> InputFile:
    """The file of one partition. Raises InputError where there is none of that key."""
    if config.folder:
        return _of_partition(config.folder, partition)
    name = _one(_in_world(world), world.manifest.key, partition)
    path = str(world.file(name))
    return InputFile(LocalFileSystem(), path, name, path)


def inventory(config: CrawlConfig, partition: str) -> Mapping[str, FileDigest]:
    """What identifies the content of a partition's own file, so that a change of another one does not count; {} for
    the generated crawl, whose dataset is an input. Raises InputError as `crawl_file` does."""
    if not config.folder:
        return {}
    return {"file": file_digest(_of_partition(config.folder, partition))}


def _of_partition(folder: str, partition: str) -> InputFile:
    """The file that a key leads to; the folder is listed only for a long key, so that the work of many partitions does
    not grow with the square of their number."""
    relative = unquote(partition, errors="surrogatepass")
    if partition_key(relative) == partition and _is_crawl_file(relative):
        with reachable(folder):
            fs, root = fsspec.core.url_to_fs(folder)
            single = PurePosixPath(root).name == relative and fs.isfile(root)
            path = root if single else f"{root}/{relative}"
            if fs.isfile(path):
                return _input_file(fs, path, relative)
    return _one(_in_folder(folder), folder, partition)


def _one(files: Mapping[str, File], where: str, partition: str) -> File:
    if partition not in files:
        raise InputError(
            f"{where}: has no crawl file of the partition {partition!r}",
            "take the partition out of crawl_files, or put its file back",
        )
    return files[partition]


def partition_key(relative: str) -> str:
    """A partition's key for a path below the folder: the path in the quoting of URLs, which leads back to it; where
    that is long, its end and a digest that keeps keys apart."""
    # Dagster takes no key with three dots in a row.
    quoted = quote(relative, safe="", errors="surrogatepass").replace("...", "%2E%2E%2E")
    if len(quoted) <= KEY_CHARACTERS:
        return quoted
    digest = hashlib.sha256(relative.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{quoted[-KEY_CHARACTERS + 9 :]}-{digest}"


def _in_folder(folder: str) -> dict[str, InputFile]:
    with reachable(folder):
        fs, root = fsspec.core.url_to_fs(folder)
        # Raises where there is nothing; `find` would find no file.
        single = fs.info(root)["type"] == "file"
        found = [root] if single else fs.find(root)
    files = {}
    for path in found:
        relative = PurePosixPath(path).name if single else path[len(root) :].lstrip("/")
        if _is_crawl_file(relative):
            files[partition_key(relative)] = _input_file(fs, path, relative)
    if not files:
        raise InputError(f"{folder}: holds no crawl file ({len(found)} files seen)", f"give one of {KNOWN}")
    return dict(sorted(files.items()))


def _is_crawl_file(relative: str) -> bool:
    return layout_of(relative) is not None and not any(part.startswith(".") for part in PurePosixPath(relative).parts)


def _input_file(fs: fsspec.AbstractFileSystem, path: str, relative: str) -> InputFile:
    return InputFile(fs, path, relative, path if isinstance(fs, LocalFileSystem) else str(fs.unstrip_protocol(path)))


def _in_world(world: Dataset) -> dict[str, str]:
    names = [file.name for file in world.manifest.files if layout_of(file.name) == "warc"]
    return {partition_key(name): name for name in sorted(names)}

"""The files behind a path: a file, a folder, a glob or any fsspec URL; and what identifies their content."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, NamedTuple, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from assets.core.errors import InputError
from assets.corpora.formats import FORMATS, format_of

# What stores report about a file's content, the surest first (S3, GCS, Azure, HTTP, then any with a clock).
CONTENT_MARKS = ("ETag", "etag", "md5Hash", "content_md5", "Content-MD5", "checksum", "crc32c")
TIME_MARKS = ("LastModified", "last_modified", "Last-Modified", "updated", "mtime", "created")


class FileDigest(NamedTuple):
    """What identifies the content of one input file."""

    path: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file of the input: `relative` is its path below the root that was given, `display` one to show."""

    fs: fsspec.AbstractFileSystem
    path: str
    relative: str
    display: str

    @property
    def package(self) -> str:
        """The first folder below the root, or the file's name without suffixes."""
        first, *rest = PurePosixPath(self.relative).parts
        return first if rest else first.split(".")[0] or first

    def open(self) -> BinaryIO:
        return cast(BinaryIO, self.fs.open(self.path, "rb"))


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of an input, sorted. `saved_dataset`: a folder that `datasets.save_to_disk` wrote."""

    root: str
    files: list[InputFile]
    saved_dataset: bool


@contextmanager
def reachable(path: str) -> Iterator[None]:
    """Turns what a file system raises into an InputError that names the path."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: not there", "check the path; a relative one starts at the working folder") from error
    except PermissionError as error:
        raise InputError(f"{path}: may not be read ({error})", "give the process the right to read it") from error
    except ImportError as error:
        raise InputError(f"{path}: no driver for this kind of URL ({error})", "install the package it names") from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read ({error})", "check the URL and that its store can be reached"
        ) from error


def list_files(path: str) -> Listing:
    """The files behind `path`, hidden ones left out.

    Raises InputError when there is nothing, when a single file is empty or of a suffix that cannot be read,
    and when a folder or glob holds no file that can be read.
    """
    with reachable(path):
        fs, root = fsspec.core.url_to_fs(path)
        if glob.has_magic(path) and not fs.exists(root):
            found = [p for p, info in fs.glob(root, detail=True).items() if info["type"] == "file"]
            base = _fixed_part(root)
            return Listing(base, _folder(path, fs, base, found), saved_dataset=False)
        info = fs.info(root)
        if info["type"] == "directory":
            # A saved dataset's own .json files are what makes its folder count as one that can be read.
            saved = fs.exists(f"{root}/state.json") or fs.exists(f"{root}/dataset_dict.json")
            return Listing(root, _folder(path, fs, root, fs.find(root)), saved)
    name = _name(root)
    if format_of(name) is None:
        raise InputError(f"{path}: this suffix cannot be read", f"give one of {FORMATS}")
    if info["size"] == 0:
        raise InputError(f"{path}: is empty", "give a file with at least one row")
    return Listing(root, [InputFile(fs, root, _printable(name), _printable(path))], saved_dataset=False)


def file_digest(file: InputFile) -> FileDigest:
    """Identifies a file's content: sha256 for a local file, else what its store reports, else sha256.

    A web server without ETags reports the second of the last change: two versions of equal size within one
    second look alike.
    """
    with reachable(file.display):
        info = file.fs.info(file.path)
        if not isinstance(file.fs, LocalFileSystem):
            mark = _store_mark(info)
            if mark:
                return FileDigest(file.relative, int(info["size"] or 0), mark)
        with file.open() as stream:
            # Read through our own loop: hashlib.file_digest wants a buffer interface that remote files lack.
            digest = hashlib.sha256()
            while block := stream.read(1 << 20):
                digest.update(block)
    return FileDigest(file.relative, int(info["size"] or 0), f"sha256:{digest.hexdigest()}")


def change_mark(path: str) -> str:
    """What tells that a file changed, without reading it: its size, and what its store reports or its time."""
    with reachable(path):
        fs, root = fsspec.core.url_to_fs(path)
        info = fs.info(root)
    return f"{info['size']} {_store_mark(info)}"


def _store_mark(info: dict[str, Any]) -> str | None:
    for mark in (*CONTENT_MARKS, *TIME_MARKS):
        if info.get(mark):
            return f"{mark}:{info[mark]}"
    return None


def _folder(path: str, fs: fsspec.AbstractFileSystem, root: str, found: list[str]) -> list[InputFile]:
    files = [
        InputFile(fs, p, _printable(p[len(root) :].lstrip("/")), _printable(_address(fs, p))) for p in sorted(found)
    ]
    visible = [file for file in files if not _is_hidden(PurePosixPath(file.relative))]
    if not any(format_of(file.relative) for file in visible):
        raise InputError(f"{path}: holds no file that can be read ({len(files)} files seen)", f"give one of {FORMATS}")
    return visible


def _is_hidden(relative: PurePosixPath) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in relative.parts)


def _address(fs: fsspec.AbstractFileSystem, path: str) -> str:
    return path if isinstance(fs, LocalFileSystem) else str(fs.unstrip_protocol(path))


def _printable(path: str) -> str:
    """A path as text that can be stored: a file name need not be UTF-8."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _fixed_part(pattern: str) -> str:
    """The folder below which a glob searches."""
    parts = pattern.split("/")
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return "/".join(parts[:fixed])


def _name(path: str) -> str:
    """The file name; of a web address without its query, which may carry a signature."""
    return PurePosixPath(path.split("?")[0] if "://" in path else path).name

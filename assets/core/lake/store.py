"""Where the lake's bytes lie: a local folder, or any fsspec URL behind the same few operations."""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from filelock import FileLock

MANIFEST = "manifest.json"
TRASH = ".trash-"


class Store(Protocol):
    """Relative names with `/`; a name is either absent or whole. Versions are written in `staging`, then adopted."""

    staging: Path

    def read(self, name: str) -> bytes | None: ...
    def write(self, name: str, content: bytes) -> None: ...
    def adopt(self, folder: Path, location: str) -> None: ...
    def local(self, location: str, name: str, size: int | None = None) -> Path: ...
    def sizes(self, location: str) -> dict[str, int]: ...
    def url(self, location: str) -> str: ...
    def children(self, location: str) -> list[str]: ...
    def remove(self, location: str) -> None: ...
    def lock(self, name: str) -> AbstractContextManager[object]: ...


def fsync_folder(folder: Path) -> None:
    """Make renames inside a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


class LocalStore:
    """A folder on this machine. Renames are atomic; locks are the operating system's and die with their process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.staging = root / ".staging"
        root.mkdir(parents=True, exist_ok=True)

    def read(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        fsync_folder(target.parent)

    def adopt(self, folder: Path, location: str) -> None:
        """Move a finished folder in; one that is there already (a damaged version) gives way."""
        target = self.root / location
        target.parent.mkdir(parents=True, exist_ok=True)
        for inner in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            fsync_folder(inner)
        self.remove(location)
        folder.rename(target)
        fsync_folder(target.parent)

    def local(self, location: str, name: str, size: int | None = None) -> Path:
        return self.root / location / name

    def sizes(self, location: str) -> dict[str, int]:
        folder = self.root / location
        return {str(path.relative_to(folder)): path.stat().st_size for path in _files(folder)}

    def url(self, location: str) -> str:
        return str(self.root / location)

    def children(self, location: str) -> list[str]:
        folder = self.root / location
        return sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []

    def remove(self, location: str) -> None:
        """Rename a folder away, then delete it: a kill in between must not leave half of it under its name."""
        self.staging.mkdir(parents=True, exist_ok=True)
        try:
            (self.root / location).rename(self.staging / f"{TRASH}{uuid.uuid4().hex}")
        except FileNotFoundError:
            return
        for removed in self.staging.glob(f"{TRASH}*"):
            shutil.rmtree(removed, ignore_errors=True)

    def lock(self, name: str) -> AbstractContextManager[object]:
        return _lock(self.root / ".locks", name)


class RemoteStore:
    """Any fsspec URL. Uploads put the manifest last; downloads are kept in `cache`.

    Object stores offer no lock: processes that share `cache` wait for each other, but two machines that compute the
    same dataset at once both do the work, and publish the same content.
    """

    def __init__(self, url: str, cache: Path) -> None:
        import fsspec

        self.filesystem, self.root = fsspec.core.url_to_fs(url)
        self.cache = cache
        self.staging = cache / "staging"

    def _at(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}"

    def read(self, name: str) -> bytes | None:
        try:
            return bytes(self.filesystem.cat_file(self._at(name)))
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        self.filesystem.makedirs(self._at(name).rsplit("/", 1)[0], exist_ok=True)
        self.filesystem.pipe_file(self._at(name), content)

    def adopt(self, folder: Path, location: str) -> None:
        """Upload a finished folder, the manifest last; one that is there already (a damaged version) gives way."""
        self.remove(location)
        names = [str(path.relative_to(folder)) for path in _files(folder)]
        for name in sorted(names, key=lambda name: name == MANIFEST):
            self.filesystem.makedirs(self._at(f"{location}/{name}").rsplit("/", 1)[0], exist_ok=True)
            self.filesystem.put_file(str(folder / name), self._at(f"{location}/{name}"))
        shutil.rmtree(folder)

    def local(self, location: str, name: str, size: int | None = None) -> Path:
        """A downloaded copy; one of another size is of a version that was since built anew."""
        target = self.cache / location / name
        if not target.exists() or size not in (None, target.stat().st_size):
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
            try:
                self.filesystem.get_file(self._at(f"{location}/{name}"), str(temporary))
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
        return target

    def sizes(self, location: str) -> dict[str, int]:
        self.filesystem.invalidate_cache()
        try:
            found = self.filesystem.find(self._at(location), detail=True)
        except FileNotFoundError:
            return {}
        start = len(self._at(location).lstrip("/")) + 1
        return {name.lstrip("/")[start:]: int(entry["size"]) for name, entry in found.items()}

    def url(self, location: str) -> str:
        return str(self.filesystem.unstrip_protocol(self._at(location)))

    def children(self, location: str) -> list[str]:
        self.filesystem.invalidate_cache()
        try:
            entries = self.filesystem.ls(self._at(location), detail=True)
        except FileNotFoundError:
            return []
        return sorted(entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in entries if entry["type"] == "directory")

    def remove(self, location: str) -> None:
        """The manifest first: a version that is removed in part is not there."""
        for name in (f"{location}/{MANIFEST}", location):
            if self.filesystem.exists(self._at(name)):
                self.filesystem.rm(self._at(name), recursive=True)
        shutil.rmtree(self.cache / location, ignore_errors=True)

    def lock(self, name: str) -> AbstractContextManager[object]:
        return _lock(self.cache / ".locks", name)


def _lock(folder: Path, name: str) -> FileLock:
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{name.replace('/', '~')}.lock")


def open_store(url: str, cache: Path) -> Store:
    """The store of a path or an fsspec URL."""
    if "://" in url and not url.startswith(("file://", "local://")):
        return RemoteStore(url, cache)
    return LocalStore(Path(url.removeprefix("file://").removeprefix("local://")).expanduser().resolve())

"""Where the lake's bytes lie: a local folder, or any fsspec URL behind the same few operations."""

from __future__ import annotations

import os
import shutil
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol

from filelock import FileLock


class Store(Protocol):
    """Relative names with `/`; a name is either absent or whole. Versions are written in `staging`, then adopted."""

    staging: Path

    def read(self, name: str) -> bytes | None: ...
    def write(self, name: str, content: bytes) -> None: ...
    def adopt(self, folder: Path, location: str) -> None: ...
    def local(self, location: str, name: str) -> Path: ...
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
        with temporary.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(target)
        fsync_folder(target.parent)

    def adopt(self, folder: Path, location: str) -> None:
        """Move a finished folder in; one that is there already (a torn or damaged version) gives way."""
        target = self.root / location
        target.parent.mkdir(parents=True, exist_ok=True)
        fsync_folder(folder)
        if target.exists():
            shutil.rmtree(target)
        folder.rename(target)
        fsync_folder(target.parent)

    def local(self, location: str, name: str) -> Path:
        return self.root / location / name

    def children(self, location: str) -> list[str]:
        folder = self.root / location
        return sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []

    def remove(self, location: str) -> None:
        shutil.rmtree(self.root / location, ignore_errors=True)

    def lock(self, name: str) -> AbstractContextManager[object]:
        folder = self.root / ".locks"
        folder.mkdir(exist_ok=True)
        return FileLock(folder / f"{name.replace('/', '~')}.lock")


class RemoteStore:
    """Any fsspec URL. Uploads put the manifest last; downloads are kept in `cache`, a version never changes.

    Object stores offer no lock: two runs that compute the same dataset at once both do the work, and publish the
    same content.
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
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        for name in sorted(names, key=lambda name: name == "manifest.json"):
            self.filesystem.makedirs(self._at(f"{location}/{name}").rsplit("/", 1)[0], exist_ok=True)
            self.filesystem.put_file(str(folder / name), self._at(f"{location}/{name}"))
        shutil.rmtree(folder)

    def local(self, location: str, name: str) -> Path:
        target = self.cache / location / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
            self.filesystem.get_file(self._at(f"{location}/{name}"), str(temporary))
            temporary.replace(target)
        return target

    def children(self, location: str) -> list[str]:
        self.filesystem.invalidate_cache()
        try:
            entries = self.filesystem.ls(self._at(location), detail=True)
        except FileNotFoundError:
            return []
        return sorted(entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in entries if entry["type"] == "directory")

    def remove(self, location: str) -> None:
        self.filesystem.rm(self._at(location), recursive=True)
        shutil.rmtree(self.cache / location, ignore_errors=True)

    def lock(self, name: str) -> AbstractContextManager[object]:
        return nullcontext()


def open_store(url: str, cache: Path) -> Store:
    """The store of a path or an fsspec URL."""
    if "://" in url and not url.startswith(("file://", "local://")):
        return RemoteStore(url, cache)
    return LocalStore(Path(url.removeprefix("file://").removeprefix("local://")).expanduser().resolve())

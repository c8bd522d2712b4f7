"""The lake: versions of datasets, and for each dataset which version is the current one.

    <root>/<key>/@<partition>/current.json            names the current version
    <root>/<key>/@<partition>/<fingerprint>/          one version: shards, files, manifest.json
    <root>/.staging/                                  versions being written

A version is written elsewhere, flushed to the disk and moved in whole; then `current.json` is replaced. A reader sees
all of the old version or all of the new one.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from assets.core.errors import AthanorError
from assets.core.lake.dataset import Dataset
from assets.core.lake.manifest import Kind, Manifest
from assets.core.lake.store import MANIFEST, open_store
from assets.core.lake.writer import DatasetWriter, stored_file
from assets.core.progress import LOGGER

KEPT_VERSIONS = 3
POINTER = "current.json"


class Lake:
    """Published datasets under one root, a local path or an fsspec URL."""

    def __init__(self, root: str, work: Path) -> None:
        self.store = open_store(root, cache=work / "cache")
        self.work = work

    @staticmethod
    def place(key: str, partition: str = "") -> str:
        return f"{key}/@{partition}"

    def version(self, key: str, partition: str, fingerprint: str) -> Dataset | None:
        """The version with this fingerprint; without a manifest that can be read it is not there."""
        location = f"{self.place(key, partition)}/{fingerprint[:16]}"
        manifest = self._manifest(location)
        if manifest is None or manifest.fingerprint != fingerprint:
            return None
        return Dataset(manifest, self.store, location)

    def _manifest(self, location: str) -> Manifest | None:
        content = self.store.read(f"{location}/{MANIFEST}")
        if content is None:
            return None
        try:
            return Manifest.model_validate_json(content)
        except ValidationError:
            LOGGER.warning("%s/%s cannot be read: the version is built anew when it is needed", location, MANIFEST)
            return None

    def current(self, key: str, partition: str = "") -> Dataset | None:
        """The current version of a dataset, or None where nothing was published."""
        fingerprint = self._pointed(self.place(key, partition))
        return self.version(key, partition, fingerprint) if fingerprint else None

    def _pointed(self, place: str) -> str | None:
        """The fingerprint that is the current one of a place."""
        pointer = self.store.read(f"{place}/{POINTER}")
        try:
            return str(json.loads(pointer)["fingerprint"]) if pointer else None
        except (ValueError, KeyError, TypeError):
            LOGGER.warning("%s/%s cannot be read: it is written anew by the next run", place, POINTER)
            return None

    def get(self, key: str, partition: str = "") -> Dataset:
        """The current version; an error with the remedy where there is none."""
        dataset = self.current(key, partition)
        if dataset is None:
            at = f" for partition {partition!r}" if partition else ""
            raise AthanorError(f"{key} was not built yet{at}", f"materialize {key} first")
        return dataset

    def partitions(self, key: str) -> dict[str, Dataset]:
        """All published partitions of a dataset."""
        names = [name.removeprefix("@") for name in self.store.children(key) if name.startswith("@")]
        found = {name: self.current(key, name) for name in names}
        return {name: dataset for name, dataset in found.items() if dataset is not None}

    def datasets(self) -> Iterator[Dataset]:
        """Every current dataset and checkpoint, sorted by key and partition."""

        def walk(prefix: str) -> Iterator[str]:
            for name in self.store.children(prefix):
                if name.startswith("@"):
                    yield prefix
                    return
                if not name.startswith("."):
                    yield from walk(f"{prefix}/{name}" if prefix else name)

        for key in walk(""):
            yield from self.partitions(key).values()

    @contextmanager
    def hold(self, key: str, partition: str = "") -> Iterator[None]:
        """Only one process at a time computes a dataset; a second one waits and then finds it published."""
        with self.store.lock(self.place(key, partition)):
            yield

    def point(self, dataset: Dataset) -> None:
        """Make a version the current one, unless one of its checks failed, and drop its work in progress."""
        manifest = dataset.manifest
        shutil.rmtree(self._progress(manifest.fingerprint), ignore_errors=True)
        if not manifest.sound:
            return
        content = json.dumps({"fingerprint": manifest.fingerprint, "digest": manifest.digest()}).encode()
        pointer = f"{self.place(manifest.key, manifest.partition)}/{POINTER}"
        if self.store.read(pointer) != content:
            self.store.write(pointer, content)

    def build(
        self,
        *,
        key: str,
        partition: str,
        kind: Kind,
        fingerprint: str,
        ingredients: dict[str, object],
        fill: Callable[[DatasetWriter], None],
        keeps_ledger: bool,
    ) -> Dataset:
        """Let `fill` write a dataset and publish it. Call inside `hold`. When `fill` raises, nothing is published."""
        started = time.monotonic()
        place = self.place(key, partition)
        staging = self.store.staging / place.replace("/", "~")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        writer = DatasetWriter(staging, self._progress(fingerprint), fingerprint)
        try:
            fill(writer)
            files = writer.close()
            if keeps_ledger:
                writer.ledger.close(key)
            manifest = Manifest(
                key=key,
                partition=partition,
                kind=kind,
                fingerprint=fingerprint,
                ingredients=ingredients,
                columns=writer.columns,
                shards=writer.shards,
                files=files,
                dead_letters=writer.dead_letters,
                ledger=writer.ledger.to_json() if keeps_ledger else None,
                checks=writer.checks,
                metadata=writer.metadata,
                roles=writer.roles,
                plots=writer.plots,
                preview=writer.preview,
                seconds=round(time.monotonic() - started, 3),
                published=time.time(),
            )
            (staging / MANIFEST).write_text(manifest.model_dump_json(indent=1))
            stored_file(staging, MANIFEST)
            self.store.adopt(staging, f"{place}/{fingerprint[:16]}")
        finally:
            writer.stop()
            shutil.rmtree(staging, ignore_errors=True)
        dataset = Dataset(manifest, self.store, f"{place}/{fingerprint[:16]}")
        self.point(dataset)
        self._retire(place, built=fingerprint)
        return dataset

    def _progress(self, fingerprint: str) -> Path:
        return self.work / "progress" / fingerprint[:16]

    def _retire(self, place: str, built: str) -> None:
        """Remove all but the newest `KEPT_VERSIONS` versions, so that disks do not fill with caches.

        The version just built stays for inspection even when a check failed, and the current one whatever its age.
        """
        kept = {built[:16], (self._pointed(place) or built)[:16]}
        names = sorted(set(self.store.children(place)) - kept, key=lambda name: self._published(f"{place}/{name}"))
        for name in names[: max(0, len(names) + len(kept) - KEPT_VERSIONS)]:
            self.store.remove(f"{place}/{name}")

    def _published(self, location: str) -> float:
        manifest = self._manifest(location)
        return manifest.published if manifest else 0.0

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

from assets.core.errors import AthanorError
from assets.core.lake.dataset import Dataset
from assets.core.lake.manifest import Kind, Manifest
from assets.core.lake.store import open_store
from assets.core.lake.writer import DatasetWriter, stored_file

KEPT_VERSIONS = 3


class Lake:
    """Published datasets under one root, a local path or an fsspec URL."""

    def __init__(self, root: str, work: Path) -> None:
        self.store = open_store(root, cache=work / "cache")
        self.work = work

    @staticmethod
    def place(key: str, partition: str = "") -> str:
        return f"{key}/@{partition}"

    def version(self, key: str, partition: str, fingerprint: str) -> Dataset | None:
        """The version with this fingerprint, if it is whole."""
        location = f"{self.place(key, partition)}/{fingerprint[:16]}"
        content = self.store.read(f"{location}/manifest.json")
        if content is None:
            return None
        manifest = Manifest.model_validate_json(content)
        return Dataset(manifest, self.store, location) if manifest.fingerprint == fingerprint else None

    def current(self, key: str, partition: str = "") -> Dataset | None:
        """The current version of a dataset, or None where nothing was published."""
        pointer = self.store.read(f"{self.place(key, partition)}/current.json")
        return self.version(key, partition, json.loads(pointer)["fingerprint"]) if pointer else None

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
        """Make a version the current one, unless one of its checks failed."""
        manifest = dataset.manifest
        if not manifest.sound:
            return
        content = json.dumps({"fingerprint": manifest.fingerprint, "digest": manifest.digest()}).encode()
        pointer = f"{self.place(manifest.key, manifest.partition)}/current.json"
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
        progress = self.work / "progress" / fingerprint[:16]
        writer = DatasetWriter(staging, progress, fingerprint)
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
                plots=writer.plots,
                seconds=round(time.monotonic() - started, 3),
                published=time.time(),
            )
            (staging / "manifest.json").write_text(manifest.model_dump_json(indent=1))
            stored_file(staging, "manifest.json")
            self.store.adopt(staging, f"{place}/{fingerprint[:16]}")
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        dataset = Dataset(manifest, self.store, f"{place}/{fingerprint[:16]}")
        self.point(dataset)
        self._retire(place, keep=fingerprint[:16])
        shutil.rmtree(progress, ignore_errors=True)
        return dataset

    def _retire(self, place: str, keep: str) -> None:
        """Remove all but the newest `KEPT_VERSIONS` versions, so that disks do not fill with caches."""
        names = [name for name in self.store.children(place) if name != keep]
        for name in sorted(names, key=lambda name: self._published(f"{place}/{name}"))[: -KEPT_VERSIONS + 1]:
            self.store.remove(f"{place}/{name}")

    def _published(self, location: str) -> float:
        content = self.store.read(f"{location}/manifest.json")
        return Manifest.model_validate_json(content).published if content else 0.0

"""The same behaviour behind a path and behind any fsspec URL."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from assets.core.errors import AthanorError
from assets.core.lake import Dataset, DatasetWriter, Lake
from assets.core.lake.lake import KEPT_VERSIONS
from assets.core.lake.store import LocalStore, RemoteStore, open_store
from tests.assets.core.lake.child import KEY, build, frame


@pytest.fixture(params=["local", "file", "memory"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lake]:
    """A lake in a folder, in a folder behind fsspec, and in an object store that lives in memory."""
    if request.param == "memory":
        opened = Lake(f"memory://{uuid.uuid4().hex}/lake", tmp_path / "work")
        assert isinstance(opened.store, RemoteStore)
        yield opened
        opened.store.filesystem.store.clear()
        return
    opened = Lake(str(tmp_path / "lake"), tmp_path / "work")
    if request.param == "file":
        opened.store = RemoteStore(f"file://{tmp_path / 'lake'}", tmp_path / "cache")
    yield opened


def publish(lake: Lake, key: str, partition: str, rows: pl.DataFrame, version: str = "1") -> Dataset:
    def fill(out: DatasetWriter) -> None:
        out.write(rows, part="only")
        (out.folder / "more").mkdir()
        (out.folder / "more" / "weights.bin").write_bytes(b"weights")
        out.plot("picture", b"png")

    return lake.build(
        key=key, partition=partition, kind="dataset", fingerprint=version * 64,
        ingredients={}, fill=fill, keeps_ledger=False,
    )  # fmt: skip


def elsewhere(lake: Lake, folder: Path) -> Lake:
    """The same lake seen from another machine: nothing is in its cache."""
    other = Lake(str(folder / "unused"), folder)
    if isinstance(lake.store, RemoteStore):
        other.store = RemoteStore(lake.store.url(""), folder / "cache")
    else:
        other.store = lake.store
    return other


def test_what_is_published_is_read_elsewhere(lake: Lake, tmp_path: Path) -> None:
    """Rows, files in folders, plots and digests arrive, wherever they are asked for."""
    published = publish(lake, KEY, "", frame(100))
    seen = elsewhere(lake, tmp_path / "other").get(KEY)
    assert seen.digest == published.digest
    assert seen.is_whole
    assert seen.read().equals(frame(100))
    assert seen.slice("only").rows == 100
    assert (seen.folder / "more" / "weights.bin").read_bytes() == b"weights"
    assert seen.file("picture.png").read_bytes() == b"png"
    assert list(lake.store.staging.iterdir()) == []


def test_keys_and_partitions_are_listed(lake: Lake) -> None:
    """The catalog and recipes over all partitions find what was published, in a fixed order."""
    for key, partition in (("b/rows", ""), ("a/plan", "10"), ("a/plan", "2"), ("a/b/deep", "")):
        publish(lake, key, partition, frame(int(partition or 1)))
    listed = [(dataset.manifest.key, dataset.manifest.partition) for dataset in lake.datasets()]
    assert listed == [("a/b/deep", ""), ("a/plan", "10"), ("a/plan", "2"), ("b/rows", "")]
    assert {name: dataset.rows for name, dataset in lake.partitions("a/plan").items()} == {"10": 10, "2": 2}
    assert lake.partitions("a/nothing") == {}
    with pytest.raises(AthanorError, match="a/plan was not built yet for partition '3'"):
        lake.get("a/plan", "3")


def test_newest_versions_are_kept(lake: Lake) -> None:
    """Retention is the same everywhere, and what is retired is gone from the cache too."""
    for version in "abcde":
        dataset = publish(lake, KEY, "", frame(3), version)
        assert dataset.read().height == 3
    assert lake.store.children(f"{KEY}/@") == ["c" * 16, "d" * 16, "e" * 16]
    assert len("cde") == KEPT_VERSIONS
    assert lake.version(KEY, "", "a" * 64) is None
    if isinstance(lake.store, RemoteStore):
        assert sorted(path.name for path in (lake.store.cache / KEY / "@").iterdir())[0] == "c" * 16


@pytest.mark.parametrize("lake", ["file", "memory"], indirect=True)
def test_a_version_is_there_only_with_its_manifest(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload that is cut short is not a version; the next one takes its place."""
    store = lake.store
    assert isinstance(store, RemoteStore)
    put = store.filesystem.put_file
    sent: list[str] = []

    def cut(source: str, target: str, **more: object) -> None:
        if len(sent) == 2:
            raise ConnectionError("cut")
        sent.append(target)
        put(source, target, **more)

    for before in (0, 1):
        monkeypatch.setattr(store.filesystem, "put_file", cut)
        sent.clear()
        with pytest.raises(ConnectionError):
            publish(lake, KEY, "", frame(3))
        assert sent
        assert not any(name.endswith("manifest.json") for name in sent)
        assert lake.current(KEY) is None, f"{before} versions were there before"
        monkeypatch.setattr(store.filesystem, "put_file", put)
        publish(lake, KEY, "", frame(3))
        assert lake.get(KEY).read().height == 3


def test_a_version_built_anew_replaces_what_was_downloaded(lake: Lake, tmp_path: Path) -> None:
    """A cache never mixes the rows of two builds of one fingerprint."""
    other = elsewhere(lake, tmp_path / "other")
    publish(lake, KEY, "", frame(3))
    assert other.get(KEY).read().height == 3
    publish(lake, KEY, "", frame(500))
    assert lake.get(KEY).read().equals(frame(500))
    assert other.get(KEY).read().equals(frame(500))


def test_damage_is_seen_and_named(lake: Lake) -> None:
    """A shard that vanished behind a URL: the error names the URL."""
    dataset = publish(lake, KEY, "", frame(300))
    name = dataset.manifest.shards[0].name
    if isinstance(lake.store, RemoteStore):
        lake.store.filesystem.rm(lake.store._at(f"{dataset.location}/{name}"))
    else:
        dataset.shard_paths()[0].unlink()
    assert not dataset.is_whole
    with pytest.raises(AthanorError) as caught:
        dataset.read()
    assert f"delete {lake.store.url(dataset.location)} and" in caught.value.remedy


def test_building_holds_a_lock(lake: Lake) -> None:
    """Two runs on one machine do not write into each other's staging folder, whatever the lake is behind."""
    from filelock import FileLock, Timeout

    with lake.hold(KEY):
        name = "toy~rows~@.lock"
        folder = lake.store.root if isinstance(lake.store, LocalStore) else lake.store.cache  # type: ignore[union-attr]
        with pytest.raises(Timeout):
            FileLock(Path(folder) / ".locks" / name).acquire(timeout=0.01)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("plain", LocalStore),
        ("file:///{tmp}/a", LocalStore),
        ("local:///{tmp}/a", LocalStore),
        ("memory://a", RemoteStore),
    ],
)
def test_urls_name_stores(url: str, kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path and file:// are a local folder with atomic renames; every other URL goes through fsspec."""
    monkeypatch.chdir(tmp_path)
    assert isinstance(open_store(url.format(tmp=tmp_path), tmp_path / "cache"), kind)


def test_build_through_url_survives_a_second_version(lake: Lake) -> None:
    """The pointer moves behind a URL as it does locally."""
    first = build(lake, lambda out: out.write(frame(1)))
    second = build(lake, lambda out: out.write(frame(2)), version="2")
    assert lake.get(KEY).digest == second.digest
    lake.point(first)
    assert lake.get(KEY).digest == first.digest

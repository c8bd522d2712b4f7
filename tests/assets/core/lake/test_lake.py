"""A reader sees all of the old version or all of the new one, whatever happens to the writer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assets.core.errors import AthanorError, disk_is_full
from assets.core.lake import DatasetWriter, Lake
from assets.core.lake.lake import KEPT_VERSIONS
from tests.assets.core.lake.child import KEY, MOMENTS, build, frame, open_lake

CHILD = (sys.executable, "-m", "tests.assets.core.lake.child")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return open_lake(tmp_path)


def versions(lake: Lake) -> list[str]:
    return lake.store.children(f"{KEY}/@")


def test_a_reader_during_a_build_sees_the_old_version_whole(lake: Lake) -> None:
    """Publication is one step: nothing of the new rows shows before all of them do."""
    build(lake, lambda out: out.write(frame(10)))
    reader = open_lake(lake.work.parent)

    def fill(out: DatasetWriter) -> None:
        out.write(frame(5, start=100), part="a")
        out.flush()
        seen = reader.get(KEY)
        assert seen.read()["number"].to_list() == list(range(10))
        assert [dataset.digest for dataset in reader.datasets()] == [seen.digest]
        out.write(frame(5, start=105), part="b")

    build(lake, fill, version="2")
    assert reader.get(KEY).read()["number"].to_list() == list(range(100, 110))


def test_a_reader_keeps_the_version_it_opened(lake: Lake) -> None:
    """A long job reads on from the version it began with, while a new one is published."""
    opened = build(lake, lambda out: out.write(frame(10)))
    build(lake, lambda out: out.write(frame(20)), version="2")
    assert opened.read().height == 10


def test_a_failed_build_leaves_nothing(lake: Lake) -> None:
    """The published version stays, and no half-written rows fill the disk."""
    build(lake, lambda out: out.write(frame(10)))

    def fill(out: DatasetWriter) -> None:
        out.write(frame(5))
        out.flush()
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        build(lake, fill, version="2")
    assert lake.get(KEY).read().height == 10
    assert len(versions(lake)) == 1
    assert list(lake.store.staging.iterdir()) == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_kill_at_any_moment(tmp_path: Path, moment: str) -> None:
    """After kill -9 there is a whole version, the old or the new, and the next build works and cleans up."""
    lake = open_lake(tmp_path)
    old = build(lake, lambda out: out.write(frame(3)))
    child = subprocess.run([*CHILD, "killed", tmp_path, moment], capture_output=True, text=True, timeout=60)
    assert child.returncode == -signal.SIGKILL, child.stderr

    seen = lake.get(KEY)
    assert seen.is_whole
    assert seen.read().height == seen.rows
    published = moment in ("retire", "removal")
    assert (seen.digest != old.digest) == published
    for name in versions(lake):
        found = lake._manifest(f"{KEY}/@/{name}")
        assert found is not None
        assert lake.version(KEY, "", found.fingerprint).is_whole  # type: ignore[union-attr]

    def fill(out: DatasetWriter) -> None:
        assert moment not in ("point", "retire", "removal"), "what was published is not built again"
        assert (out.work / "state").exists(), "trainer states outlive a kill"
        out.write(frame(10), part="a")
        out.write(frame(10, start=10), part="b")

    again = build(lake, fill, version="2")
    lake.point(again)
    assert lake.get(KEY).read()["number"].to_list() == list(range(20))
    build(lake, lambda out: out.write(frame(1)), version="3")
    assert list(lake.store.staging.iterdir()) == []
    assert list((tmp_path / "work" / "progress").iterdir()) == []


def test_a_version_without_a_manifest_is_not_there(lake: Lake) -> None:
    """A folder is a version when its manifest says so; without one it is built anew."""
    dataset = build(lake, lambda out: out.write(frame(3)))
    manifest = dataset.file("manifest.json")
    content = manifest.read_text()
    for damaged in (None, "", content[:200], "{}"):
        manifest.unlink(missing_ok=True)
        if damaged is not None:
            manifest.write_text(damaged)
        assert lake.current(KEY) is None
        assert list(lake.datasets()) == []
        with pytest.raises(AthanorError, match="toy/rows was not built yet\n  → materialize toy/rows first"):
            lake.get(KEY)
    assert build(lake, lambda out: out.write(frame(4))).rows == 4
    assert lake.get(KEY).rows == 4


def test_a_damaged_pointer_is_not_a_crash(lake: Lake) -> None:
    """The pointer is written anew by the next run; until then nothing is current."""
    dataset = build(lake, lambda out: out.write(frame(3)))
    pointer = Path(lake.store.url(f"{KEY}/@/current.json"))
    for damaged in ("", "{", "[]", "{}"):
        pointer.write_text(damaged)
        assert lake.current(KEY) is None
    lake.point(dataset)
    assert lake.get(KEY).digest == dataset.digest


def test_old_versions_are_retired_but_never_the_current_one(lake: Lake) -> None:
    """Disks do not fill; going back is cheap for a while; a version whose check failed pushes no good one out."""
    for number in range(1, 6):
        build(lake, lambda out: out.write(frame(1)), version=str(number))
    assert len(versions(lake)) == KEPT_VERSIONS == 3
    oldest = lake.version(KEY, "", "3".rjust(64, "0")[::-1])
    assert oldest is not None
    lake.point(oldest)

    def unsound(out: DatasetWriter) -> None:
        out.write(frame(2))
        out.check("is_good", False)

    for number in (6, 7, 8):
        rejected = build(lake, unsound, version=str(number))
        assert lake.get(KEY).manifest.fingerprint == oldest.manifest.fingerprint
        assert rejected.read().height == 2, "kept for inspection"
        assert len(versions(lake)) == KEPT_VERSIONS


def test_two_processes_that_build_the_same_compute_it_once(tmp_path: Path) -> None:
    """The second one waits and finds it published; both see the same rows."""
    children = [
        subprocess.Popen([*CHILD, "racing", tmp_path, name], stdout=subprocess.PIPE, text=True) for name in "ab"
    ]
    digests = {child.communicate(timeout=60)[0] for child in children}
    assert [child.returncode for child in children] == [0, 0]
    assert digests == {f"{open_lake(tmp_path).get(KEY).digest}\n"}
    assert len(list(tmp_path.glob("built-*"))) == 1


def test_files_that_may_not_grow(tmp_path: Path) -> None:
    """A limit on file size (as a quota) is told apart from other faults; nothing is lost, and it works once lifted."""
    build(open_lake(tmp_path), lambda out: out.write(frame(3)))
    child = subprocess.run([*CHILD, "full", tmp_path, "100000"], capture_output=True, text=True, timeout=60, check=True)
    report, rows = child.stdout.splitlines()
    assert json.loads(report) == {"full": True, "staged": [], "old": [0, 1, 2]}
    assert int(rows) == 200_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = (
        os.getuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True
        ).returncode
    )
    if not mounted:
        pytest.skip("mounting a small disk needs root; test_files_that_may_not_grow covers the same path")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    """On a full disk the fault is told as such, the old version reads, nothing is left, and freeing space helps."""
    lake = open_lake(small_disk)
    build(lake, lambda out: out.write(frame(3)))
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 2_500_000)
    with pytest.raises(Exception) as caught:
        build(lake, lambda out: out.write(frame(100_000)), version="2")
    assert disk_is_full(caught.value)
    assert lake.get(KEY).read().height == 3
    assert list(lake.store.staging.iterdir()) == []
    ballast.unlink()
    assert build(lake, lambda out: out.write(frame(100_000)), version="2").read().height == 100_000

"""Frames come out in order and are the same, whatever computes them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from assets.core.dedup import MinHashPlan, signature_frame
from assets.core.lake import DatasetWriter, Lake
from assets.core.rows import AHEAD, RowsResource

SCHEMA = {"id": pl.String()}
FRAMES = [pl.DataFrame({"id": [f"{number}-{row}" for row in range(number % 4)]}, SCHEMA) for number in range(40)]
# Pickled by name, so that every worker finds it.
WITH_NUMBER = operator.methodcaller("with_row_index", "number")
SIGNED = partial(signature_frame, plan=MinHashPlan(), threads=1)
TEXT = " is a page of which the words are mostly those of every other page, but for the first one."


def digest(folder: Path, frames: Iterator[pl.DataFrame]) -> str:
    """Of a dataset made of the frames."""

    def fill(out: DatasetWriter) -> None:
        for frame in frames:
            out.write(frame)

    lake = Lake(str(folder / "lake"), folder / "work")
    dataset = lake.build(
        key="toy/rows", partition="", kind="dataset", fingerprint="f" * 64, ingredients={}, fill=fill,
        keeps_ledger=False,
    )  # fmt: skip
    return dataset.digest


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_order_is_kept(workers: int) -> None:
    """Empty frames stay where they are, and no worker's pace changes the order."""
    done = list(RowsResource(workers=workers).map(WITH_NUMBER, FRAMES))
    assert [frame.rows() for frame in done] == [WITH_NUMBER(frame).rows() for frame in FRAMES]


@pytest.mark.parametrize("frames", [[], FRAMES[:1]])
def test_few_frames_start_no_process(frames: list[pl.DataFrame]) -> None:
    """A lambda cannot be sent to a process: it is computed here."""
    assert len(list(RowsResource(workers=2).map(lambda frame: frame, frames))) == len(frames)


def test_frames_are_read_as_they_are_needed() -> None:
    """A corpus that does not fit in memory streams."""
    taken = 0

    def read() -> Iterator[pl.DataFrame]:
        nonlocal taken
        for frame in FRAMES:
            taken += 1
            yield frame

    done = RowsResource(workers=2).map(WITH_NUMBER, read())
    next(done)
    assert taken <= AHEAD * 2 + 3
    done.close()  # type: ignore[attr-defined]


def test_an_error_of_a_worker_is_raised_here() -> None:
    """No frame is lost silently."""
    broken: Callable[[pl.DataFrame], pl.DataFrame] = operator.methodcaller("select", "nowhere")
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        list(RowsResource(workers=2).map(broken, FRAMES))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_ray_nodes_give_the_same_dataset(tmp_path: Path) -> None:
    """The same functions over Ray Data on a cluster of two nodes: equal digests, also where a window ends."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[dev]'")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False)
        there = RowsResource(backend="ray", ray_address=cluster.address, ray_window=16)
        assert len(ray.nodes()) == 2
        pages = [frame.with_columns(text=pl.col("id") + TEXT) for frame in FRAMES]
        for number, (function, frames) in enumerate([(WITH_NUMBER, FRAMES), (SIGNED, pages)]):
            expected = digest(tmp_path / f"here{number}", RowsResource(workers=2).map(function, frames))
            assert digest(tmp_path / f"there{number}", there.map(function, frames)) == expected
    finally:
        ray.shutdown()
        cluster.shutdown()

"""Which documents are near-duplicates, and which of them survives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assets.core.dedup.clusters import group
from assets.core.dedup.plan import MinHashPlan
from assets.core.dedup.signatures import signature_frame

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from assets.core.dedup.shingles import Uint32s

    Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class SignaturePart:
    """Parquet shards of signature frames that belong together, such as those of one crawl file."""

    name: str
    """What an error calls it."""
    paths: Sequence[Path]
    """The shards in order; none is a part without documents."""


@dataclass(frozen=True)
class Survivors:
    """The document that is kept of each group of two or more."""

    position: Int64s
    """`[documents]`: where a group's survivor stands in `rows` and `ids`; -1 for no group, or one of a document."""
    rows: Int64s
    ids: pl.Series


def near_duplicates(frame: pl.DataFrame, plan: MinHashPlan, threads: int | None = None) -> pl.DataFrame:
    """`find_duplicates` for documents in memory: `frame` has `id`, `text`, optionally `priority`."""
    import numpy as np

    from assets.core.dedup.kernels import fold

    signed = signature_frame(frame, plan, threads)
    signatures = np.ascontiguousarray(signed["signature"].to_numpy())
    keys = fold(signatures, plan.bands)
    groups = group(signatures, keys[-1], lambda band: keys[band], plan, threads)
    return _judged(signed["id"], 0, groups, _survivors([signed], groups), signatures)


def find_duplicates(
    parts: Sequence[SignaturePart], plan: MinHashPlan, work: Path, threads: int | None = None
) -> Iterator[pl.DataFrame]:
    """One frame for each part, in order: `id`, `dup_of` ("" when kept), `similarity` (0 when kept).

    Of each group of near-duplicates (see `group`) one document survives: the one of greatest `priority` (a column of
    the signature frames, compared as text, such as the name of a dump or an ISO time; where it is missing or null, ""),
    then of smallest id, then the first. `dup_of` is its id, and `similarity` the estimated similarity to it, which may
    lie below the threshold where the two are linked only over others.

    Streams: signatures go to files in `work` (4 bytes a hash function and document, removed at the end) and are read
    from a memory map. Ids are held only of documents in a group of two or more. Raises `InputError` for signatures of
    another length than the plan's.
    """
    import polars as pl

    from assets.core.dedup.store import SignatureStore

    paths = [path for part in parts for path in part.paths]
    with SignatureStore(work, plan) as store:
        for part in parts:
            for path in part.paths:
                store.append(path, part.name)
        signatures = store.signatures()
        groups = group(signatures, store.digests(), store.band_keys, plan, threads)
        survivors = _survivors((_named(path) for path in paths), groups)
        row = 0
        for part in parts:
            ids = pl.concat([pl.Series("id", [], pl.String), *(_named(path)["id"] for path in part.paths)])
            yield _judged(ids, row, groups, survivors, signatures)
            row += len(ids)


def _named(path: Path) -> pl.DataFrame:
    import polars as pl

    frame = pl.scan_parquet(path)
    return frame.select(column for column in ("id", "priority") if column in frame.collect_schema()).collect()


def _survivors(frames: Iterable[pl.DataFrame], groups: Int64s) -> Survivors:
    """`frames`: `id`, optionally `priority`, of all documents in order."""
    import numpy as np
    import polars as pl

    size = np.bincount(groups, minlength=1)
    members = [pl.DataFrame(schema={"id": pl.String, "priority": pl.String, "row": pl.Int64, "group": pl.Int64})]
    row = 0
    for frame in frames:
        of_frame = groups[row : row + frame.height]
        chosen = np.flatnonzero(size[of_frame] > 1)
        priority = pl.col("priority").fill_null("") if "priority" in frame.columns else pl.lit("")
        members.append(
            frame[chosen].select(
                "id", priority.alias("priority"), row=pl.Series(row + chosen), group=pl.Series(of_frame[chosen])
            )
        )
        row += frame.height
    ordered = pl.concat(members).sort("group", "priority", "id", "row", descending=[False, True, False, False])
    best = ordered.unique("group", keep="first", maintain_order=True)
    position = np.full(len(size), -1, np.int64)
    position[best["group"].to_numpy()] = np.arange(best.height)
    return Survivors(position, best["row"].to_numpy(), best["id"])


def _judged(ids: pl.Series, row: int, groups: Int64s, survivors: Survivors, signatures: Uint32s) -> pl.DataFrame:
    """What is told of the documents from `row` on."""
    import numpy as np
    import polars as pl

    from assets.core.dedup.linking import agreements

    rows = np.arange(row, row + len(ids))
    position = survivors.position[groups[rows]]
    dropped = np.flatnonzero(position >= 0)
    dropped = dropped[survivors.rows[position[dropped]] != rows[dropped]]
    similarity = np.zeros(len(ids))
    equal = agreements(signatures, rows[dropped], survivors.rows[position[dropped]])
    similarity[dropped] = equal / signatures.shape[1]
    dup_of = pl.repeat("", len(ids), dtype=pl.String, eager=True)
    if len(dropped):
        dup_of = dup_of.scatter(dropped, survivors.ids.gather(position[dropped]))
    return pl.DataFrame({"id": ids, "dup_of": dup_of, "similarity": similarity})

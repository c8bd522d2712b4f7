"""Documents whose second half is their own, and the same halves wrongly joined (claim I2)."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.core.ids import content_id
from assets.internlm2.long.train import is_heldout


def heldout_documents(tokens: pl.DataFrame, *, share: float, chunk: int, max_items: int) -> pl.DataFrame:
    """Documents (`id`, `package`, `tokens`) of held-out packages with at least a chunk of tokens, cut to it.

    At most `max_items`, those with the smallest hash of their id, ordered by it.
    """
    long = tokens.filter(pl.col("tokens").list.len() >= chunk)
    heldout = long.filter(pl.Series([is_heldout(package, share) for package in long["package"]], dtype=pl.Boolean))
    hashed = heldout.with_columns(
        order=pl.Series([content_id("item", name) for name in heldout["id"]], dtype=pl.String)
    )
    chosen = hashed.sort("order").head(max_items).drop("order")
    return chosen.with_columns(pl.col("tokens").list.head(chunk))


def partners(packages: pl.Series) -> NDArray[np.int64]:
    """For each document the one that its second half is taken from, `[documents]`: a permutation, each of another
    package than its own where no package has more than half of the documents.

    The documents ordered by package are shifted by the size of the largest package.
    """
    order = packages.to_frame("package").with_row_index().sort("package", "index")["index"].to_numpy().astype(np.int64)
    largest = int(packages.value_counts()["count"].max() or 0)  # type: ignore[arg-type]
    found = np.empty(len(order), dtype=np.int64)
    found[order] = np.roll(order, -largest)
    return found


def spliced(chunks: NDArray[np.int64], partner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each first half joined to its partner's second half: over all documents the same halves as in `chunks`."""
    half = chunks.shape[1] // 2
    return np.concatenate([chunks[:, :half], chunks[partner, half:]], axis=1)


def same_halves(chunks: NDArray[np.int64], joined: NDArray[np.int64]) -> bool:
    """Whether both hold the same first halves, and the same second halves in whatever order."""
    half = chunks.shape[1] // 2
    second, other = (sorted(map(tuple, each[:, half:].tolist())) for each in (chunks, joined))
    return np.array_equal(chunks[:, :half], joined[:, :half]) and second == other

"""MinHash signatures of documents."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from assets.core.dedup.plan import MinHashPlan
from assets.core.dedup.shingles import character_classes

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from assets.core.dedup.shingles import Uint32s

SLICE_DOCUMENTS = 2048  # documents that a thread takes at a time


def signature_frame(frame: pl.DataFrame, plan: MinHashPlan, threads: int | None = None) -> pl.DataFrame:
    """The signatures of documents (`id`, `text`, optionally `priority`), in the frame's order.

    Columns: `id` String, `priority` String (where given), `n_shingles` UInt32 (distinct ones), `signature`
    Array(UInt32, n_hashes). Runs on `threads` (None: one a core); the result does not depend on them.
    """
    import polars as pl

    text = frame["text"].str.to_lowercase() if plan.tokens == "words" else frame["text"]
    n_shingles, signatures = sign_texts(text, plan, threads)
    return frame.select("id", *(["priority"] if "priority" in frame.columns else [])).with_columns(
        pl.Series("n_shingles", n_shingles),
        pl.Series("signature", signatures, dtype=pl.Array(pl.UInt32, plan.n_hashes)),
    )


def sign_texts(text: pl.Series, plan: MinHashPlan, threads: int | None) -> tuple[Uint32s, Uint32s]:
    """Numbers of distinct shingles `[documents]` and signatures `[documents, n_hashes]` of prepared texts."""
    import numpy as np

    from assets.core.dedup.kernels import sign

    data, offsets = _utf8(text)
    classes, (factors, summands) = character_classes(plan.tokens), plan.coefficients()
    n_shingles = np.empty(len(text), np.uint32)
    signatures = np.empty((len(text), plan.n_hashes), np.uint32)

    def sign_slice(start: int) -> None:
        end = min(start + SLICE_DOCUMENTS, len(text))
        sign(
            data, offsets[start : end + 1], classes, plan.ngram, factors, summands,
            n_shingles[start:end], signatures[start:end],
        )  # fmt: skip

    with ThreadPoolExecutor(threads or cores()) as pool:
        list(pool.map(sign_slice, range(0, len(text), SLICE_DOCUMENTS)))
    return n_shingles, signatures


def _utf8(text: pl.Series) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All texts in one array of bytes, and where each begins; the last offset is the end. No text becomes an object."""
    import numpy as np
    import polars as pl

    array = text.cast(pl.String).fill_null("").to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    starts = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    return np.frombuffer(data or b"\0", np.uint8), starts


def estimate_jaccard(left: Uint32s, right: Uint32s) -> NDArray[np.float64]:
    """The share of equal entries of two signatures, or of two arrays `[..., n_hashes]`: an unbiased estimate.

    Its standard error at similarity s is `sqrt(s (1 - s) / n_hashes)`, at most .044 for 128.
    """
    import numpy as np

    return np.mean(np.asarray(left) == np.asarray(right), axis=-1)


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))

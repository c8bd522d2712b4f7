"""Signatures and keys of many documents in files: written once from front to end, read where they are needed."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from assets.core.dedup.plan import MinHashPlan
from assets.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from assets.core.dedup.shingles import Uint32s

    Uint64s = NDArray[np.uint64]


class SignatureStore:
    """A file of signatures, one of digests, and one of keys for each band. Removed when left as a context."""

    def __init__(self, work: Path, plan: MinHashPlan) -> None:
        self.plan = plan
        self.documents = 0
        self._rows = work / "signatures.u32"
        # Of each band the keys; last, of whole signatures the digests.
        self._keys = [work / f"keys-{band:03d}.u64" for band in range(plan.bands + 1)]
        work.mkdir(parents=True, exist_ok=True)
        self._remove()

    def __enter__(self) -> SignatureStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._remove()

    def append(self, path: Path, part: str) -> None:
        """Add the signatures of a part's Parquet shard. Raises `InputError` where they are not of the plan's length."""
        import numpy as np
        import polars as pl

        from assets.core.dedup.kernels import fold

        column = pl.read_parquet(path, columns=["signature"])["signature"]
        if column.dtype != pl.Array(pl.UInt32, self.plan.n_hashes):
            raise InputError(
                f"the signatures of {part} are {column.dtype}, not {self.plan.n_hashes} hashes",
                "make them again by signature_frame with the plan that finds the duplicates",
            )
        signatures = np.ascontiguousarray(column.to_numpy())
        with self._rows.open("ab") as file:
            signatures.tofile(file)
        for keys, name in zip(fold(signatures, self.plan.bands), self._keys, strict=True):
            with name.open("ab") as file:
                keys.tofile(file)
        self.documents += len(signatures)

    def signatures(self) -> Uint32s:
        """`[documents, n_hashes]`, a memory map: the kernel takes its pages back when memory is short."""
        import numpy as np

        shape = (self.documents, self.plan.n_hashes)
        return np.memmap(self._rows, np.uint32, "r", shape=shape) if self.documents else np.empty(shape, np.uint32)

    def digests(self) -> Uint64s:
        """`[documents]`, a 64-bit hash of each whole signature."""
        return self.band_keys(self.plan.bands)

    def band_keys(self, band: int) -> Uint64s:
        """`[documents]`, a 64-bit hash of a band of each signature."""
        import numpy as np

        return np.fromfile(self._keys[band], np.uint64) if self.documents else np.empty(0, np.uint64)

    def _remove(self) -> None:
        for path in (self._rows, *self._keys):
            path.unlink(missing_ok=True)

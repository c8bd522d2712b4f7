"""Which texts of a dataset are evaluated on or trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class TextSource:
    """Text columns of a dataset, of the rows that have one of the given values in each column of `where`."""

    key: str
    columns: tuple[str, ...]
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def read_columns(self) -> list[str]:
        return list(dict.fromkeys(("id", *self.columns, *self.where)))

    def texts(self, rows: pl.DataFrame) -> pl.DataFrame:
        """(id, text): a row for each text column that is not empty, of the rows that count, in their order."""
        import polars as pl

        for name, values in self.where.items():
            rows = rows.filter(pl.col(name).is_in(list(values)))
        each = pl.concat_list(pl.col(name).cast(pl.String) for name in self.columns)
        return rows.select("id", text=each).explode("text").filter(pl.col("text").str.len_bytes() > 0)

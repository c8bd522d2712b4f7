"""The row ledger: rows in = rows out + dropped by reason + failed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from assets.core.errors import AthanorError


@dataclass
class RowLedger:
    """Counts of one recipe's rows. `failed` rows lie in the dead letters beside the dataset, with the error."""

    rows_in: int = 0
    rows_out: int = 0
    failed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def drop(self, reason: str, rows: int = 1) -> None:
        self.dropped[reason] += rows

    @property
    def adds_up(self) -> bool:
        return self.rows_in == self.rows_out + self.failed + self.dropped.total()

    def close(self, asset: str) -> None:
        """Raise when a row is unaccounted for: it was lost or counted twice by the recipe."""
        if not self.adds_up:
            raise AthanorError(
                f"{asset}: the row ledger does not add up: {self.rows_in} in, {self.rows_out} out, "
                f"{self.failed} failed, {dict(self.dropped)} dropped",
                "every row that a recipe reads must be written, dropped with a reason or sent to the dead letters",
            )

    def to_json(self) -> dict[str, object]:
        return {
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "failed": self.failed,
            "dropped": dict(sorted(self.dropped.items())),
        }

"""Rows in = rows out + dropped by reason + failed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.core.errors import AthanorError
from assets.core.ledger import RowLedger

FATES = st.lists(st.sampled_from(["out", "failed", "short", "duplicate"]), max_size=60)


def ledger_of(fates: list[str]) -> RowLedger:
    ledger = RowLedger()
    for fate in fates:
        ledger.rows_in += 1
        if fate == "out":
            ledger.rows_out += 1
        elif fate == "failed":
            ledger.failed += 1
        else:
            ledger.drop(fate)
    return ledger


@given(FATES)
def test_a_ledger_of_rows_with_one_fate_each_adds_up(fates: list[str]) -> None:
    """Whatever happens to each row, a recipe that says so is believed."""
    ledger = ledger_of(fates)
    ledger.close("toy")
    kept = ledger.to_json()
    assert kept["rows_in"] == len(fates)
    assert kept["dropped"] == {reason: fates.count(reason) for reason in ("duplicate", "short") if reason in fates}
    assert json.loads(json.dumps(kept)) == kept


@given(FATES, st.sampled_from(["rows_in", "rows_out", "failed", "dropped"]), st.sampled_from([-1, 1, 5]))
def test_one_row_too_many_or_few_is_an_error(fates: list[str], count: str, error: int) -> None:
    """A lost or doubled row anywhere stops publication, and the message has all the numbers."""
    ledger = ledger_of(fates)
    if count == "dropped":
        ledger.drop("short", error)
    else:
        setattr(ledger, count, getattr(ledger, count) + error)
    assert not ledger.adds_up
    with pytest.raises(AthanorError) as caught:
        ledger.close("toy/rows")
    for part in ("toy/rows", f"{ledger.rows_in} in", f"{ledger.rows_out} out", f"{ledger.failed} failed"):
        assert part in caught.value.message

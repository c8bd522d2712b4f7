"""Verdicts: the first limit decides, nothing is lost, and the audit tells what was dropped."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.core.audit import (
    AUDIT_SCHEMA,
    VERDICTS,
    Limit,
    apply_judged,
    apply_verdicts,
    judge,
    read_audit,
    with_verdicts,
)
from assets.core.lake import Dataset, DatasetWriter, Lake

LIMITS = [Limit("low", 0.5, "below"), Limit("high", 2)]


def verdicts_of(low: list[float | None], high: list[float | None]) -> pl.DataFrame:
    ids = pl.Series("id", [str(place) for place in range(len(low))], dtype=pl.String)
    return judge(ids, pl.DataFrame({"low": low, "high": high}, schema={"low": pl.Float64, "high": pl.Float64}), LIMITS)


def build(tmp_path: Path, *frames: pl.DataFrame) -> Dataset:
    """A dataset of the rows kept by `verdicts_of` on the columns `low` and `high`."""

    def fill(out: DatasetWriter) -> None:
        for frame in frames:
            out.ledger.rows_in += frame.height
            apply_verdicts(out, frame, judge(frame["id"], frame, LIMITS), "toy")

    lake = Lake(str(tmp_path / "lake"), tmp_path / "work")
    return lake.build(
        key="toy", partition="", kind="dataset", fingerprint="0" * 64, ingredients={}, fill=fill, keeps_ledger=True
    )


def rows(*values: tuple[str, float, float]) -> pl.DataFrame:
    return pl.DataFrame(values, schema={"id": pl.String, "low": pl.Float64, "high": pl.Float64}, orient="row")


def test_the_first_limit_decides() -> None:
    """A threshold itself passes; a null score is not judged; score and threshold are those of the reason."""
    found = verdicts_of([0.5, 0.4, 0.4, None], [2.0, 2.5, None, 3.0])
    assert found.schema == VERDICTS
    assert found["reason"].to_list() == ["", "low", "low", "high"]
    assert found["score"].to_list() == [None, 0.4, 0.4, 3.0]
    assert found["threshold"].to_list() == [None, 0.5, 0.5, 2.0]


@given(st.lists(st.tuples(st.none() | st.floats(0, 3), st.none() | st.floats(0, 3)), max_size=20))
def test_a_document_is_kept_when_it_breaks_no_limit(scores: list[tuple[float | None, float | None]]) -> None:
    """One verdict per document, in order."""
    found = verdicts_of([low for low, _ in scores], [high for _, high in scores])
    broken = [(low is not None and low < 0.5) or (high is not None and high > 2) for low, high in scores]
    assert (found["reason"] != "").to_list() == broken


def test_rows_are_kept_or_counted_and_audited(tmp_path: Path) -> None:
    """In = kept + dropped by reason, and the audit has the dropped ones of all batches in order."""
    dataset = build(tmp_path, rows(("a", 1, 1), ("b", 0, 1)), rows(("c", 1, 5), ("d", 0, 5)))
    assert dataset.read()["id"].to_list() == ["a"]
    assert dataset.manifest.ledger == {"rows_in": 4, "rows_out": 1, "failed": 0, "dropped": {"high": 1, "low": 2}}
    audit = read_audit(dataset)
    assert audit.schema == AUDIT_SCHEMA
    assert audit.select("id", "stage", "reason", "score").rows() == [
        ("b", "toy", "low", 0.0), ("c", "toy", "high", 5.0), ("d", "toy", "low", 0.0),
    ]  # fmt: skip


def test_batches_do_not_show(tmp_path: Path) -> None:
    """The digest is the same in however many batches the rows came."""
    first, second = rows(("a", 1, 1), ("b", 0, 1)), rows(("c", 1, 5), ("d", 1, 1))
    apart = build(tmp_path / "apart", first, second)
    assert apart.digest == build(tmp_path / "together", pl.concat([first, second])).digest


def test_nothing_dropped_is_an_empty_audit(tmp_path: Path) -> None:
    """It has columns to read."""
    assert read_audit(build(tmp_path, rows(("a", 1, 1)))).schema == AUDIT_SCHEMA


def test_verdicts_of_other_rows_are_refused(tmp_path: Path) -> None:
    """Rows are matched by id, never by order alone."""
    out = DatasetWriter(tmp_path, tmp_path, "0")
    with pytest.raises(ValueError, match="not of these rows"):
        apply_verdicts(out, rows(("a", 1, 1), ("b", 1, 1)), verdicts_of([1, 1], [1, 1]), "toy")
    out.stop()


def test_judged_frames_hold_both(tmp_path: Path) -> None:
    """Documents and verdicts travel as one frame, and part again."""
    out = DatasetWriter(tmp_path, tmp_path, "0")
    frame = rows(("a", 1, 1), ("b", 0, 1))
    apply_judged(out, with_verdicts(frame, judge(frame["id"], frame, LIMITS)), "toy")
    out.close()
    out.stop()
    assert out.columns.keys() == {"id", "low", "high"}
    assert out.ledger.dropped == {"low": 1}

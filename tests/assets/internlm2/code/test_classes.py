"""Classes by quantiles of a language's bytes, and the agreement that a model must show."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from assets.internlm2.code.classes import agreement, assign_classes, class_shares
from assets.internlm2.code.config import ScoreConfig

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["python", "c", "zig"]), st.sampled_from(["code", "code", "document"]),
        st.integers(1, 1000), st.sampled_from(["", "", "", "generated"]), st.floats(0, 1),
    ),
    min_size=1, max_size=40,
)  # fmt: skip


def scores(rows: list[tuple[str, str, int, str, float]]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["language", "kind", "n_bytes", "reason", "score"], orient="row")
    return frame.with_columns(id=pl.Series([f"{i:03d}" for i in range(frame.height)]))


@given(ROWS)
def test_shares_are_kept_and_better_files_are_never_lower(rows) -> None:
    """In every language high and low fill at most their share of the bytes, but for what a rule named."""
    config = ScoreConfig(high_share=0.3, low_share=0.2, low_resource_share=0.1)
    frame = scores(rows)
    found = assign_classes(frame, config)
    assert found["id"].equals(frame["id"])
    rank = {"low": 0, "moderate": 1, "high": 2}
    for _, group in found.filter(pl.col("kind") == "code").group_by("language"):
        total = group["n_bytes"].sum()
        assert group.filter(pl.col("quality") == "high")["n_bytes"].sum() <= 0.3 * total
        assert group.filter(pl.col("reason") == "low_score")["n_bytes"].sum() <= 0.2 * total
        by_score = group.filter(pl.col("reason").is_in(["", "low_score"])).sort("score", "id")
        ranks = [rank[quality] for quality in by_score["quality"]]
        assert ranks == sorted(ranks)
    assert (found.filter(pl.col("quality") == "low")["reason"] != "").all()
    assert (found.filter(pl.col("quality") != "low")["reason"] == "").all()
    assert set(found.filter(pl.col("kind") == "document")["quality"]) <= {"moderate", "low"}


def test_low_resource_languages_lose_no_file_by_score() -> None:
    """The same scores, one language large and one small."""
    rows = [("python", "code", 1000, "", i / 10) for i in range(10)] + [
        ("zig", "code", 10, "", i / 10) for i in range(10)
    ]
    found = assign_classes(scores(rows), ScoreConfig(high_share=0.2, low_share=0.2, low_resource_share=0.05))
    low = found.filter(pl.col("quality") == "low")
    assert low["language"].to_list() == ["python", "python"]
    assert low["score"].to_list() == [0.0, 0.1]
    assert class_shares(found)["high"] == 0.2


def test_a_model_is_trusted_only_where_it_agrees_beyond_chance() -> None:
    """Always answering the commoner class agrees in 90 % of cases, and is not trusted; nor are a few right answers."""
    labels = [1] * 10 + [0] * 90
    frame = pl.concat(
        [
            pl.DataFrame({"language": "good", "label": labels, "predicted": labels}),
            pl.DataFrame({"language": "lazy", "label": labels, "predicted": [0] * 100}),
            pl.DataFrame({"language": "few", "label": [0, 1], "predicted": [0, 1]}),
            pl.DataFrame({"language": "flat", "label": [0] * 100, "predicted": [0] * 100}),
        ]
    )
    found = {row["language"]: row for row in agreement(frame, ScoreConfig()).to_dicts()}
    assert found["good"]["kappa"] == 1.0
    assert found["lazy"]["kappa"] == 0.0
    assert [name for name, row in found.items() if row["trusted"]] == ["good"]

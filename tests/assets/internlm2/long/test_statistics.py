"""Statistics of a document, counted by hand, and the limits that drop by them."""

from __future__ import annotations

import polars as pl
import pytest

from assets.internlm2.long.config import StatisticsConfig
from assets.internlm2.long.statistics import (
    PRONOUNS,
    STATISTICS,
    broken_limit,
    document_statistics,
    limits_for,
    statistics_frame,
)


def test_by_hand() -> None:
    """Every rate over what it says: characters, tokens, words or lines."""
    text = "However, she ran|\n\nI saw it."
    found = document_statistics(text, [1, 2, 2, 3], "en")
    assert found == {
        "len_token_list": 4.0,
        "comp_rate": pytest.approx(4 / 28),
        "dedu_rate": 0.75,
        "pronoun_rate": 3 / 6,
        "conjunction_rate": 1 / 6,
        "len_line_mean": 13.0,
        "len_line_std": 4.0,
        "len_line_median": 13.0,
        "enter_rate": pytest.approx(2 / 28),
        "comma_rate": pytest.approx(1 / 28),
        "space_rate": pytest.approx(4 / 28),
        "bar_rate": pytest.approx(1 / 28),
    }
    assert tuple(found) == STATISTICS


def test_chinese_conjunctions_are_of_the_characters() -> None:
    """因为 and 所以 in ten characters; an English list finds none of them."""
    assert document_statistics("因为下雨，所以不出门", [1], "zh")["conjunction_rate"] == 0.2
    assert document_statistics("因为下雨，所以不出门", [1], "en")["conjunction_rate"] == 0


def test_an_empty_text_has_no_rates() -> None:
    """No division by zero."""
    assert set(document_statistics("", [], "en").values()) == {0.0}


def test_the_published_number_of_pronouns() -> None:
    """LongWanjuan counts 39 English pronouns."""
    assert len(PRONOUNS) == 39


def test_limits_of_a_language_add_to_those_of_its_domain() -> None:
    """And take their place where both name a metric."""
    limits = {"text": {"a": [0, 1], "b": [0, 1]}, "text/zh": {"b": [2, 3]}}
    assert limits_for(limits, "text", "zh") == {"a": [0, 1], "b": [2, 3]}
    assert limits_for(limits, "text", "en") == limits["text"]
    assert limits_for(limits, "code", "") == {}


def test_the_first_broken_limit_is_named() -> None:
    """Bounds themselves are allowed."""
    limits = {"a": [0.0, 1.0], "b": [0.5, 1.0]}
    assert broken_limit({"a": 1.0, "b": 0.5}, limits) is None
    assert broken_limit({"a": 2.0, "b": 0.1}, limits) == ("high_a", 2.0, 1.0)
    assert broken_limit({"a": 0.0, "b": 0.1}, limits) == ("low_b", 0.1, 0.5)


def test_default_limits_drop_what_means_nothing() -> None:
    """A table of bars and a thousand times the same line go; prose stays."""
    prose = "However, the plan that we made was good, because it held. " * 3 + "Nobody knew why.\n"
    texts = [prose, "| a | b | c |\n" * 50, "same\n" * 1000]
    tokens = [list(range(40)), list(range(40)), [1, 2] * 1000]
    frame = pl.DataFrame({"id": ["0", "1", "2"], "domain": "text", "language": "en", "text": texts})
    found = statistics_frame(frame, tokens, StatisticsConfig().limits)
    assert found["reason"].to_list() == ["", "high_bar_rate", "low_dedu_rate"]


@pytest.mark.parametrize("limits", [{"text": {"bar": [0, 1]}}, {"text": {"bar_rate": [1]}}])
def test_a_limit_of_no_metric_is_refused(limits: dict[str, dict[str, list[float]]]) -> None:
    """When the configuration is read, not after hours of measuring."""
    with pytest.raises(ValueError, match="is no limit"):
        StatisticsConfig(limits=limits)

"""The funnel over several crawl files, and where it leaks."""

from __future__ import annotations

from assets.internlm2.text.funnel import Stage, funnel, leaks, table
from assets.internlm2.text.plots import plot_funnel

RULES = [
    {"rows_in": 5, "rows_out": 3, "failed": 0, "dropped": {"digits": 1, "hashes": 1}},
    {"rows_in": 4, "rows_out": 2, "failed": 1, "dropped": {"hashes": 1}},
]
DEDUP = [{"rows_in": 5, "rows_out": 5, "failed": 0, "dropped": {}}]


def test_stages_are_summed_over_files() -> None:
    """Reasons from the most frequent on, failed rows among them; nothing leaks."""
    stages = funnel({"rules": RULES, "dedup": DEDUP})
    assert stages == [Stage("rules", 9, 5, {"hashes": 2, "digits": 1, "failed": 1}), Stage("dedup", 5, 5, {})]
    assert list(stages[0].dropped) == ["hashes", "digits", "failed"]
    assert leaks(stages) == []


def test_leaks_are_named() -> None:
    """Rows lost inside a stage, and a file that did not reach the next stage."""
    lost = [{"rows_in": 5, "rows_out": 3, "failed": 0, "dropped": {}}]
    assert leaks(funnel({"rules": lost})) == ["rules: 5 in, 3 kept, 0 dropped"]
    assert leaks(funnel({"rules": RULES, "dedup": []})) == ["rules kept 5, dedup met 0"]


def test_the_table_and_the_picture() -> None:
    """Every stage is a row with its reasons; equal funnels give equal bytes."""
    stages = funnel({"rules": RULES, "dedup": DEDUP})
    assert "| rules | 9 | 5 | hashes 2, digits 1, failed 1 |" in table(stages)
    assert plot_funnel(stages) == plot_funnel(stages)
    assert plot_funnel(stages) != plot_funnel(stages[:1])

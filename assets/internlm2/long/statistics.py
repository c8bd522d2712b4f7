"""Statistics of a long document under the key names of OpenLMLab/LongWanjuan, and the limits that drop by them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

STATISTICS = (
    "len_token_list", "comp_rate", "dedu_rate", "pronoun_rate", "conjunction_rate", "len_line_mean", "len_line_std",
    "len_line_median", "enter_rate", "comma_rate", "space_rate", "bar_rate",
)  # fmt: skip
# A vocabulary ends: over a longer text the share of distinct tokens would tell its length alone. Our default.
DISTINCT_TOKENS = 32_768
_WORD = re.compile(r"[A-Za-z']+")
# 39 English pronouns: personal, possessive, reflexive, demonstrative and relative ones (the choice is ours).
PRONOUNS = frozenset(
    _WORD.findall(
        "i me my mine myself you your yours yourself yourselves he him his himself she her hers herself it its itself "
        "we us our ours ourselves they them their theirs themselves this that these those who whom whose which"
    )
)
CONJUNCTIONS = frozenset(
    _WORD.findall(
        "although because besides but consequently furthermore hence however if instead meanwhile moreover "
        "nevertheless nonetheless otherwise since so still then therefore though thus unless until whereas whether "
        "while yet"
    )
)
CHINESE_CONJUNCTIONS = (
    "因为", "所以", "因此", "因而", "但是", "可是", "不过", "然而", "虽然", "尽管", "如果", "假如", "只要", "只有",
    "除非", "否则", "而且", "并且", "此外", "同时", "于是", "从而", "然后", "即使", "无论", "不管", "既然", "或者",
    "还是", "以及",
)  # fmt: skip
_CHINESE = re.compile("|".join(CHINESE_CONJUNCTIONS))


def document_statistics(text: str, tokens: Sequence[int], language: str) -> dict[str, float]:
    """STATISTICS of a text and its token ids; every rate of an empty text is 0.

    `comp_rate` is tokens to a character, `dedu_rate` the share of the first `DISTINCT_TOKENS` that are distinct. Rates
    of characters are of all characters; `pronoun_rate` and `conjunction_rate` are of all words, and in Chinese
    (`language` zh) `conjunction_rate` is of the characters. Lengths of lines are in characters, blank lines left out.
    """
    characters, words = max(1, len(text)), [word.lower() for word in _WORD.findall(text)]
    beginning = tokens[:DISTINCT_TOKENS]
    lines = np.array([len(line) for line in text.splitlines() if line.strip()] or [0], dtype=np.float64)
    if language == "zh":
        conjunction_rate = len(_CHINESE.findall(text)) / characters
    else:
        conjunction_rate = sum(word in CONJUNCTIONS for word in words) / max(1, len(words))
    values = (
        len(tokens), len(tokens) / characters, len(set(beginning)) / max(1, len(beginning)),
        sum(word in PRONOUNS for word in words) / max(1, len(words)), conjunction_rate,
        lines.mean(), lines.std(), np.median(lines), text.count("\n") / characters,
        (text.count(",") + text.count("，")) / characters, text.count(" ") / characters, text.count("|") / characters,
    )  # fmt: skip
    return {name: float(value) for name, value in zip(STATISTICS, values, strict=True)}


def limits_for(
    limits: Mapping[str, Mapping[str, Sequence[float]]], domain: str, language: str
) -> dict[str, Sequence[float]]:
    """The limits of a document: those of its domain, and over them those of its domain and language."""
    return {**limits.get(domain, {}), **limits.get(f"{domain}/{language}", {})}


def broken_limit(row: Mapping[str, float], limits: Mapping[str, Sequence[float]]) -> tuple[str, float, float] | None:
    """Reason (as low_dedu_rate), value and limit of the first limit that a document breaks; None for none."""
    for name, (least, greatest) in limits.items():
        if row[name] < least:
            return f"low_{name}", row[name], least
        if row[name] > greatest:
            return f"high_{name}", row[name], greatest
    return None


def statistics_frame(
    documents: pl.DataFrame,
    tokens: Sequence[Sequence[int]],
    limits: Mapping[str, Mapping[str, Sequence[float]]],
) -> pl.DataFrame:
    """A row per document (`id`, `domain`, `language`, `text`): STATISTICS, and what limit it breaks ("" for none)."""
    rows = []
    for (name, domain, language, text), ids in zip(
        documents.select("id", "domain", "language", "text").iter_rows(), tokens, strict=True
    ):
        found = document_statistics(text, ids, language)
        broken = broken_limit(found, limits_for(limits, domain, language)) or ("", None, None)
        rows.append((name, [name], domain, language, *found.values(), *broken))
    return pl.DataFrame(rows, schema=STATISTICS_SCHEMA, orient="row")


STATISTICS_SCHEMA = pl.Schema(
    {
        "id": pl.String(),
        "parents": pl.List(pl.String()),
        "domain": pl.String(),
        "language": pl.String(),
        **dict.fromkeys(STATISTICS, pl.Float64()),
        "reason": pl.String(),
        "score": pl.Float64(),
        "threshold": pl.Float64(),
    }
)

"""Safety of pages: blocked domains, blocked words, and the classifiers of toxicity and pornography."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from assets.core.audit import Limit, judge
from assets.internlm2.text.blocklists import Blocklists, parents
from assets.internlm2.text.classifier import Classifier
from assets.internlm2.text.config import SafetyConfig
from assets.internlm2.text.words import UNSPACED

HOST = r"^(?:[a-z][a-z0-9+.-]*:)?//(?:[^/?#@]*@)?([^/?#:]+)"


def safety_verdicts(
    frame: pl.DataFrame,
    config: SafetyConfig,
    classifiers: Mapping[str, Classifier],
    blocked: Blocklists = Blocklists(),  # noqa: B008 (frozen)
) -> pl.DataFrame:
    """Verdicts (core/audit) on pages with `id`, `url` and `text`; `classifiers` has `toxicity` and `pornography`."""
    texts = frame["text"].to_list()
    scores = pl.DataFrame(
        {
            "blocked_domain": blocked_hosts(hosts_of(frame["url"]), blocked.domains),
            "blocked_words": count_blocked(frame["text"], blocked.words),
            "toxicity": classifiers["toxicity"].scores(texts),
            "pornography": classifiers["pornography"].scores(texts),
        }
    )
    limits = [
        Limit("blocked_domain", 0),
        Limit("blocked_words", config.max_blocked_words),
        Limit("toxicity", config.max_toxicity),
        Limit("pornography", config.max_pornography),
    ]
    return judge(frame["id"], scores, limits)


def hosts_of(url: pl.Series) -> pl.Series:
    """The host of each URL in lower case; null where there is none."""
    return url.str.to_lowercase().str.extract(HOST).str.strip_chars_end(".")


def blocked_hosts(hosts: pl.Series, domains: frozenset[str]) -> pl.Series:
    """1 for a host that is a blocked domain or lies below one, else 0."""
    blocked = [host for host in hosts.drop_nulls().unique() if not domains.isdisjoint(parents(host))]
    return hosts.is_in(blocked).fill_null(False).cast(pl.Int64)


def count_blocked(text: pl.Series, words: Sequence[str]) -> pl.Series:
    """How many different blocked words or phrases a text holds, as whole words whatever their case.

    In scripts that do not part words an entry counts wherever it stands.
    """
    if not words:
        return pl.Series(np.zeros(len(text), dtype=np.int64))
    entries = pl.Series([*words])
    unspaced = entries.str.contains(f"[{UNSPACED}]")
    sought = pl.concat([_padded(entries.filter(~unspaced)), entries.filter(unspaced)])
    found = _padded(text).to_frame("text").select(pl.col("text").str.extract_many(sought.implode(), overlapping=True))
    return found["text"].list.n_unique().cast(pl.Int64)


def _padded(text: pl.Series) -> pl.Series:
    """Words in lower case, each between single blanks."""
    return " " + text.str.to_lowercase().str.replace_all(r"[^\p{L}\p{M}\p{N}]+", " ").str.strip_chars() + " "

"""Quality of pages by two classifiers: adverts (any advert, whole or partial, is bad) and fluency (paper, §3.1.1)."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from assets.core.audit import Limit, judge
from assets.internlm2.text.classifier import Classifier
from assets.internlm2.text.config import QualityConfig


def quality_verdicts(frame: pl.DataFrame, config: QualityConfig, classifiers: Mapping[str, Classifier]) -> pl.DataFrame:
    """Verdicts (core/audit) on pages with `id` and `text`; `classifiers` has `advert` and `fluency`."""
    texts = frame["text"].to_list()
    scores = pl.DataFrame(
        {"advert": classifiers["advert"].scores(texts), "not_fluent": classifiers["fluency"].scores(texts)}
    )
    limits = [Limit("advert", config.max_advert), Limit("not_fluent", config.max_disfluency)]
    return judge(frame["id"], scores, limits)

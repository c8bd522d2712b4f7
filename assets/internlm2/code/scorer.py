"""The model scorer: a text classifier trained on what people called low."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.internlm2.text.config import ClassifierConfig

if TYPE_CHECKING:
    from assets.internlm2.text.classifier import Classifier


@dataclass(frozen=True)
class ModelScorer:
    """A classifier of low files, and what it says of the labels it was not trained on."""

    classifier: Classifier
    heldout: pl.DataFrame
    """language, label and predicted, both 1 for low."""

    def quality(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The chance of each text not to be low, `[texts]`."""
        return 1 - self.classifier.scores(texts)


def train_scorer(labels: pl.DataFrame) -> ModelScorer:
    """Train on the split train of `labels` (language, text, label, split). Raises InputError for one class."""
    from assets.internlm2.text.classifier import train_classifier

    train, heldout = (labels.filter(pl.col("split") == split) for split in ("train", "test"))
    classifier = train_classifier(train["text"].to_list(), train["label"].to_list(), ClassifierConfig())
    low = classifier.scores(heldout["text"].to_list()) >= 0.5
    return ModelScorer(classifier, heldout.select("language", "label", predicted=pl.Series(low, dtype=pl.Int64)))

"""Classifiers of texts with two classes: a score is the probability that a text is bad.

Two kinds with one interface: a logistic regression over hashed n-grams, trained in seconds on a laptop, and a Hugging
Face sequence classifier such as the paper's BERT. Both are saved as safetensors and JSON; nothing is pickled on disk.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assets.core.errors import InputError
from assets.internlm2.text.config import ClassifierConfig

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

SETTINGS, WEIGHTS, MODEL = "classifier.json", "weights.safetensors", "model"
Floats = NDArray[np.float64]


class Classifier(ABC):
    """What safety and quality ask."""

    @abstractmethod
    def scores(self, texts: Sequence[str]) -> Floats:
        """The probability of the bad class for each text."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what `load` needs into a folder."""

    @staticmethod
    def load(folder: Path) -> Classifier:
        """The classifier, of either kind, that was saved into a folder."""
        settings = json.loads((folder / SETTINGS).read_text())
        config = ClassifierConfig(**settings["config"])
        if settings["kind"] == "sequence":
            return SequenceClassifier(config, folder / MODEL)
        from safetensors.numpy import load_file

        return HashedClassifier(config, load_file(folder / WEIGHTS)["weights"], settings["bias"])


class HashedClassifier(Classifier):
    """Logistic regression over hashed n-grams of words and of characters; `weights` [2 ** (hash_bits + 1)], `bias`."""

    def __init__(self, config: ClassifierConfig, weights: NDArray[np.float32], bias: float) -> None:
        self.config = config
        self.weights = weights
        self.bias = bias

    def scores(self, texts: Sequence[str]) -> Floats:
        if not texts:
            return np.zeros(0)
        return 1 / (1 + np.exp(-(hashed_ngrams(texts, self.config) @ self.weights.astype(np.float64) + self.bias)))

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        save_file({"weights": self.weights}, folder / WEIGHTS)
        _write_settings(folder, self.config, kind="hashed", bias=self.bias)


class SequenceClassifier(Classifier):
    """A Hugging Face sequence classifier from a folder, read when the first text is scored.

    Only the folder travels to other processes, so on a cluster it lies where every machine sees it.
    """

    def __init__(self, config: ClassifierConfig, folder: Path) -> None:
        if not (folder / "config.json").is_file():
            raise InputError(
                f"{folder} is no Hugging Face model", "name a folder with config.json, weights and tokenizer"
            )
        self.config = config
        self.folder = folder

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.config, "folder": self.folder}

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        model = AutoModelForSequenceClassification.from_pretrained(self.folder)
        return AutoTokenizer.from_pretrained(self.folder), model.to(self.config.device).eval()

    def scores(self, texts: Sequence[str]) -> Floats:
        import torch

        tokenizer, model = self._parts
        # Texts of like length share a batch, so that little of it is padding.
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        found = np.zeros(len(texts))
        for start in range(0, len(order), self.config.batch_size):
            places = order[start : start + self.config.batch_size]
            batch = tokenizer(
                [texts[place] for place in places], truncation=True, max_length=self.config.max_length,
                padding=True, return_tensors="pt",
            )  # fmt: skip
            with torch.inference_mode():
                logits = model(**batch.to(self.config.device)).logits.float()
            found[places] = logits.softmax(-1)[:, self.config.bad_label].double().cpu().numpy()
        return found

    def save(self, folder: Path) -> None:
        tokenizer, model = self._parts
        model.save_pretrained(folder / MODEL)
        tokenizer.save_pretrained(folder / MODEL)
        _write_settings(folder, self.config, kind="sequence")


def hashed_ngrams(texts: Sequence[str], config: ClassifierConfig) -> csr_matrix:
    """Features [texts, 2 ** (hash_bits + 1)]: n-grams of words beside n-grams of characters, each of length 1."""
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction.text import HashingVectorizer

    size = 2**config.hash_bits
    words = HashingVectorizer(n_features=size, ngram_range=(1, config.word_ngram))
    length = config.character_ngram
    characters = HashingVectorizer(n_features=size, analyzer="char_wb", ngram_range=(length, length))
    begun = [text[: config.max_characters] for text in texts]
    return csr_matrix(hstack([words.transform(begun), characters.transform(begun)]))


def train_classifier(texts: Sequence[str], labels: Sequence[int], config: ClassifierConfig) -> Classifier:
    """A classifier of texts with labels 1 (bad) and 0; with a `model` in the configuration, that model as it is.

    Raises InputError when only one class is there.
    """
    from sklearn.linear_model import LogisticRegression

    if config.model:
        return SequenceClassifier(config, Path(config.model))
    if set(labels) != {0, 1}:
        raise InputError("the labelled texts are all of one class", "give texts with label 1 and with label 0")
    fitted = LogisticRegression(C=config.regularisation, max_iter=1_000).fit(hashed_ngrams(texts, config), labels)
    return HashedClassifier(config, fitted.coef_[0].astype(np.float32), float(fitted.intercept_[0]))


def _write_settings(folder: Path, config: ClassifierConfig, **more: object) -> None:
    # The path that the model was read from is not part of what was published.
    settings = config.model_copy(update={"model": ""}).model_dump(mode="json")
    (folder / SETTINGS).write_text(json.dumps({**more, "config": settings}, indent=1, sort_keys=True))

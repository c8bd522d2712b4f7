"""Both kinds of classifier: they learn, survive saving, and score a text alike in any company."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from random import Random

import numpy as np
import pytest

from assets.core.errors import InputError
from assets.internlm2.text.assets import model_files
from assets.internlm2.text.classifier import Classifier, SequenceClassifier, train_classifier
from assets.internlm2.text.config import ClassifierConfig
from assets.internlm2.text.evaluation import evaluate

SMALL = ClassifierConfig(hash_bits=12, regularisation=10)


def texts(size: int, seed: int) -> tuple[list[str], list[int]]:
    """Every second one has a phrase of adverts."""
    random = Random(seed)
    words = ["river", "stone", "the", "of", "market", "evening", "bridge", "people", "wind"]
    labels = [place % 2 for place in range(size)]
    return [" ".join(random.choices(words, k=20)) + (" buy now for free" if label else "") for label in labels], labels


@pytest.fixture(scope="module")
def hashed() -> Classifier:
    return train_classifier(*texts(60, 0), SMALL)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of the shape of the paper's, with random weights and a few dozen of them."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "river", "stone", "buy", "now", "the"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=16, num_labels=2, initializer_range=0.5,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def bert_config(bert: Path, **settings: object) -> ClassifierConfig:
    return ClassifierConfig(model=str(bert), max_length=12, batch_size=2, **settings)


def test_it_learns(hashed: Classifier) -> None:
    """Texts that it has not seen are told apart."""
    unseen, labels = texts(60, 1)
    quality = evaluate(np.array(labels), hashed.scores(unseen), 0.5)
    assert quality.auc > 0.95
    assert quality.better_than_chance


def test_training_is_deterministic(hashed: Classifier) -> None:
    """Equal texts and settings give equal weights."""
    again = train_classifier(*texts(60, 0), SMALL)
    assert np.array_equal(again.scores(["buy the stone"]), hashed.scores(["buy the stone"]))


def test_both_classes_are_needed() -> None:
    """One class alone teaches nothing."""
    with pytest.raises(InputError, match="one class"):
        train_classifier(["a", "b"], [1, 1], SMALL)


def test_only_the_beginning_is_looked_at(hashed: Classifier) -> None:
    """A page of any length costs no more than `max_characters` of it."""
    short = train_classifier(*texts(60, 0), SMALL.model_copy(update={"max_characters": 20}))
    begun = "river stone the of market "
    assert short.scores([begun + "buy now for free"]) == short.scores([begun + "wind"])
    assert hashed.scores([begun + "buy now for free"]) > hashed.scores([begun + "wind"])


def test_a_hashed_classifier_survives_saving(hashed: Classifier, tmp_path: Path) -> None:
    """On disk are safetensors and JSON; scores are equal, in another process too."""
    hashed.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["classifier.json", "weights.safetensors"]
    some, _ = texts(10, 2)
    assert np.array_equal(Classifier.load(tmp_path).scores(some), hashed.scores(some))
    assert np.array_equal(pickle.loads(pickle.dumps(hashed)).scores(some), hashed.scores(some))  # noqa: S301
    assert hashed.scores([]).shape == (0,)


def test_a_bert_scores_as_transformers_does(bert: Path) -> None:
    """The probability of the bad class of each text, whatever its batch; texts too long for the model are cut."""
    from transformers import pipeline

    given = ["river stone", "buy now", "the", "buy " * 40, ""]
    found = train_classifier([], [], bert_config(bert)).scores(given)
    peer = pipeline("text-classification", model=str(bert), top_k=None, device="cpu")
    answers = peer(given, truncation=True, max_length=12)
    wanted = [next(each["score"] for each in answer if each["label"] == "LABEL_1") for answer in answers]
    assert found == pytest.approx(wanted, abs=1e-5)
    other = train_classifier([], [], bert_config(bert, bad_label=0)).scores(given)
    assert found + other == pytest.approx(np.ones(5), abs=1e-6)


def test_a_bert_survives_saving(bert: Path, tmp_path: Path) -> None:
    """The published folder holds the model and not the path that it came from."""
    classifier = train_classifier([], [], bert_config(bert))
    classifier.save(tmp_path)
    assert str(bert) not in json.dumps(json.loads((tmp_path / "classifier.json").read_text()))
    loaded = Classifier.load(tmp_path)
    assert isinstance(loaded, SequenceClassifier)
    wanted = classifier.scores(["buy now", "river"])
    assert loaded.scores(["buy now", "river"]) == pytest.approx(wanted, abs=1e-6)
    assert pickle.loads(pickle.dumps(loaded)).scores(["buy now", "river"]) == pytest.approx(wanted, abs=1e-6)  # noqa: S301


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    """The error says what the folder must hold, before any text is scored."""
    with pytest.raises(InputError, match="no Hugging Face model"):
        train_classifier([], [], ClassifierConfig(model=str(tmp_path / "nowhere")))


def test_evaluation_against_counts_by_hand() -> None:
    """AUC is the share of pairs in order, a tie half a pair; precision and recall are of the bad class."""
    quality = evaluate(np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.4, 0.1]), 0.3)
    assert quality.auc == pytest.approx(3.5 / 4)
    assert (quality.precision, quality.recall) == (pytest.approx(2 / 3), 1)


def test_chance_is_no_quality() -> None:
    """Scores without a connection to the labels do not pass the check."""
    rng = np.random.default_rng(0)
    assert not evaluate(np.arange(200) % 2, rng.random(200), 0.5).better_than_chance


def test_other_weights_are_another_model(bert: Path, tmp_path: Path) -> None:
    """What lies under the path counts, not its name."""
    shutil.copytree(bert, tmp_path, dirs_exist_ok=True)
    before = model_files(ClassifierConfig(model=str(tmp_path)))
    assert model_files(ClassifierConfig(model=str(bert))) == before
    (tmp_path / "model.safetensors").write_bytes(b"other")
    assert model_files(ClassifierConfig(model=str(tmp_path))) != before
    assert model_files(ClassifierConfig()) == {}

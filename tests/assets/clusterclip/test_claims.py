"""Claims: pairing by seed and document, the direction of every verdict, and honesty about few seeds."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from assets.claims.claim import claims_frame, markdown_table
from assets.clusterclip.claims import MIN_SEEDS, measure_claims, pair

TRAINING = pl.DataFrame({"cluster": np.repeat([0, 1, 2, 3], [40, 30, 20, 4]), "n_tokens": 100, "n_bytes": 400})


def scores(plan: str, seeds: int, *, heldout_bits: float, train_bits: float = 800.0) -> pl.DataFrame:
    """Score rows of 4 clusters with 12 held-out and 6 training documents each, with a little noise of the document."""
    rows = []
    for seed in range(seeds):
        for cluster in range(4):
            for i in range(18):
                split, bits = ("heldout", heldout_bits) if i < 12 else ("train", train_bits)
                noise = np.random.default_rng([cluster, i]).normal(0, 20)
                jitter = np.random.default_rng([seed, cluster, i, len(plan)]).normal(0, 2)
                rows.append(
                    {
                        "document_id": f"{cluster}-{i:02d}",
                        "plan": plan,
                        "seed": seed,
                        "split": split,
                        "cluster": cluster,
                        "package": f"p{cluster % 2}",
                        "n_bytes": 400,
                        "bits": bits + noise + jitter,
                    }
                )
    return pl.DataFrame(rows)


def verdicts(arms: dict[str, pl.DataFrame]) -> dict[str, str]:
    return {claim.claim: claim.verdict for claim in measure_claims(arms, training=TRAINING)}


def test_a_planted_effect_is_found_with_its_sign() -> None:
    """Lower bits than random reproduce claim 1, higher bits contradict it; the interval holds the planted effect."""
    random = scores("random", MIN_SEEDS, heldout_bits=900)
    better = verdicts({"random": random, "clusterclip": scores("clusterclip", MIN_SEEDS, heldout_bits=880)})
    worse = verdicts({"random": random, "clusterclip": scores("clusterclip", MIN_SEEDS, heldout_bits=920)})
    assert better["1 balance helps"] == "reproduced"
    assert better["1 balance helps (independent grouping)"] == "reproduced"
    assert worse["1 balance helps"] == "not_reproduced"
    assert worse["3 cost on common text (training mixture)"] == "not_reproduced"


def test_less_overfitting_is_a_smaller_gap() -> None:
    """The clip's claim looks at held-out minus training bits of the rare clusters."""
    arms = {
        "uniform": scores("uniform", MIN_SEEDS, heldout_bits=900, train_bits=700),
        "clusterclip": scores("clusterclip", MIN_SEEDS, heldout_bits=900, train_bits=760),
    }
    found = {claim.claim: claim for claim in measure_claims(arms, training=TRAINING)}
    claim = found["2 the clip reduces overfitting"]
    assert claim.verdict == "reproduced"
    assert claim.difference == pytest.approx(-60 / 400, abs=0.01)
    assert found["2 the clip costs nothing"].verdict == "reproduced"


def test_few_seeds_give_no_verdict() -> None:
    """One seed is inconclusive whatever it shows, and the note says how many would be needed."""
    arms = {"random": scores("random", 1, heldout_bits=900), "clusterclip": scores("clusterclip", 1, heldout_bits=700)}
    found = list(measure_claims(arms, training=TRAINING))
    assert {claim.verdict for claim in found} == {"inconclusive"}
    assert all("1 of at least 5 seeds" in claim.note for claim in found)


def test_only_common_seeds_are_compared() -> None:
    """An arm with more seeds is cut to the seeds that both have; arms without a common seed make no claim."""
    arms = pair(scores("clusterclip", 5, heldout_bits=1), scores("random", 2, heldout_bits=1))
    assert arms.treatment.shape == (2, 72)
    assert not list(measure_claims({"random": scores("random", 5, heldout_bits=1)}, training=TRAINING))


def test_other_documents_are_refused() -> None:
    """Two plans scored on different documents are not paired silently."""
    full = scores("clusterclip", 2, heldout_bits=1)
    with pytest.raises(ValueError, match="different documents"):
        pair(full, full.filter(pl.col("document_id") != "0-00"))


def test_the_table_shows_every_claim() -> None:
    """One line per claim with the interval, also for negative results."""
    arms = {"random": scores("random", 5, heldout_bits=900), "clusterclip": scores("clusterclip", 5, heldout_bits=920)}
    frame = claims_frame(list(measure_claims(arms, training=TRAINING)))
    table = markdown_table(frame)
    assert len(table.splitlines()) == frame.height + 2
    assert "not reproduced" in table
    assert frame["id"].n_unique() == frame.height

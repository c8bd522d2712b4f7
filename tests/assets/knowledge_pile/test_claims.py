"""The claims on made-up scores and selections whose answer is known."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from assets.claims.claim import Claim
from assets.knowledge_pile import plots
from assets.knowledge_pile.arms import ARMS
from assets.knowledge_pile.claims import STATEMENTS, measure_claims

MODULES = [f"m{n}" for n in range(10)]
LABELS = pl.DataFrame(
    {
        "id": [f"{module}-{n}" for module in [*MODULES, "x", "y"] for n in range(6)],
        "module": [module for module in [*MODULES, "x", "y"] for _ in range(6)],
        "in_domain": [True] * 60 + [False] * 12,
        "n_tokens": [50] * 72,
    }
)


def scores(arm: str, inside: float, outside: float, seeds: int = 5) -> pl.DataFrame:
    """Passages of 100 bytes whose bits differ between arms by a constant, and by module and seed equally for all."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        for module in MODULES:
            for in_domain, bits in ((True, inside), (False, outside)):
                noise = rng.normal()
                rows.append((arm, seed, f"{module}-{in_domain}", module, in_domain, 100, 200 + bits + noise))
    schema = ["arm", "seed", "document_id", "module", "in_domain", "n_bytes", "bits"]
    return pl.DataFrame(rows, schema=schema, orient="row")


def selection(arm: str, n_domain: int, seeds: int = 5) -> pl.DataFrame:
    """Twelve passages of 50 tokens, of which the first `n_domain` of every seed are of the domain."""
    chosen = [*LABELS.filter("in_domain")["id"][:n_domain], *LABELS.filter(~pl.col("in_domain"))["id"][n_domain:]]
    return pl.concat(
        pl.DataFrame({"document_id": chosen}).with_columns(
            arm=pl.lit(arm), seed=pl.lit(seed, dtype=pl.Int64), n_tokens=pl.lit(50, dtype=pl.Int64)
        )
        for seed in range(seeds)
    )


BITS = {"random": (0, 0), "seed_only": (-5, 0), "questions": (-10, 1), "thoughts": (-10, 2), "oracle": (-20, 5)}
DOMAIN = {"random": 2, "seed_only": 6, "questions": 8, "thoughts": 9, "oracle": 12}


def measured(seeds: int = 5) -> dict[tuple[str, str], Claim]:
    found = measure_claims(
        {arm: scores(arm, *BITS[arm], seeds) for arm in ARMS},
        {arm: selection(arm, DOMAIN[arm], seeds) for arm in ARMS},
        LABELS,
    )
    return {
        (claim.claim[0] + (claim.baseline if claim.claim[0] == "1" else ""), claim.metric): claim for claim in found
    }


def test_differences_are_those_of_the_definitions() -> None:
    """Bits per byte over all bytes; precision, recall and the domain's share against the sets they are defined on."""
    found = measured()
    assert len(found) == len(STATEMENTS)
    assert found["1random", "in_domain_bpb"].difference == pytest.approx(-0.1)
    assert found["4", "out_of_domain_bpb"].difference == pytest.approx(0.02)
    assert found["2", "precision"].difference == pytest.approx(9 / 12 - 6 / 12)
    assert found["2", "recall"].difference == pytest.approx(9 / 60 - 6 / 60)
    assert found["2", "domain_share"].difference == pytest.approx(9 / 12 - 6 / 12)
    assert found["3", "precision"].difference == pytest.approx(1 / 12)


def test_verdicts_say_what_was_asserted_and_what_was_only_reported() -> None:
    """An asserted sign holds, a gap of nothing decides nothing, and the note says where no sign was asserted."""
    found = measured()
    assert found["1random", "in_domain_bpb"].verdict == "reproduced"
    assert found["2", "in_domain_bpb"].verdict == "reproduced"
    assert found["3", "in_domain_bpb"].verdict == "inconclusive"
    assert "reported, not asserted" in found["4", "out_of_domain_bpb"].note


def test_few_seeds_decide_nothing() -> None:
    """Five are asked for, and the note counts them."""
    found = measured(seeds=2)
    assert {claim.verdict for claim in found.values()} == {"inconclusive"}
    assert all("2 of at least 5 seeds" in claim.note for claim in found.values())


def test_a_claim_that_fails_is_published() -> None:
    """Worse queries must read as not reproduced, not vanish."""
    rows = {"thoughts": scores("thoughts", 5, 0), "seed_only": scores("seed_only", -5, 0)}
    (claim,) = measure_claims(rows, {}, LABELS)
    assert claim.verdict == "not_reproduced"
    assert claim.difference == pytest.approx(0.1)


def test_arms_that_scored_other_passages_are_not_compared() -> None:
    """Paired differences of different texts would mean nothing."""
    rows = {"thoughts": scores("thoughts", 0, 0), "random": scores("random", 0, 0).filter(pl.col("module") != "m3")}
    with pytest.raises(ValueError, match="different passages"):
        list(measure_claims(rows, {}, LABELS))


def test_pictures_are_drawn_of_little_and_of_nothing() -> None:
    """A small run must not fail on its pictures."""
    counts = pl.DataFrame({"kind": ["seed", "question"], "depth": [0, 1], "len": [3, 4]})
    pictures = [
        plots.plot_queries(counts),
        plots.plot_hits([]),
        plots.plot_hits([3, 3, 3]),
        plots.plot_funnel({"hits": 10, "kept": 0}),
        plots.plot_domain_share({"random": [0.1, 0.2], "oracle": [1.0]}, 0.1),
    ]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)

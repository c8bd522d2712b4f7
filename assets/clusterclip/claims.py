"""The claims of ClusterClip, measured on per-document scores (specification: claims to reproduce in the small)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.claims.claim import Claim
from assets.clusterclip.measure import gap_groups, gap_statistic, mixture_weights, rare_clusters
from assets.core.statistics import (
    PairedDifference,
    Statistic,
    Verdict,
    macro_mean,
    micro_mean,
    paired_bootstrap,
    verdict,
    verdict_not_worse,
    worst_quartile_mean,
)

MIN_SEEDS = 5
MIN_DOCUMENTS_PER_PACKAGE = 5
# The largest harm that does not matter, in bits per byte; chosen before looking at results (our default).
MARGIN = 0.01
HELD_EQUAL = "initial weights, training tokens, steps, tokenizer, held-out documents"


@dataclass(frozen=True)
class Arms:
    """Scores of two plans on the same documents and seeds: bits `[seeds, documents]`, and the documents."""

    treatment: NDArray[np.float64]
    baseline: NDArray[np.float64]
    documents: pl.DataFrame

    def weighted(self, weight: NDArray[np.float64]) -> Arms:
        """Bits and bytes of each document times its weight."""
        documents = self.documents.with_columns(n_bytes=pl.col("n_bytes") * pl.Series(weight))
        return Arms(self.treatment * weight, self.baseline * weight, documents)

    def take(self, rows: NDArray[np.bool_]) -> Arms:
        return Arms(self.treatment[:, rows], self.baseline[:, rows], self.documents.filter(pl.Series(rows)))


def pair(treatment: pl.DataFrame, baseline: pl.DataFrame) -> Arms:
    """Two plans' score rows, matched by seed and document id."""
    seeds = sorted(set(treatment["seed"]) & set(baseline["seed"]))
    wide = []
    for scores in (treatment, baseline):
        by_seed = [
            scores.filter(pl.col("seed") == seed).sort("document_id").select("document_id", "bits") for seed in seeds
        ]
        ids = by_seed[0]["document_id"]
        if not all(frame["document_id"].equals(ids) for frame in by_seed):
            raise ValueError("seeds of one plan scored different documents; materialize the scores again")
        wide.append((ids, np.stack([frame["bits"].to_numpy() for frame in by_seed])))
    (ids, ours), (other_ids, theirs) = wide
    if not ids.equals(other_ids):
        raise ValueError("the plans scored different documents; materialize the scores again")
    documents = treatment.filter(pl.col("seed") == seeds[0]).sort("document_id")
    return Arms(ours, theirs, documents)


def _compare(
    arms: Arms, statistic: Statistic, groups: NDArray[np.generic] | None, strata: NDArray[np.generic]
) -> PairedDifference:
    return paired_bootstrap(
        arms.treatment,
        arms.baseline,
        weights=arms.documents["n_bytes"].to_numpy(),
        groups=groups,
        strata=strata,
        statistic=statistic,
    )


def measure_pair(arms: Arms, rare: NDArray[np.int64], training: pl.DataFrame) -> dict[str, PairedDifference]:
    """Every metric of the specification for one pair of plans."""
    heldout = arms.take((arms.documents["split"] == "heldout").to_numpy())
    cluster = heldout.documents["cluster"].to_numpy()
    package = heldout.documents["package"]
    large = package.is_in(
        package.value_counts().filter(pl.col("count") >= MIN_DOCUMENTS_PER_PACKAGE)["package"].to_list()
    ).to_numpy()
    by_package = heldout.take(large)
    weight = mixture_weights(
        cluster,
        heldout.documents["n_bytes"].to_numpy(),
        training["cluster"].to_numpy(),
        training["n_bytes"].to_numpy(),
    )
    common = heldout.weighted(weight).take(weight > 0)
    measured = {
        "mixture_bpb": _compare(common, micro_mean, None, cluster[weight > 0]),
        "macro_bpb_clusters": _compare(heldout, macro_mean, cluster, cluster),
        "micro_bpb": _compare(heldout, micro_mean, None, cluster),
        "worst_quartile_bpb": _compare(heldout, worst_quartile_mean, cluster, cluster),
    }
    if large.any():
        packages = by_package.documents["package"].to_numpy()
        measured["macro_bpb_packages"] = _compare(by_package, macro_mean, packages, packages)
    groups = gap_groups(arms.documents["cluster"].to_numpy(), (arms.documents["split"] == "train").to_numpy(), rare)
    rare_arms = arms.take(groups >= 0)
    used = groups[groups >= 0]
    measured["rare_cluster_gap"] = _compare(rare_arms, gap_statistic, used, used)
    return measured


def _sign(found: PairedDifference) -> Verdict:
    return verdict(found.low, found.high, n_seeds=found.n_seeds, min_seeds=MIN_SEEDS, direction="lower")


def _harmless(found: PairedDifference) -> Verdict:
    return verdict_not_worse(
        found.low, found.high, margin=MARGIN, n_seeds=found.n_seeds, min_seeds=MIN_SEEDS, better="lower"
    )


def _either(found: PairedDifference) -> Verdict:
    return "inconclusive" if found.n_seeds < MIN_SEEDS or found.low <= 0 <= found.high else "reproduced"


RULES = {
    "lower": (_sign, ""),
    "not worse": (_harmless, f"not worse means less than {MARGIN} bits per byte of harm"),
    "differs": (_either, "the sign is reported, not asserted"),
}
# claim, treatment, baseline, metric, rule
STATEMENTS = (
    ("1 balance helps", "clusterclip", "random", "macro_bpb_clusters", "lower"),
    ("1 balance helps (independent grouping)", "clusterclip", "random", "macro_bpb_packages", "lower"),
    ("2 the clip reduces overfitting", "clusterclip", "uniform", "rare_cluster_gap", "lower"),
    ("2 the clip costs nothing", "clusterclip", "uniform", "macro_bpb_clusters", "not worse"),
    ("3 cost on common text (training mixture)", "clusterclip", "random", "mixture_bpb", "not worse"),
    ("3 cost on all held-out text", "clusterclip", "random", "micro_bpb", "not worse"),
    ("3 cost on the worst quartile", "clusterclip", "random", "worst_quartile_bpb", "not worse"),
    ("4 order matters (G2S against S2G)", "clusterclip", "s2g", "macro_bpb_clusters", "differs"),
    ("5 the chosen R beats R=1", "clusterclip", "clusterclip_r1", "macro_bpb_clusters", "lower"),
    ("5 the chosen R beats R=2", "clusterclip", "clusterclip_r2", "macro_bpb_clusters", "lower"),
    ("5 the chosen R beats R=10", "clusterclip", "clusterclip_r10", "macro_bpb_clusters", "lower"),
)


def measure_claims(scores: Mapping[str, pl.DataFrame], *, training: pl.DataFrame) -> Iterator[Claim]:
    """A claim for every statement whose two plans were scored on a common seed.

    `scores` maps a plan to its score rows of all seeds; `training` has cluster, n_tokens and n_bytes of the
    training documents: it says which clusters are rare and which text is common.
    """
    rare = rare_clusters(training["cluster"].to_numpy(), training["n_tokens"].to_numpy())
    measured: dict[tuple[str, str], dict[str, PairedDifference]] = {}
    for claim, treatment, baseline, metric, rule in STATEMENTS:
        if not {treatment, baseline} <= scores.keys():
            continue
        if not set(scores[treatment]["seed"]) & set(scores[baseline]["seed"]):
            continue
        key = (treatment, baseline)
        if key not in measured:
            measured[key] = measure_pair(pair(scores[treatment], scores[baseline]), rare, training)
        if metric not in measured[key]:
            continue
        found = measured[key][metric]
        decide, note = RULES[rule]
        few = f"{found.n_seeds} of at least {MIN_SEEDS} seeds" if found.n_seeds < MIN_SEEDS else ""
        yield Claim(
            system="clusterclip",
            claim=claim,
            metric=metric,
            baseline=baseline,
            treatment=treatment,
            difference=found.difference,
            low=found.low,
            high=found.high,
            n_seeds=found.n_seeds,
            n_items=found.n_items,
            held_equal=HELD_EQUAL,
            verdict=decide(found),
            note="; ".join(filter(None, (few, note))),
        )

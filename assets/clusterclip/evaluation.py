"""What the scores say: the claims, and which checkpoint becomes the champion."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from assets.claims.claim import claims_frame, markdown_table
from assets.clusterclip import plots
from assets.clusterclip.claims import measure_claims
from assets.clusterclip.config import PLANS
from assets.clusterclip.measure import group_bits_per_byte, macro_bits_per_byte
from assets.core.documents import bits_of_documents
from assets.core.errors import InputError
from assets.core.lake import Dataset, DatasetWriter
from assets.core.recipe import CHEAP, Input, recipe
from assets.core.registry import register_champion
from assets.core.resources import ComputeResource
from assets.core.tracking import Tracking
from assets.internlm2.tokenizer import encode, load_tokenizer, special_ids

REGISTERED_MODEL = "athanor-clusterclip"
SCORES = {plan: Input(f"clusterclip/scores/{plan}", all_partitions=True) for plan in PLANS}
CHECKPOINTS = {f"checkpoint_{plan}": Input(f"clusterclip/checkpoint/{plan}", all_partitions=True) for plan in PLANS}


def all_scores(partitions: dict[str, dict[str, Dataset]]) -> dict[str, pl.DataFrame]:
    """The score rows of each plan that has any, seeds together."""
    return {
        plan: pl.concat([dataset.read() for _, dataset in sorted(by_seed.items())])
        for plan, by_seed in partitions.items()
        if by_seed
    }


@recipe(
    "claims/clusterclip",
    inputs={"clusters": Input("clusterclip/clusters"), "tokens": Input("internlm2/tokens"), **SCORES},
    ledger=False,
    tags={"stage": "claims"},
    automation=CHEAP,
)
def clusterclip_claims(out: DatasetWriter, clusters: Dataset, tokens: Dataset, **scores: dict[str, Dataset]) -> None:
    """The claims of the ClusterClip paper in the small: differences, intervals, verdicts."""
    by_plan = all_scores(scores)
    documents = clusters.read("id", "cluster", "split").join(tokens.read("id", "n_tokens", "n_bytes"), on="id")
    training = documents.filter(pl.col("split") == "train")
    rows = claims_frame(list(measure_claims(by_plan, training=training)))
    out.write(rows)
    out.describe(table=markdown_table(rows), verdicts=dict(rows["verdict"].value_counts().iter_rows()))
    heldout = {plan: frame.filter(pl.col("split") == "heldout") for plan, frame in by_plan.items()}
    if heldout:
        per_cluster = {
            plan: group_bits_per_byte(frame["bits"], frame["n_bytes"], frame["cluster"])
            for plan, frame in heldout.items()
        }
        sizes = training.group_by("cluster").agg(pl.col("n_tokens").sum()).sort("cluster")
        known = next(iter(per_cluster.values())).group
        by_cluster = dict(sizes.iter_rows())
        out.plot(
            "bits_per_byte_by_cluster",
            plots.plot_cluster_bits(
                {plan: bits.bits_per_byte for plan, bits in per_cluster.items()},
                pl.Series([by_cluster.get(int(label), 0) for label in known], dtype=pl.Float64).to_numpy(),
                baseline="random" if "random" in per_cluster else None,
            ),
        )


@recipe(
    "clusterclip/champion",
    inputs={
        "clusters": Input("clusterclip/clusters"),
        "documents": Input("corpora/clean_documents"),
        **SCORES,
        **CHECKPOINTS,
    },
    ledger=False,
    resources=("tracking", "trainer"),
    checks=("better_than_raw_bytes",),
    kinds={"mlflow"},
    tags={"stage": "register"},
)
def champion(
    out: DatasetWriter,
    clusters: Dataset,
    documents: Dataset,
    tracking: Tracking,
    trainer: ComputeResource,
    **by_name: dict[str, Dataset],
) -> None:
    """The best checkpoint by held-out macro bits per byte, registered; champion only if it beats the present one."""
    candidates = [
        (macro(dataset.read().filter(pl.col("split") == "heldout")), plan, seed)
        for plan in PLANS
        for seed, dataset in by_name[plan].items()
        if seed in by_name[f"checkpoint_{plan}"]
    ]
    if not candidates:
        raise InputError("no scored checkpoint to choose from", "materialize clusterclip/scores/<plan> first")
    score, plan, seed = min(candidates)
    best = by_name[f"checkpoint_{plan}"][seed]
    heldout = (
        clusters.read()
        .filter(pl.col("split") == "heldout")
        .join(documents.read("id", "text", "n_bytes"), on="id", validate="1:1")
    )

    def score_of(folder: Path) -> float:
        """Held-out macro bits per byte of a registered model, with the tokenizer that it was registered with."""
        tokenizer = load_tokenizer(folder)
        ids = pl.Series(encode(tokenizer, heldout["text"].to_list()), dtype=pl.List(pl.UInt32))
        bits = bits_of_documents(folder, ids, bos=special_ids(tokenizer)[0], batch_tokens=2048, threads=trainer.threads)
        return macro(heldout.with_columns(bits=pl.Series(bits)))

    sound = score < 8.0
    decided = register_champion(
        tracking,
        name=REGISTERED_MODEL,
        model_id=best.manifest.metadata["mlflow_model"],
        candidate_score=score,
        score_of=score_of,
        passes_checks=sound and best.manifest.sound,
    )
    out.check("better_than_raw_bytes", sound, bits_per_byte=round(score, 4))
    record = best.read("id").item()
    out.write(
        pl.DataFrame(
            {
                "id": [record],
                "parents": pl.Series([[record]], dtype=pl.List(pl.String)),
                "plan": [plan],
                "seed": [int(seed)],
                "macro_bits_per_byte": [score],
                "version": [str(decided.version)],
                "moved": [decided.moved],
            }
        )
    )
    out.describe(
        decision=f"{plan}, seed {seed}: {decided.reason}", registered_model=REGISTERED_MODEL,
        version=str(decided.version), macro_bits_per_byte=round(score, 4), candidates=len(candidates),
    )  # fmt: skip


def macro(heldout: pl.DataFrame) -> float:
    """Macro bits per byte over clusters."""
    return macro_bits_per_byte(heldout["bits"], heldout["n_bytes"], heldout["cluster"])

"""Assets of ClusterClip: clusters, plans, and for every plan a checkpoint and its scores."""

from __future__ import annotations

import math

import dagster as dg
import numpy as np
import polars as pl

from assets.clusterclip import plots
from assets.clusterclip.config import PLANS, ClusterConfig, EmbedConfig, PlanConfig, ScoreConfig, TrainConfig
from assets.clusterclip.embed import embed_sentence_transformer, embed_tfidf_svd, truncated_share
from assets.clusterclip.kmeans import spherical_kmeans
from assets.clusterclip.measure import gini, micro_bits_per_byte, summarise_plan
from assets.clusterclip.sample import Plan, sample_documents
from assets.clusterclip.score import score_rows, scored_documents
from assets.clusterclip.split import stratified_holdout, zipf_thinning
from assets.clusterclip.train import training_plan
from assets.core.checkpoint import train_checkpoint
from assets.core.checkpoint_recipe import checkpoint_recipe
from assets.core.documents import SPECIALS_PER_DOCUMENT, bits_of_documents, token_stream
from assets.core.errors import InputError
from assets.core.ids import content_id
from assets.core.lake import Dataset, DatasetWriter
from assets.core.recipe import Input, recipe
from assets.core.resources import ComputeResource
from assets.core.tracking import Tracking
from assets.core.trainer import TrainerResource
from assets.internlm2.decoder import new_decoder
from assets.internlm2.tokenizer import load_tokenizer, special_ids

SEEDS = dg.StaticPartitionsDefinition([str(seed) for seed in range(10)])
DOCUMENTS = Input("corpora/clean_documents")
TOKENS = Input("internlm2/tokens")
TOKENIZER = Input("internlm2/tokenizer")
CLUSTERS = Input("clusterclip/clusters")


@recipe("clusterclip/embeddings", inputs={"documents": DOCUMENTS}, kinds={"scikitlearn"}, tags={"stage": "embed"})
def embeddings(out: DatasetWriter, config: EmbedConfig, documents: Dataset) -> None:
    """A unit vector per document."""
    rows = documents.read("id", "text")
    texts = rows["text"].to_list()
    out.ledger.rows_in = len(texts)
    if config.method == "tfidf_svd":
        vectors = embed_tfidf_svd(texts, config.dim, max_features=config.max_features, seed=config.seed)
    else:
        vectors = embed_sentence_transformer(
            texts,
            config.model,
            batch_size=config.batch_size,
            max_seq_length=config.max_seq_length,
            trust_remote_code=config.trust_remote_code,
        )
        cut = truncated_share(texts, config.model, max_seq_length=config.max_seq_length)
        out.describe(documents_cut_by_the_encoder=round(cut, 4))
    vectors = np.asarray(vectors, dtype=np.float32)
    out.write(rows.select("id", embedding=pl.Series(vectors, dtype=pl.Array(pl.Float32, vectors.shape[1]))))
    out.describe(method=config.method, dimensions=vectors.shape[1])


@recipe("clusterclip/clusters", inputs={"embeddings": Input("clusterclip/embeddings")}, tags={"stage": "cluster"})
def clusters(out: DatasetWriter, config: ClusterConfig, embeddings: Dataset) -> None:
    """The cluster of each document by spherical k-means, and whether it is held out."""
    rows = embeddings.read()
    out.ledger.rows_in = rows.height
    n_clusters = min(config.n_clusters, rows.height // config.documents_per_cluster)
    if n_clusters < 2:
        raise InputError(
            f"{rows.height} documents are too few to cluster", f"give at least {2 * config.documents_per_cluster}"
        )
    found = spherical_kmeans(
        rows["embedding"].to_numpy(),
        n_clusters,
        max_iterations=config.max_iterations,
        early_stop_iterations=config.early_stop_iterations,
        n_runs=config.n_runs,
        rng=np.random.default_rng(config.seed),
    )
    labels = found.labels.astype(np.int64)
    heldout = stratified_holdout(
        labels,
        rows["id"].to_list(),
        fraction=config.heldout_fraction,
        min_per_cluster=config.heldout_min,
        min_cluster_size=2 * config.heldout_min,
        seed=config.heldout_seed,
    )
    training = rows.with_row_index().filter(pl.Series(~heldout))
    kept = training["index"].to_numpy()[
        zipf_thinning(labels[~heldout], training["id"].to_list(), exponent=config.skew, seed=config.heldout_seed)
    ]
    split = np.full(rows.height, "unused", dtype=object)
    split[heldout], split[kept] = "heldout", "train"
    out.write(
        rows.select(
            "id",
            cluster=pl.Series(labels, dtype=pl.Int32),
            similarity=pl.Series(found.similarity, dtype=pl.Float32),
            split=pl.Series(split.tolist(), dtype=pl.String),
        )
    )
    sizes = np.bincount(labels, minlength=n_clusters)
    trained = np.bincount(labels[kept], minlength=n_clusters)
    out.describe(
        n_clusters=n_clusters,
        iterations=found.iterations,
        loss=round(float(found.losses[-1]), 5),
        gini=round(gini(sizes), 3),
        gini_of_training=round(gini(trained), 3),
        heldout=int(heldout.sum()),
        training=len(kept),
    )
    out.plot("cluster_sizes", plots.plot_cluster_sizes(sizes))
    out.plot("training_sizes", plots.plot_cluster_sizes(trained))


def arm(plan: str, config: PlanConfig) -> tuple[Plan, float]:
    """The sampler's plan and R of an arm: `clusterclip_r2` is the plan clusterclip with R = 2."""
    name, _, threshold = plan.partition("_r")
    if name in ("random", "uniform"):
        return name, math.inf  # type: ignore[return-value]
    return name, float(threshold or config.clip_threshold)  # type: ignore[return-value]


@recipe(
    "clusterclip/sampling_plan",
    inputs={"clusters": CLUSTERS, "tokens": TOKENS},
    partitions=SEEDS,
    ledger=False,
    checks=("equal_tokens", "no_heldout_document", "within_clip_threshold"),
    tags={"stage": "sample"},
)
def sampling_plan(out: DatasetWriter, config: PlanConfig, clusters: Dataset, tokens: Dataset, partition: str) -> None:
    """Which document is drawn when: random, uniform, ClusterClip with several thresholds R, and S2G."""
    everything = clusters.read().join(tokens.read("id", "n_tokens"), on="id", validate="1:1")
    documents = everything.filter(pl.col("split") == "train").sort("id")
    cluster = documents["cluster"].to_numpy().astype(np.int64)
    n_tokens = documents["n_tokens"].to_numpy().astype(np.int64) + SPECIALS_PER_DOCUMENT
    step_tokens = config.sequence_length * config.batch_rows
    steps = int(config.epochs * n_tokens.sum()) // step_tokens
    if steps < 1:
        raise InputError(
            f"{int(n_tokens.sum())} training tokens fill no step of {step_tokens} tokens",
            "give more documents, or lower sequence_length or batch_rows",
        )
    seed = int(partition)
    summaries, over = {}, {}
    for plan in PLANS:
        name, threshold = arm(plan, config)
        draws = sample_documents(
            cluster,
            n_tokens,
            budget_tokens=steps * step_tokens,
            plan=name,
            max_repetitions=threshold,
            on_exhausted=config.on_exhausted,
            seed=seed,
        )
        start = np.cumsum(draws.n_tokens) - draws.n_tokens
        chosen = documents["id"].gather(draws.document)
        frame = pl.DataFrame(
            {
                "id": [content_id("draw", plan, partition, str(i), d) for i, d in enumerate(chosen)],
                "parents": pl.Series([[document] for document in chosen], dtype=pl.List(pl.String)),
                "plan": plan,
                "seed": seed,
                "draw": np.arange(len(draws)),
                "step": start // step_tokens,
                "slot": start % step_tokens // config.sequence_length,
                "document_id": chosen,
                "cluster": draws.cluster.astype(np.int32),
                "repetition": draws.repetition,
                "n_tokens": draws.n_tokens,
                "fallback": draws.fallback,
            }
        )
        out.write(frame, part=plan)
        summaries[plan] = {"R": threshold if math.isfinite(threshold) else None} | vars(
            summarise_plan(draws, cluster, n_tokens, threshold)
        )
        over[plan] = int(draws.repetition[~draws.fallback].max(initial=0) > threshold)
    out.check("equal_tokens", len({summary["n_tokens"] for summary in summaries.values()}) == 1, steps=steps)
    out.check("no_heldout_document", "heldout" not in documents["split"].to_list(), documents=documents.height)
    out.check("within_clip_threshold", not any(over.values()), plans_over_threshold=over)
    out.describe(
        steps=steps, tokens=steps * step_tokens, batch_rows=config.batch_rows,
        sequence_length=config.sequence_length, plans=summaries,
    )  # fmt: skip


def train_plan(
    out: DatasetWriter,
    config: TrainConfig,
    plan: Dataset,
    tokens: Dataset,
    tokenizer: Dataset,
    partition: str,
    tracking: Tracking,
    trainer: TrainerResource,
) -> None:
    """An InternLM2-style decoder pretrained on one plan; every plan of a seed starts from the same weights."""
    from models.training.objectives import PRETRAIN

    name, shape = plan.part or "", plan.manifest.metadata
    draws = plan.read("id", "document_id", "n_tokens")
    vocabulary = load_tokenizer(tokenizer.folder)
    bos, eos = special_ids(vocabulary)
    stream = token_stream(draws, tokens.read("id", "tokens"), bos=bos, eos=eos)
    todo = training_plan(
        config, steps=shape["steps"], sequence_length=shape["sequence_length"], batch_rows=shape["batch_rows"],
        seed=int(partition), dtype=trainer.dtype, threads=trainer.threads,
    )  # fmt: skip
    trained = train_checkpoint(
        out, tracking, trainer, new_decoder(config, vocabulary.get_vocab_size(), int(partition)), stream, todo,
        objective=PRETRAIN, name=f"clusterclip/{name}/seed{partition}", tokenizer=tokenizer,
        inputs=[("training plan", plan), ("training tokens", tokens)],
        params={
            "train": config.model_dump(),
            "data": {key: shape[key] for key in ("steps", "tokens", "sequence_length", "batch_rows")},
        },
        tags={"system": "clusterclip", "plan": name, "seed": partition},
    )  # fmt: skip
    report = trained.report
    out.write(
        pl.DataFrame(
            {
                "id": [content_id("checkpoint", name, partition, trained.weights)],
                "parents": pl.Series([draws["id"].to_list()], dtype=pl.List(pl.String)),
                "plan": [name],
                "seed": [int(partition)],
                "steps": [report.steps],
                "tokens": [report.tokens_seen],
                "trained_tokens": [report.counts["loss"]],
                "final_loss": [trained.final_loss],
                "parameters": [trained.parameters],
            }
        )
    )
    seen = np.arange(1, len(report.losses) + 1) * shape["batch_rows"] * shape["sequence_length"]
    out.plot("loss", plots.plot_losses({name: (seen.astype(np.float64), np.array(report.losses))}))


def score_checkpoint(
    out: DatasetWriter,
    config: ScoreConfig,
    checkpoint: Dataset,
    clusters: Dataset,
    documents: Dataset,
    tokens: Dataset,
    tokenizer: Dataset,
    trainer: ComputeResource,
) -> None:
    """Bits per byte of every held-out document and of a sample of the training documents."""
    chosen = scored_documents(clusters.read(), train_sample_per_cluster=config.train_sample_per_cluster)
    rows = chosen.join(tokens.read("id", "tokens", "n_tokens", "n_bytes"), on="id", validate="1:1")
    rows = rows.join(documents.read("id", "package"), on="id", validate="1:1").sort("id")
    out.ledger.rows_in = chosen.height
    record = checkpoint.read("id", "plan", "seed").row(0, named=True)
    bits = bits_of_documents(
        checkpoint.folder, rows["tokens"], bos=special_ids(load_tokenizer(tokenizer.folder))[0],
        batch_tokens=config.batch_tokens, threads=trainer.threads,
    )  # fmt: skip
    scores = score_rows(rows, bits, plan=record["plan"], seed=record["seed"], checkpoint=record["id"])
    out.check("every_score_is_finite", bool(np.isfinite(bits).all()), documents=scores.height)
    out.write(scores)
    for split, part in scores.group_by("split", maintain_order=True):
        micro = micro_bits_per_byte(part["bits"], part["n_bytes"])
        out.describe(**{f"{split[0]}_bits_per_byte": round(micro, 4)})


CHECKPOINTS = [
    checkpoint_recipe(
        f"clusterclip/checkpoint/{plan}",
        inputs={"plan": Input("clusterclip/sampling_plan", part=plan), "tokens": TOKENS, "tokenizer": TOKENIZER},
        partitions=SEEDS,
        stage="pretrain",
    )(train_plan)
    for plan in PLANS
]
SCORES = [
    recipe(
        f"clusterclip/scores/{plan}",
        inputs={
            "checkpoint": Input(f"clusterclip/checkpoint/{plan}"),
            "clusters": CLUSTERS,
            "documents": DOCUMENTS,
            "tokens": TOKENS,
            "tokenizer": TOKENIZER,
        },
        partitions=SEEDS,
        checks=("every_score_is_finite",),
        resources=("trainer",),
        kinds={"pytorch"},
        tags={"stage": "evaluate"},
    )(score_checkpoint)
    for plan in PLANS
]

"""A small lake of made-up rows in the shapes that the warehouse expects."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from assets.core.lake import Dataset, DatasetWriter, Lake
from assets.core.lake.manifest import Kind

PLANS = ("random", "clusterclip")
SEEDS = (0, 1, 2)
DOCUMENTS = 60
IDS = pl.List(pl.String)


def publish(
    lake: Lake,
    key: str,
    frames: Sequence[pl.DataFrame],
    *,
    partition: str = "",
    kind: Kind = "dataset",
    dropped: Mapping[str, int] | None = None,
    inputs: Mapping[str, object] | None = None,
    version: str = "1",
) -> Dataset:
    """Publish a dataset of one shard per frame; with `dropped` it keeps a ledger."""

    def fill(out: DatasetWriter) -> None:
        for frame in frames:
            out.write(frame)
            out.flush()
        for reason, rows in (dropped or {}).items():
            out.ledger.drop(reason, rows)
        out.ledger.rows_in = out.ledger.rows_out + out.ledger.dropped.total()

    with lake.hold(key, partition):
        return lake.build(
            key=key,
            partition=partition,
            kind=kind,
            fingerprint=hashlib.sha256(f"{key}@{partition}{version}".encode()).hexdigest(),
            ingredients={"inputs": dict(inputs or {})},
            fill=fill,
            keeps_ledger=dropped is not None,
        )


def document_id(index: int) -> str:
    return f"document-{index}"


def documents() -> pl.DataFrame:
    index = range(DOCUMENTS)
    return pl.DataFrame(
        {
            "id": [document_id(i) for i in index],
            "parents": pl.Series([[f"unit-{i}"] for i in index], dtype=IDS),
            "kind": ["code" if i % 2 else "prose" for i in index],
            "package": [f"package-{i % 3}" for i in index],
            "module": "module",
            "name": [f"name-{i}" for i in index],
            "text": ["x" * (i + 1) for i in index],
            "n_bytes": [i + 1 for i in index],
        }
    )


def clusters() -> pl.DataFrame:
    """Five clusters of unequal size; every fourth document is held out."""
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "id": [document_id(i) for i in range(DOCUMENTS)],
            "cluster": pl.Series(rng.choice(5, DOCUMENTS, p=[0.4, 0.25, 0.15, 0.1, 0.1]), dtype=pl.Int32),
            "similarity": pl.Series(rng.random(DOCUMENTS), dtype=pl.Float32),
            "split": ["train" if i % 4 else "heldout" for i in range(DOCUMENTS)],
        }
    )


def tokens() -> pl.DataFrame:
    lengths = [i % 9 + 1 for i in range(DOCUMENTS)]
    return pl.DataFrame(
        {
            "id": [document_id(i) for i in range(DOCUMENTS)],
            "tokens": pl.Series([[1] * length for length in lengths], dtype=pl.List(pl.UInt32)),
            "n_tokens": lengths,
            "n_bytes": [i + 1 for i in range(DOCUMENTS)],
        }
    )


def draws(plan: str, seed: int) -> pl.DataFrame:
    """Every training document twice."""
    rng = np.random.default_rng(seed)
    training = [i for i in range(DOCUMENTS) if i % 4]
    order = [*rng.permutation(training).tolist(), *rng.permutation(training).tolist()]
    index = range(len(order))
    return pl.DataFrame(
        {
            "id": [f"draw-{plan}-{seed}-{i}" for i in index],
            "parents": pl.Series([[document_id(document)] for document in order], dtype=IDS),
            "plan": plan,
            "seed": seed,
            "draw": list(index),
            "step": [i // 8 for i in index],
            "slot": [i % 8 for i in index],
            "document_id": [document_id(document) for document in order],
            "cluster": clusters()["cluster"].gather(order),
            "repetition": [1 + (i >= len(training)) for i in index],
            "n_tokens": tokens()["n_tokens"].gather(order),
            "fallback": False,
        }
    )


def checkpoint(plan: str, seed: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": [f"checkpoint-{plan}-{seed}"],
            "parents": pl.Series([draws(plan, seed)["id"].to_list()], dtype=IDS),
            "plan": [plan],
            "seed": [seed],
            "steps": [12],
            "tokens": [500],
            "trained_tokens": [490],
            "final_loss": [2.5 + seed],
            "parameters": [1234],
        }
    )


def scores(plan: str, seed: int) -> pl.DataFrame:
    """Bits at random, none of them a round number."""
    rng = np.random.default_rng([seed, len(plan)])
    n_bytes = documents()["n_bytes"]
    bits = n_bytes * pl.Series(rng.uniform(1, 4, DOCUMENTS))
    parents = [[document_id(i), f"checkpoint-{plan}-{seed}"] for i in range(DOCUMENTS)]
    return pl.DataFrame(
        {
            "id": [f"score-{plan}-{seed}-{i}" for i in range(DOCUMENTS)],
            "parents": pl.Series(parents, dtype=IDS),
            "plan": plan,
            "seed": seed,
            "document_id": [document_id(i) for i in range(DOCUMENTS)],
            "split": clusters()["split"],
            "cluster": clusters()["cluster"],
            "package": documents()["package"],
            "n_tokens": tokens()["n_tokens"],
            "n_bytes": n_bytes,
            "bits": bits,
            "bits_per_byte": bits / n_bytes,
        }
    )


def claims(verdict: str = "inconclusive") -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": ["claim-1"],
            "parents": pl.Series([[]], dtype=IDS),
            "system": "clusterclip",
            "claim": "balance helps",
            "metric": "macro_bpb_clusters",
            "baseline": "random",
            "treatment": "clusterclip",
            "difference": -0.1,
            "low": -0.3,
            "high": 0.1,
            "n_seeds": len(SEEDS),
            "n_items": DOCUMENTS,
            "held_equal": "tokens",
            "verdict": verdict,
            "note": "",
        }
    )


def tiny_lake(root: Path) -> Lake:
    """Documents in two shards, two plans, three seeds, one claim."""
    lake = Lake(str(root / "lake"), root / "work")
    half = DOCUMENTS // 2
    publish(
        lake,
        "corpora/clean_documents",
        [documents()[:half], documents()[half:]],
        dropped={"too_short": 3, "exact_duplicate": 2},
        inputs={"documents": "d1"},
    )
    publish(lake, "clusterclip/clusters", [clusters()], dropped={})
    publish(lake, "internlm2/tokens", [tokens()], dropped={})
    publish(lake, "claims/clusterclip", [claims()])
    for seed in SEEDS:
        partition = str(seed)
        publish(lake, "clusterclip/sampling_plan", [draws(plan, seed) for plan in PLANS], partition=partition)
        for plan in PLANS:
            key = f"clusterclip/checkpoint/{plan}"
            publish(lake, key, [checkpoint(plan, seed)], partition=partition, kind="checkpoint")
            publish(lake, f"clusterclip/scores/{plan}", [scores(plan, seed)], partition=partition, dropped={})
    return lake

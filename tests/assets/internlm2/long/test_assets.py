"""The long-text pipeline over a small lake, with an untrained scorer: what its rows and checks promise."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets.core.audit import read_audit
from assets.core.lake import Dataset, DatasetWriter, Lake
from assets.core.lake.manifest import Kind
from assets.core.resources import LakeResource
from assets.core.tracking import Tracking
from assets.core.trainer import TrainerResource
from assets.corpora.schema import document, documents_frame
from assets.internlm2.config import DecoderSize
from assets.internlm2.decoder import new_decoder
from assets.internlm2.long.assets import candidates, documents, perplexity, statistics
from assets.internlm2.long.claims import long_claims
from assets.internlm2.long.config import CandidatesConfig, PerplexityConfig, ScorerConfig, ScoresConfig, SelectConfig
from assets.internlm2.long.evaluation import long_scores
from assets.internlm2.long.perplexity import METRICS
from assets.internlm2.long.scorers import long_scorer
from assets.internlm2.tokenizer import encode, publish_tokenizer, train_tokenizer

CHUNK = {"chunk": 32, "target": 8, "short_context": 8}


def publish(
    lake: Lake, key: str, frame: pl.DataFrame, partition: str = "", kind: Kind = "dataset", save=None
) -> Dataset:
    def fill(out: DatasetWriter) -> None:
        if save is not None:
            save(out)
        if frame.width:
            out.write(frame)

    dataset = lake.build(
        key=key,
        partition=partition,
        kind=kind,
        fingerprint=f"{key:0<64}",
        ingredients={},
        fill=fill,
        keeps_ledger=False,
    )
    lake.point(dataset)
    return dataset


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Twelve documents of prose and one table, a tokenizer trained on them and two untrained scorers."""
    from models.architecture.huggingface import save_folder

    home = tmp_path_factory.mktemp("home")
    lake = Lake(str(home / "lake"), home / "work")
    rng = np.random.default_rng(0)
    words = ["the", "committee", "met", "because", "nobody", "agreed", "however", "long", "it", "took", "them"]
    texts = [" ".join(rng.choice(words, 120)) + ".\n" for _ in range(12)] + ["| a | b |\n" * 60, "short"]
    rows = documents_frame(document("prose", f"p{i}", f"m{i}", "", text) for i, text in enumerate(texts))
    publish(lake, "corpora/clean_documents", rows)
    tokenizer = train_tokenizer(texts, vocab_size=300, min_frequency=2)
    folder = publish(
        lake,
        "internlm2/tokenizer",
        pl.DataFrame(),
        kind="checkpoint",
        save=lambda out: publish_tokenizer(out, tokenizer),
    ).folder
    ids = pl.Series(encode(tokenizer, texts), dtype=pl.List(pl.UInt32))
    publish(lake, "internlm2/tokens", rows.select("id", tokens=ids, n_tokens=ids.list.len(), n_bytes="n_bytes"))
    decoder = new_decoder(DecoderSize(dim=16, n_layers=1, n_heads=2, n_kv_heads=1, ffn_dim=32, max_length=32), 300, 0)
    scorer = pl.DataFrame({"id": ["model"], "parents": [["x"]]})
    for key, partition in (("internlm2/long/scorer", ""), ("internlm2/long_scorer", "1")):
        publish(lake, key, scorer, partition, "checkpoint", lambda out: save_folder(decoder, out.folder, folder))
    result = dg.materialize(
        [candidates, statistics, perplexity, documents],
        resources={
            "lake": LakeResource(root=str(home / "lake"), work=str(home / "work")),
            "trainer": TrainerResource(threads=1),
        },
        run_config=dg.RunConfig(
            ops={
                "internlm2__long__candidates": CandidatesConfig(min_bytes=100),
                "internlm2__long__perplexity": PerplexityConfig(**CHUNK, max_chunks=3),
                "internlm2__long__documents": SelectConfig(min_delta={"text": 0.0}),
            }
        ),
    )
    assert result.success
    scored = dg.materialize(
        [long_scores],
        partition_key="1",
        resources={
            "lake": LakeResource(root=str(home / "lake"), work=str(home / "work")),
            "trainer": TrainerResource(threads=1),
        },
        run_config=dg.RunConfig(ops={"internlm2__long_scores": ScoresConfig(**CHUNK, heldout_share=0.6)}),
    )
    assert scored.success
    return lake


def test_sources_that_are_not_built_are_passed_over_and_named(lake: Lake) -> None:
    """Only the corpus is there; its short document is dropped, and counted."""
    found = lake.get("internlm2/long/candidates")
    assert found.manifest.metadata["sources"] == ["corpora/clean_documents"]
    assert found.manifest.metadata["not_built"] == ["internlm2/code/repositories", "internlm2/text/documents"]
    assert found.manifest.ledger == {"rows_in": 14, "rows_out": 13, "failed": 0, "dropped": {"short": 1}}


def test_every_candidate_is_kept_or_dropped_for_a_reason_of_its_own(lake: Lake) -> None:
    """The table by its bars, without costing a forward pass; others only where the context hurts."""
    scored = lake.get("internlm2/long/perplexity")
    assert scored.manifest.ledger["dropped"] == {"breaks_a_limit": 1}
    rows = scored.read()
    assert set(rows["n_chunks"]) == {3}
    kept = lake.get("internlm2/long/documents")
    audit = read_audit(kept)
    delta = dict(rows.select("id", "ppl_delta").iter_rows())
    assert set(audit["reason"]) <= {"context_hurts", "high_bar_rate"}
    assert audit.filter(pl.col("reason") == "high_bar_rate").height == 1
    assert all(delta[name] >= 0 for name in kept.read("id")["id"])
    hurt = audit.filter(pl.col("reason") == "context_hurts")
    assert all(
        delta[name] == pytest.approx(score) and score < 0 for name, score in hurt.select("id", "score").iter_rows()
    )
    assert kept.rows + audit.height == 13


def test_differences_are_of_what_they_say(lake: Lake) -> None:
    """ppl_delta = ppl_wo - ppl_wi, acc_delta = acc_wi - acc_wo, in every row."""
    rows = lake.get("internlm2/long_scores", "1").read()
    assert rows.select(METRICS).null_count().sum_horizontal().item() == 0
    assert (rows["ppl_delta"] - (rows["ppl_wo"] - rows["ppl_wi"])).abs().max() < 1e-9
    assert (rows["acc_delta"] - (rows["acc_wi"] - rows["acc_wo"])).abs().max() < 1e-9


def test_scores_are_of_pairs_with_the_same_short_contexts(lake: Lake) -> None:
    """Every item once true and once spliced; perplexity without the first half is the same in both: it cannot tell."""
    rows = lake.get("internlm2/long_scores", "1").read()
    true, spliced = (rows.filter(pl.col("label") == label).sort("item_id") for label in ("true", "spliced"))
    assert true["item_id"].equals(spliced["item_id"])
    assert sorted(true["ppl_wo"]) == pytest.approx(sorted(spliced["ppl_wo"]))
    claims = {claim.baseline: claim for claim in long_claims([rows])}
    short = claims["absolute perplexity with the short context"]
    assert short.note.endswith("against 0.500")
    assert short.verdict == "inconclusive"


@pytest.mark.slow
def test_the_scorer_has_not_read_what_is_held_out(lake: Lake, tmp_path: Path) -> None:
    """Trained for a few steps through the real path: a checkpoint whose parents hold no document of a scored item."""
    result = dg.materialize(
        [long_scorer],
        partition_key="2",
        resources={
            "lake": LakeResource(root=str(lake.work.parent / "lake"), work=str(lake.work)),
            "trainer": TrainerResource(threads=1),
            "tracking": Tracking(
                tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}", artifacts=str(tmp_path / "artifacts")
            ),
        },
        run_config=dg.RunConfig(
            ops={
                "internlm2__long_scorer": ScorerConfig(
                    dim=16, n_layers=1, n_heads=2, n_kv_heads=1, ffn_dim=32, max_length=64, sequence_length=64,
                    batch_rows=2, tokens=1024, min_tokens=20, heldout_share=0.6,
                )
            }
        ),
    )  # fmt: skip
    assert result.success
    checkpoint = lake.get("internlm2/long_scorer", "2").read()
    assert checkpoint["steps"].item() == 8
    read = set(checkpoint["parents"].item())
    assert read
    assert not read & set(lake.get("internlm2/long_scores", "1").read("item_id")["item_id"])

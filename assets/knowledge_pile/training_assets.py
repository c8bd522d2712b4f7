"""Assets of Knowledge Pile's comparison: for each arm its documents, a checkpoint continued on them, and its scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from assets.core.checkpoint import Trained, train_checkpoint
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
from assets.knowledge_pile import plots
from assets.knowledge_pile.arms import ARMS, QUERY_KINDS, by_fusion, by_hash, drawn_queries, select
from assets.knowledge_pile.assets import QUERIES
from assets.knowledge_pile.config import SEEDS, BaseConfig, LearnConfig, ScoreConfig, SelectConfig
from assets.knowledge_pile.measure import retrieval_measures, score_rows
from assets.knowledge_pile.pile import filter_reasons
from assets.knowledge_pile.pool_assets import HELDOUT, POOL

if TYPE_CHECKING:
    from models.training.data_folder import TokenStream
    from models.training.plan import TrainingPlan

PILE = Input("knowledge_pile/pile")
TOKENS = Input("knowledge_pile/tokens")
TOKENIZER = Input("internlm2/tokenizer")
BASE = Input("knowledge_pile/base")


def select_retrieved(
    out: DatasetWriter,
    config: SelectConfig,
    hits: Dataset,
    queries: Dataset,
    pile: Dataset,
    tokens: Dataset,
    partition: str,
    key: str,
) -> None:
    """The passages of the pile that most of the arm's queries find first, up to the budget."""
    arm, seed = key.rpartition("/")[2], int(partition)
    asked = drawn_queries(queries.read("id", "kind"), arm, config.query_share, seed)  # type: ignore[arg-type]
    order = by_fusion(hits.read("query_id", "doc_id", "rank"), asked, pile.read("doc_id")["doc_id"].to_list(), seed)
    write_selection(out, arm, seed, order, tokens, config.tokens)
    out.describe(queries=len(asked))


def select_control(
    out: DatasetWriter,
    config: SelectConfig,
    pool: Dataset,
    pile: Dataset,
    tokens: Dataset,
    partition: str,
    key: str,
) -> None:
    """Passages of the pool by chance, or (oracle) by chance among those of the domain; the pile's filters hold."""
    arm, seed = key.rpartition("/")[2], int(partition)
    allowed: list[str] = []
    for batch in pool.batches("id", "text", "in_domain"):
        passages = batch.filter("in_domain") if arm == "oracle" else batch
        reasons = filter_reasons(passages["text"], **pile.manifest.metadata["filters"])
        allowed += passages["id"].filter(reasons == "").to_list()
    write_selection(out, arm, seed, by_hash(allowed, seed), tokens, config.tokens)


def write_selection(
    out: DatasetWriter, arm: str, seed: int, order: Sequence[str], tokens: Dataset, budget: int
) -> None:
    """The documents of an arm that fill the budget, each draw a row."""
    drawn = select(order, passage_sizes(tokens), budget, seed)
    names = [content_id("draw", arm, str(seed), str(n), name) for n, name in enumerate(drawn["document_id"])]
    out.write(
        drawn.select(
            pl.Series("id", names, dtype=pl.String), pl.concat_list("document_id").alias("parents"),
            pl.lit(arm).alias("arm"), pl.lit(seed, dtype=pl.Int64).alias("seed"),
            "document_id", "n_tokens", "repetition",
        )
    )  # fmt: skip
    out.check("equal_tokens", int(drawn["n_tokens"].sum()) == budget, tokens=budget)
    out.describe(documents=drawn["document_id"].n_unique(), candidates=len(order), tokens=budget)


def passage_sizes(tokens: Dataset) -> dict[str, int]:
    """Tokens of each passage, `<s>` and `</s>` included."""
    return {name: n + SPECIALS_PER_DOCUMENT for name, n in tokens.read("id", "n_tokens").iter_rows()}


def training_plan(config: BaseConfig | LearnConfig, tokens: int, seed: int, trainer: TrainerResource) -> TrainingPlan:
    """Steps of equal size over the tokens; raises InputError where these do not fill whole steps."""
    from models.training.plan import TrainingPlan

    step_tokens = config.sequence_length * config.batch_rows
    if tokens < step_tokens or tokens % step_tokens:
        raise InputError(f"{tokens} tokens are no whole number of steps", f"set them to a multiple of {step_tokens}")
    steps = tokens // step_tokens
    return TrainingPlan(
        steps=steps,
        batch_rows=config.batch_rows,
        sequence_length=config.sequence_length,
        peak_lr=config.peak_lr,
        warmup_steps=round(config.warmup_share * steps),
        weight_decay=config.weight_decay,
        seed=seed,
        checkpoint_every=config.checkpoint_every,
        dtype=trainer.dtype,
        threads=trainer.threads,
    )


def stream(drawn: pl.DataFrame, tokens: Dataset, tokenizer: Dataset) -> TokenStream:
    """The drawn documents in their order; no others are read into memory."""
    bos, eos = special_ids(load_tokenizer(tokenizer.folder))
    wanted = tokens.scan().select("id", "tokens").filter(pl.col("id").is_in(drawn["document_id"].unique().to_list()))
    return token_stream(drawn, wanted.collect(), bos=bos, eos=eos)


@checkpoint_recipe(
    "knowledge_pile/base",
    inputs={"pool": POOL, "tokens": TOKENS, "tokenizer": TOKENIZER},
    partitions=SEEDS,
    stage="pretrain",
)
def base(
    out: DatasetWriter,
    config: BaseConfig,
    pool: Dataset,
    tokens: Dataset,
    tokenizer: Dataset,
    partition: str,
    tracking: Tracking,
    trainer: TrainerResource,
) -> None:
    """The checkpoint that all arms of a seed continue: a small decoder that has read passages from the whole pool."""
    from models.training.objectives import PRETRAIN

    seed = int(partition)
    plan = training_plan(config, config.tokens, seed, trainer)
    drawn = select(by_hash(pool.read("id")["id"].to_list(), seed), passage_sizes(tokens), config.tokens, seed)
    decoder = new_decoder(config, load_tokenizer(tokenizer.folder).get_vocab_size(), seed)
    trained = train_checkpoint(
        out, tracking, trainer, decoder, stream(drawn, tokens, tokenizer), plan, objective=PRETRAIN,
        name=f"knowledge_pile/base/seed{seed}", tokenizer=tokenizer, inputs=[("pool", pool), ("tokens", tokens)],
        params={"train": config.model_dump()}, tags={"system": "knowledge_pile", "arm": "base", "seed": partition},
    )  # fmt: skip
    write_checkpoint(out, "base", seed, [pool.digest], trained)


def continue_base(
    out: DatasetWriter,
    config: LearnConfig,
    base: Dataset,
    selection: Dataset,
    tokens: Dataset,
    tokenizer: Dataset,
    partition: str,
    key: str,
    tracking: Tracking,
    trainer: TrainerResource,
) -> None:
    """The base of this seed, continued on the documents of one arm over equally many tokens."""
    from models.architecture.huggingface import load_folder
    from models.training.objectives import PRETRAIN

    arm, drawn = key.rpartition("/")[2], selection.read("id", "document_id", "n_tokens")
    plan = training_plan(config, int(drawn["n_tokens"].sum()), int(partition), trainer)
    trained = train_checkpoint(
        out, tracking, trainer, load_folder(base.folder), stream(drawn, tokens, tokenizer), plan, objective=PRETRAIN,
        name=f"knowledge_pile/{arm}/seed{partition}", tokenizer=tokenizer,
        inputs=[("selection", selection), ("base", base), ("tokens", tokens)], params={"train": config.model_dump()},
        tags={"system": "knowledge_pile", "arm": arm, "seed": partition},
    )  # fmt: skip
    write_checkpoint(out, arm, int(partition), [base.read("id").item(), *drawn["id"]], trained)


def write_checkpoint(out: DatasetWriter, arm: str, seed: int, parents: list[str], trained: Trained) -> None:
    """The row of a checkpoint, with its loss as a picture."""
    report = trained.report
    out.write(
        pl.DataFrame(
            {
                "id": [content_id("checkpoint", arm, str(seed), trained.weights)],
                "parents": pl.Series([parents], dtype=pl.List(pl.String)),
                "arm": [arm],
                "seed": [seed],
                "steps": [report.steps],
                "tokens": [report.tokens_seen],
                "trained_tokens": [report.counts["loss"]],
                "final_loss": [trained.final_loss],
                "parameters": [trained.parameters],
            }
        )
    )
    seen = np.linspace(report.tokens_seen / report.steps, report.tokens_seen, report.steps)
    out.plot("loss", plots.plot_loss(seen, np.array(report.losses)))


def score_checkpoint(
    out: DatasetWriter,
    config: ScoreConfig,
    checkpoint: Dataset,
    selection: Dataset,
    heldout: Dataset,
    pool: Dataset,
    tokens: Dataset,
    tokenizer: Dataset,
    trainer: ComputeResource,
) -> None:
    """Bits of every held-out passage of the domain and outside it, and what the arm retrieved of the domain."""
    sizes = tokens.scan().select("id", "n_tokens").collect()
    passages = heldout.read("id", "module", "in_domain", "n_bytes").join(
        tokens.scan().select("id", "tokens", "n_tokens").collect(), on="id", how="inner", validate="1:1"
    )
    out.ledger.rows_in = heldout.rows
    record = checkpoint.read("id", "arm", "seed").row(0, named=True)
    bits = bits_of_documents(
        checkpoint.folder, passages["tokens"], bos=special_ids(load_tokenizer(tokenizer.folder))[0],
        batch_tokens=config.batch_tokens, threads=trainer.threads,
    )  # fmt: skip
    rows = score_rows(passages, bits, arm=record["arm"], seed=record["seed"], checkpoint=record["id"])
    out.write(rows)
    out.check("every_score_is_finite", bool(np.isfinite(bits).all()), passages=rows.height)
    labels = pool.read("id", "module", "in_domain").join(sizes, on="id", validate="1:1")
    measured = retrieval_measures(selection.read("document_id", "n_tokens"), labels)
    for name, part in (("in_domain", rows.filter("in_domain")), ("out_of_domain", rows.filter(~pl.col("in_domain")))):
        measured[f"{name}_bits_per_byte"] = float(part["bits"].sum()) / int(part["n_bytes"].sum())
    out.describe(**{name: round(value, 4) for name, value in measured.items()})


SELECTIONS = [
    recipe(
        f"knowledge_pile/selection/{arm}",
        inputs={"hits": Input("knowledge_pile/hits"), "queries": QUERIES, "pile": PILE, "tokens": TOKENS}
        if arm in QUERY_KINDS
        else {"pool": POOL, "pile": PILE, "tokens": TOKENS},
        partitions=SEEDS,
        ledger=False,
        checks=("equal_tokens",),
        tags={"stage": "select"},
    )(select_retrieved if arm in QUERY_KINDS else select_control)
    for arm in ARMS
]
CHECKPOINTS = [
    checkpoint_recipe(
        f"knowledge_pile/checkpoint/{arm}",
        inputs={
            "base": BASE,
            "selection": Input(f"knowledge_pile/selection/{arm}"),
            "tokens": TOKENS,
            "tokenizer": TOKENIZER,
        },
        partitions=SEEDS,
    )(continue_base)
    for arm in ARMS
]
SCORES = [
    recipe(
        f"knowledge_pile/scores/{arm}",
        inputs={
            "checkpoint": Input(f"knowledge_pile/checkpoint/{arm}"),
            "selection": Input(f"knowledge_pile/selection/{arm}"),
            "heldout": HELDOUT,
            "pool": POOL,
            "tokens": TOKENS,
            "tokenizer": TOKENIZER,
        },
        partitions=SEEDS,
        checks=("every_score_is_finite",),
        resources=("trainer",),
        kinds={"pytorch"},
        tags={"stage": "evaluate"},
    )(score_checkpoint)
    for arm in ARMS
]

"""Assets of the collection: its passages without the held-out ones, their tokens, and the index over them."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from assets.core.decontamination.index import EvaluationIndex, Rules, overlaps
from assets.core.errors import InputError
from assets.core.lake import Dataset, DatasetWriter
from assets.core.progress import track
from assets.core.recipe import Input, recipe
from assets.core.retrieval import Bm25Plan
from assets.core.retrieval.resource import RetrievalResource
from assets.internlm2.tokenizer import encode, load_tokenizer
from assets.knowledge_pile.config import IndexConfig, PoolConfig
from assets.knowledge_pile.passages import PASSAGES, Split, is_heldout, is_in_domain, passages_frame

DOCUMENTS_AT_ONCE = 500
POOL = Input("knowledge_pile/pool", part="pool")
HELDOUT = Input("knowledge_pile/pool", part="heldout")


# An input that was never built is no hindrance: only the chosen source must be there.
SOURCES = {
    "installed_docs": "corpora/installed_docs",
    "documents": "corpora/clean_documents",
    "crawl": "internlm2/text/documents",
}


@recipe(
    "knowledge_pile/pool",
    inputs={name: Input(key, all_partitions=True) for name, key in SOURCES.items()},
    checks=("no_passage_twice",),
    tags={"stage": "input"},
)
def pool(out: DatasetWriter, config: PoolConfig, **sources: dict[str, Dataset]) -> None:
    """Passages in two parts: the held-out modules, and all others but for what overlaps with these."""
    chosen = list(sources[config.source].values())
    if not chosen:
        key = SOURCES[config.source]
        raise InputError(f"{key} was not built yet", f"materialize {key} first, or choose another `source`")
    seen: set[str] = set()
    heldout = pl.concat([pl.DataFrame(schema=PASSAGES), *_passages(out, config, chosen, seen, heldout=True)])
    of_domain = int(heldout["in_domain"].sum())
    if not 0 < of_domain < heldout.height:
        raise InputError(
            f"of {heldout.height} held-out passages {of_domain} are of the domain",
            "name the domain's modules in domain_modules, or raise the shares that are held out",
        )
    out.write(heldout, part="heldout")
    evaluation = EvaluationIndex.build(
        heldout.select(pl.lit("heldout").alias("evaluation_set"), evaluation_id="id", text="text"),
        Rules(n_words=config.n_words, min_operations=0),
    )
    in_domain = 0
    for passages in _passages(out, config, chosen, seen, heldout=False):
        shared = set(overlaps(passages.select("id", "text"), evaluation)["id"])
        out.ledger.drop("overlaps_heldout", len(shared))
        kept = passages.filter(~pl.col("id").is_in(list(shared)))
        in_domain += int(kept["in_domain"].sum())
        out.write(kept, part="pool")
    out.check("no_passage_twice", len(seen) == out.ledger.rows_out + out.ledger.dropped["overlaps_heldout"])
    out.describe(
        source=config.source, in_domain=in_domain, heldout=heldout.height,
        heldout_in_domain=of_domain,
    )  # fmt: skip


def _passages(
    out: DatasetWriter, config: PoolConfig, chosen: list[Dataset], seen: set[str], *, heldout: bool
) -> Iterator[pl.DataFrame]:
    """The passages of the modules that are held out, or of all others, each once; `seen` are their ids, and grows."""
    for dataset in chosen:
        for shard in dataset.batches():
            for documents in track(shard.iter_slices(DOCUMENTS_AT_ONCE), label="passages", unit=" batches"):
                held = [
                    _is_heldout(package, module, config)
                    for package, module in documents.select("package", "module").iter_rows()
                ]
                of_side = documents.filter(pl.Series(held, dtype=pl.Boolean) == heldout)
                yield _new(out, _split(of_side, config), seen)


def _is_heldout(package: str, module: str, config: PoolConfig) -> bool:
    in_domain = is_in_domain(package, module, config.domain_modules)
    share = config.heldout_share if in_domain else config.general_heldout_share
    return is_heldout(module, share, config.seed)


def _split(documents: pl.DataFrame, config: PoolConfig) -> Split:
    return passages_frame(
        documents, n_words=config.passage_words, min_words=config.min_words, domain=config.domain_modules
    )


def _new(out: DatasetWriter, found: Split, seen: set[str]) -> pl.DataFrame:
    """The passages that were not seen before; the others are counted."""
    once = found.passages.unique("id", keep="first", maintain_order=True)
    fresh = once.filter(pl.Series([name not in seen for name in once["id"]], dtype=pl.Boolean))
    seen.update(fresh["id"])
    out.ledger.rows_in += found.short + found.passages.height
    out.ledger.drop("too_short", found.short)
    out.ledger.drop("duplicate", found.passages.height - fresh.height)
    return fresh


@recipe(
    "knowledge_pile/tokens",
    inputs={"passages": Input("knowledge_pile/pool"), "tokenizer": Input("internlm2/tokenizer")},
    tags={"stage": "tokenize"},
)
def tokens(out: DatasetWriter, passages: Dataset, tokenizer: Dataset) -> None:
    """Every passage as token ids of its content, without `<s>` and `</s>`."""
    vocabulary = load_tokenizer(tokenizer.folder)
    for batch in passages.batches("id", "text", "n_bytes"):
        for rows in batch.iter_slices(DOCUMENTS_AT_ONCE):
            ids = encode(vocabulary, rows["text"].to_list())
            out.ledger.rows_in += rows.height
            out.write(
                rows.select(
                    "id",
                    pl.Series("tokens", ids, dtype=pl.List(pl.UInt32)),
                    pl.Series("n_tokens", [len(row) for row in ids], dtype=pl.Int64),
                    "n_bytes",
                )
            )


@recipe(
    "knowledge_pile/index", inputs={"pool": POOL}, ledger=False, resources=("retrieval",), tags={"stage": "retrieve"}
)
def index(out: DatasetWriter, config: IndexConfig, pool: Dataset, retrieval: RetrievalResource) -> None:
    """The BM25 index over the pool."""
    frames = track(pool.batches("id", "text"), label="index", unit=" shards")
    retrieval.build(frames, out.folder / "index", Bm25Plan(k1=config.k1, b=config.b), out.fingerprint)
    out.write(pl.DataFrame({"id": [pool.digest], "passages": [pool.rows]}))

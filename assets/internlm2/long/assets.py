"""Assets of the long-text pipeline: candidates, statistics, perplexities, and the documents kept."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from assets.core.audit import VERDICTS, apply_verdicts
from assets.core.errors import InputError
from assets.core.lake import Dataset, DatasetWriter
from assets.core.progress import track
from assets.core.recipe import CHEAP, Input, recipe
from assets.core.resources import ComputeResource
from assets.internlm2.long import plots
from assets.internlm2.long.candidates import CANDIDATE_SCHEMA, candidates_of
from assets.internlm2.long.config import CandidatesConfig, PerplexityConfig, SelectConfig, StatisticsConfig
from assets.internlm2.long.perplexity import METRICS, chunks_of, perplexity_frame
from assets.internlm2.long.select import select_verdicts
from assets.internlm2.long.statistics import STATISTICS_SCHEMA, statistics_frame
from assets.internlm2.tokenizer import encode, load_tokenizer, special_ids

CANDIDATES = Input("internlm2/long/candidates")
TOKENIZER = Input("internlm2/tokenizer")
# Candidates are long: few are held at a time.
BATCH_DOCUMENTS = 64


@recipe(
    "internlm2/long/candidates",
    # As partitions, of which there may be none: a source that is not built is no error.
    inputs={
        "repositories": Input("internlm2/code/repositories", all_partitions=True),
        "texts": Input("internlm2/text/documents", all_partitions=True),
        "documents": Input("corpora/clean_documents", all_partitions=True),
    },
    tags={"stage": "select"},
)
def candidates(
    out: DatasetWriter,
    config: CandidatesConfig,
    repositories: dict[str, Dataset],
    texts: dict[str, Dataset],
    documents: dict[str, Dataset],
) -> None:
    """Documents above the size from which text counts as long, out of the sources that are built."""
    built = {found.manifest.key: found for each in (repositories, texts, documents) for found in each.values()}
    read = [source for source in config.sources if source in built]
    if not read:
        raise InputError(f"none of {', '.join(config.sources)} is built", "materialize at least one of them first")
    out.write(pl.DataFrame(schema=CANDIDATE_SCHEMA))
    for source in read:
        for batch in built[source].batches():
            found = candidates_of(batch, source, config.min_bytes)
            out.ledger.rows_in += batch.height
            out.ledger.drop("short", batch.height - found.height)
            out.write(found)
    out.describe(sources=read, not_built=[source for source in config.sources if source not in built])


@recipe(
    "internlm2/long/statistics",
    inputs={"candidates": CANDIDATES, "tokenizer": TOKENIZER},
    tags={"stage": "measure"},
    automation=CHEAP,
)
def statistics(out: DatasetWriter, config: StatisticsConfig, candidates: Dataset, tokenizer: Dataset) -> None:
    """Statistics of every candidate, and the limit that it breaks, if any."""
    vocabulary = load_tokenizer(tokenizer.folder)
    out.write(pl.DataFrame(schema=STATISTICS_SCHEMA))
    for batch in candidates.batches("id", "domain", "language", "text"):
        for documents in batch.iter_slices(BATCH_DOCUMENTS):
            out.ledger.rows_in += documents.height
            out.write(statistics_frame(documents, encode(vocabulary, documents["text"].to_list()), config.limits))


@recipe(
    "internlm2/long/perplexity",
    inputs={
        "candidates": CANDIDATES,
        "statistics": Input("internlm2/long/statistics"),
        "scorer": Input("internlm2/long/scorer"),
        "tokenizer": TOKENIZER,
    },
    resources=("trainer",),
    kinds={"pytorch"},
    tags={"stage": "measure"},
)
def perplexity(
    out: DatasetWriter,
    config: PerplexityConfig,
    candidates: Dataset,
    statistics: Dataset,
    scorer: Dataset,
    tokenizer: Dataset,
    trainer: ComputeResource,
) -> None:
    """Perplexity with long and with short context of the candidates that break no limit: means over their chunks."""
    import torch

    from models.architecture.huggingface import load_folder

    torch.set_num_threads(trainer.threads)
    model, vocabulary = load_folder(scorer.folder).to(trainer.device), load_tokenizer(tokenizer.folder)
    bos, _ = special_ids(vocabulary)
    passed = set(statistics.read("id", "reason").filter(pl.col("reason") == "")["id"])
    rows = []
    for name, text in track(_texts(candidates), label="perplexity", total=candidates.rows, unit=" documents"):
        out.ledger.rows_in += 1
        if name not in passed:
            out.ledger.drop("breaks_a_limit")
            continue
        chunks = chunks_of(encode(vocabulary, [text])[0], config.chunk, config.max_chunks)
        scores = perplexity_frame(model, chunks, config, bos=bos, batch_tokens=config.batch_tokens)
        rows.append({"id": name, "parents": [name], "n_chunks": len(chunks), **scores.mean().row(0, named=True)})
    schema = {
        "id": pl.String,
        "parents": pl.List(pl.String),
        "n_chunks": pl.Int64,
        **dict.fromkeys(METRICS, pl.Float64),
    }
    out.write(pl.DataFrame(rows, schema=schema))


def _texts(candidates: Dataset) -> Iterator[tuple[str, str]]:
    for batch in candidates.batches("id", "text"):
        yield from batch.iter_rows()


@recipe(
    "internlm2/long/documents",
    inputs={
        "candidates": CANDIDATES,
        "statistics": Input("internlm2/long/statistics"),
        "perplexity": Input("internlm2/long/perplexity"),
    },
    tags={"stage": "select"},
    automation=CHEAP,
)
def documents(
    out: DatasetWriter, config: SelectConfig, candidates: Dataset, statistics: Dataset, perplexity: Dataset
) -> None:
    """Long documents that hold together: no limit broken, and their context helps to predict what follows."""
    judged = select_verdicts(
        statistics.read("id", "domain", "language", "reason", "score", "threshold"),
        perplexity.read("id", "ppl_delta"),
        config.min_delta,
    )
    start = 0
    for batch in candidates.batches():
        out.ledger.rows_in += batch.height
        verdicts = judged[start : start + batch.height]
        apply_verdicts(out, batch, verdicts.select(VERDICTS.names()), "long")
        start += batch.height
    scored = judged.drop_nulls("ppl_delta")
    out.plot(
        "ppl_delta",
        plots.plot_values(
            {
                str(domain): rows["ppl_delta"].to_numpy()
                for (domain,), rows in scored.group_by("domain", maintain_order=True)
            },
            "ppl_delta: perplexity without long context minus with it",
        ),
    )

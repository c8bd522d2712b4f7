"""Near-duplicate removal by Athanor, datatrove, datasketch and rensa: from Parquet shards in to kept documents out.

All use word 5-grams, 128 hash functions and 16 bands of 8. Differences are said at each contender.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

WORKERS = 2
WORDS = 50_000


@cache
def vocabulary() -> pl.Series:
    rng = np.random.default_rng(0)
    return pl.Series(["".join(chr(97 + c) for c in rng.integers(0, 26, rng.integers(2, 10))) for _ in range(WORDS)])


def documents(count: int, seed: int) -> pl.DataFrame:
    """`id` and `text` of 155 words, about 1 kB, in an order of chance.

    A tenth are copies of others, a tenth differ from another in up to ten words, and one in a hundred is the same text
    for all seeds.
    """
    rng = np.random.default_rng(seed)
    chosen = (WORDS * rng.random((count, 155)) ** 2).astype(np.int64)
    near, copies = slice(count * 8 // 10, count * 9 // 10), slice(count * 9 // 10, count)
    for rows in (near, copies):
        chosen[rows] = chosen[rng.integers(0, near.start, size=rows.stop - rows.start)]
    for row in range(near.start, near.stop):
        chosen[row, rng.integers(0, 155, size=rng.integers(1, 11))] = rng.integers(WORDS)
    chosen[::100] = np.arange(155)
    words = {str(place): vocabulary().gather(chosen[:, place]) for place in range(155)}
    text = pl.DataFrame(words).select(pl.concat_str(pl.all(), separator=" ")).to_series()
    ids = [f"{seed:05d}-{row:07d}" for row in range(count)]
    return pl.DataFrame({"id": ids, "text": text[rng.permutation(count)]})


def run_ours(shards: list[Path], folder: Path) -> int:
    """Signatures, groups, survivors, kept rows and the row ledger in the lake's files (flushed and hashed)."""
    from assets.core.dedup import MinHashPlan, SignaturePart, find_duplicates, signature_frame
    from assets.core.lake import DatasetWriter

    plan, parts = MinHashPlan(), []
    for number, shard in enumerate(shards):
        parts.append(SignaturePart(shard.stem, [folder / f"signatures-{number}.parquet"]))
        signature_frame(pl.read_parquet(shard), plan).write_parquet(parts[-1].paths[0])
    (folder / "kept").mkdir()
    out = DatasetWriter(folder / "kept", folder / "work", "0" * 64)
    for shard, verdicts in zip(shards, find_duplicates(parts, plan, folder / "work"), strict=True):
        rows = pl.read_parquet(shard)
        out.ledger.rows_in += rows.height
        out.write(rows.filter(verdicts["dup_of"] == ""))
        out.ledger.drop("near_duplicate", (verdicts["dup_of"] != "").sum())
    out.close()
    out.stop()
    out.ledger.close("bench/dedup")
    return out.ledger.rows_out


def run_datatrove(shards: list[Path], folder: Path) -> int:
    r"""Its four steps in local executors, each with two workers, forked so that none imports anything anew.

    Candidates are not confirmed by their signatures. Words are found by `\w+` in place of its default, spaCy, which is
    slower; its 64-bit hashes are left.
    """
    import xxhash
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter
    from datatrove.utils.word_tokenizers import WordTokenizer

    class Words(WordTokenizer):
        def word_tokenize(self, text: str) -> list[str]:
            return re.findall(r"\w+", text)

        def sent_tokenize(self, text: str) -> list[str]:
            return [text]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text))]

    config = MinhashConfig(n_grams=5, num_buckets=16, hashes_per_bucket=8)
    reader = ParquetReader(str(shards[0].parent))
    names = [str(folder / name) for name in ("signatures", "buckets", "remove", "kept")]
    signature = MinhashDedupSignature(names[0], config, language=Words())
    # As its own function of this name, which hands xxhash a string; that takes only bytes from version 4 on.
    signature._hash_func = lambda shingle: xxhash.xxh64_intdigest(shingle.encode())
    steps = [
        ([reader, signature], len(shards)),
        ([MinhashDedupBuckets(names[0], names[1], config=config)], 16),
        ([MinhashDedupCluster(names[1], names[2], config)], 1),
        ([reader, MinhashDedupFilter(names[2]), ParquetWriter(names[3])], len(shards)),
    ]
    for number, (pipeline, tasks) in enumerate(steps):
        logs = str(folder / f"logs-{number}")
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=WORKERS, logging_dir=logs, start_method="fork").run()
    return pl.scan_parquet(names[3]).select(pl.len()).collect().item()


def shingled(shards: list[Path]) -> Iterator[list[tuple[str, list[str]]]]:
    """Ids and 5-grams of each shard's documents, as both libraries' documentation makes them."""
    for shard in shards:
        rows = pl.read_parquet(shard)
        grams = []
        for identity, text in rows.select("id", "text").iter_rows():
            words = re.findall(r"\w+", text.lower())
            grams.append((identity, [" ".join(words[at : at + 5]) for at in range(max(1, len(words) - 4))]))
        yield grams


def write_kept(shards: list[Path], folder: Path, kept: set[str]) -> int:
    for shard in shards:
        pl.read_parquet(shard).filter(pl.col("id").is_in(kept)).write_parquet(folder / shard.name)
    return len(kept)


def run_datasketch(shards: list[Path], folder: Path) -> int:
    """MinHash and MinHashLSH: a document is kept when no kept one is a confirmed candidate. One process."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=128, params=(16, 8))
    signatures: dict[str, MinHash] = {}
    for grams in shingled(shards):
        for identity, shingles in grams:
            signature = MinHash(num_perm=128, seed=1)
            signature.update_batch([shingle.encode() for shingle in shingles])
            if all(signature.jaccard(signatures[other]) < 0.7 for other in index.query(signature)):
                index.insert(identity, signature)
                signatures[identity] = signature
    return write_kept(shards, folder, set(signatures))


def run_rensa_loop(shards: list[Path], folder: Path) -> int:
    """One RMinHash at a time into its deduplicator. Its sketch hashes a shingle into few of the 128 places."""
    from rensa import RMinHash, RMinHashDeduplicator

    seen = RMinHashDeduplicator(threshold=0.7, num_perm=128, use_lsh=True, num_bands=16, seed=42)
    kept = set()
    for grams in shingled(shards):
        for identity, shingles in grams:
            signature = RMinHash(num_perm=128, seed=42)
            signature.update(shingles)
            if seen.add(identity, signature):
                kept.add(identity)
    return write_kept(shards, folder, kept)


def run_rensa_batch(shards: list[Path], folder: Path) -> int:
    """Its batch call, a shard of shingle lists at a time."""
    from rensa import RMinHashDeduplicator

    seen = RMinHashDeduplicator(threshold=0.7, num_perm=128, use_lsh=True, num_bands=16, seed=42)
    kept: set[str] = set()
    for grams in shingled(shards):
        added = seen.add_pairs(grams)
        kept.update(identity for (identity, _), is_new in zip(grams, added, strict=True) if is_new)
    return write_kept(shards, folder, kept)

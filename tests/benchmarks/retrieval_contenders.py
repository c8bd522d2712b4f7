"""What is compared by retrieval.py, each in a process of its own: ours, bm25s and tantivy.

A process does what lines on its standard input say, and answers each with a line of JSON.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from tests.benchmarks.report import peak_memory

WORD = r"\w+"
K1, B = 1.2, 0.75


class Contender(ABC):
    """An engine with an index in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    @abstractmethod
    def build(self, frames: Iterator[pl.DataFrame]) -> None: ...

    @abstractmethod
    def open(self) -> None: ...

    @abstractmethod
    def search(self, queries: list[str], k: int) -> object: ...

    def scores(self, found: object) -> np.ndarray:
        """Scores of each query's hits, of what `search` found, the best first; 0 where there are fewer than k."""
        raise NotImplementedError


class Ours(Contender):
    def build(self, frames: Iterator[pl.DataFrame]) -> None:
        from assets.core.retrieval import Bm25Plan, build_index

        build_index(frames, self.folder, Bm25Plan(K1, B))

    def open(self) -> None:
        from assets.core.retrieval import Index

        self.index = Index.open(self.folder)

    def search(self, queries: list[str], k: int) -> pl.DataFrame:
        return self.index.search(queries, k)

    def scores(self, found: object) -> np.ndarray:
        assert isinstance(found, pl.DataFrame)
        scores = np.zeros((found["query"].max() + 1, found["rank"].max() + 1))
        scores[found["query"].to_numpy(), found["rank"].to_numpy()] = found["score"].to_numpy()
        return scores


class Bm25s(Contender):
    """As its README says: its own tokenizer, the numba backend, all cores. Positions come back; ours gives ids."""

    mapped = False

    def build(self, frames: Iterator[pl.DataFrame]) -> None:
        import bm25s

        texts = [text for frame in frames for text in frame["text"]]
        tokenizer = bm25s.tokenization.Tokenizer(splitter=WORD, stopwords=None)
        tokens = tokenizer.tokenize(texts, return_as="tuple", show_progress=False)
        # Its "lucene" leaves out the factor (k1 + 1), its "atire" with Lucene's idf does not.
        index = bm25s.BM25(k1=K1, b=B, method="atire", idf_method="lucene", backend="numba")
        index.index(tokens, show_progress=False)
        index.save(self.folder, show_progress=False)
        tokenizer.save_vocab(str(self.folder))

    def open(self) -> None:
        import bm25s

        self.index = bm25s.BM25.load(self.folder, mmap=self.mapped)
        self.tokenizer = bm25s.tokenization.Tokenizer(splitter=WORD, stopwords=None)
        self.tokenizer.load_vocab(str(self.folder))

    def search(self, queries: list[str], k: int) -> object:
        tokens = self.tokenizer.tokenize(queries, update_vocab=False, show_progress=False)
        return self.index.retrieve(tokens, k=k, n_threads=-1, show_progress=False)

    def scores(self, found: object) -> np.ndarray:
        return found.scores  # type: ignore[attr-defined]


class MappedBm25s(Bm25s):
    """As ours is: the index that Bm25s built, mapped into memory, and ids that come back."""

    mapped = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder.parent / "bm25s")

    def open(self) -> None:
        super().open()
        self.ids = pl.read_parquet(self.folder.parent / "corpus" / "*.parquet", columns=["id"])["id"].to_numpy()

    def search(self, queries: list[str], k: int) -> object:
        tokens = self.tokenizer.tokenize(queries, update_vocab=False, show_progress=False)
        return self.index.retrieve(tokens, corpus=self.ids, k=k, n_threads=-1, show_progress=False)


class Tantivy(Contender):
    """Two indexing threads; queries one after the other, ids not read. Its scores come from rounded lengths."""

    def schema(self) -> object:
        import tantivy

        builder = tantivy.SchemaBuilder()
        builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
        builder.add_text_field("text", stored=False, index_option="freq")
        return builder.build()

    def build(self, frames: Iterator[pl.DataFrame]) -> None:
        import tantivy

        writer = tantivy.Index(self.schema(), path=str(self.folder)).writer(heap_size=512_000_000, num_threads=2)
        for frame in frames:
            for id_, text in frame.select("id", "text").iter_rows():
                writer.add_document(tantivy.Document(id=id_, text=text))
        writer.commit()
        writer.wait_merging_threads()

    def open(self) -> None:
        import tantivy

        self.index = tantivy.Index.open(str(self.folder))
        self.searcher = self.index.searcher()

    def search(self, queries: list[str], k: int) -> None:
        for query in queries:
            # Its query language gives a meaning to what stands between words; its own words end at an underscore.
            words = " ".join(re.findall(r"[^\W_]+", query.lower()))
            self.searcher.search(self.index.parse_query(words, ["text"]), k, count=False)


BUILDERS: dict[str, type[Contender]] = {"ours": Ours, "bm25s": Bm25s, "tantivy": Tantivy}
CONTENDERS = BUILDERS | {"bm25s_mapped": MappedBm25s}


def resident() -> dict[str, int]:
    """Memory of this process in MiB: its own, and of files that are mapped into it."""
    with open("/proc/self/status") as file:
        found = {name: value.split() for name, value in (line.split(":", 1) for line in file)}
    return {"own": int(found["RssAnon"][0]) // 1024, "mapped": int(found["RssFile"][0]) // 1024}


def main(name: str, corpus: Path, folder: Path) -> None:
    contender = CONTENDERS[name](folder)
    before: dict[str, int] = {}
    for line in sys.stdin:
        order = json.loads(line)
        answer: dict[str, object] = {}
        started = time.perf_counter()
        if order["do"] == "build":
            contender.build(pl.read_parquet(path) for path in sorted(corpus.glob("*.parquet")))
            answer["peak"] = peak_memory()
        elif order["do"] == "open":
            before = resident()
            contender.open()
        elif order["do"] == "search":
            queries = pl.read_parquet(order["queries"])["text"].to_list()[: order["first"]]
            started = time.perf_counter()
            found = contender.search(queries, order["k"])
            answer["seconds"] = time.perf_counter() - started
            if order["scores"]:
                np.save(order["scores"], contender.scores(found))
        elif order["do"] == "memory":
            answer["memory"] = {part: size - before[part] for part, size in resident().items()}
        print(json.dumps({"seconds": time.perf_counter() - started} | answer), flush=True)


if __name__ == "__main__":
    os.environ["TQDM_DISABLE"] = "1"
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))

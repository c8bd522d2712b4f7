"""Lexical retrieval by BM25. See README.md for what is exact, what is fast and what was measured."""

from assets.core.retrieval.index import HIT_SCHEMA, Index, build_index
from assets.core.retrieval.plan import Bm25Plan
from assets.core.retrieval.tokens import tokenize

__all__ = ["HIT_SCHEMA", "Bm25Plan", "Index", "build_index", "tokenize"]

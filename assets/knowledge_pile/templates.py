"""Bootstrapping by rules: questions from templates, thoughts from the passages that a question finds.

A deterministic stand-in for a language model on machines without one. Keyphrases are found as in RAKE (Rose et al.
2010): runs of words between stop words and punctuation, scored by how long the runs are that their words occur in. A
thought is made of the best sentences of the first passages found (pseudo-relevance feedback): it brings in
words of the collection, as a model's answer would bring in words of its own.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

from assets.core.ids import content_id
from assets.knowledge_pile.bootstrap import Query, Written

# Their own words are common ones, which BM25 hardly counts.
TEMPLATES = (
    "What is {}?",
    "How is {} computed?",
    "How does {} work?",
    "When is {} used?",
    "Why is {} used?",
    "What is {} used for?",
    "How is {} defined?",
    "What does {} do?",
    "How can {} be used?",
    "Where is {} used?",
)
# Words of every documentation, which are no subject.
DOCUMENTATION_WORDS = ("default", "example", "false", "none", "note", "parameter", "return", "returns", "true")
_WORD = re.compile(r"[a-z][a-z-]*[a-z]")
_PUNCTUATION = re.compile(r"[^\w\s-]|_|\n|\d")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n\s*\n")
MAX_PHRASE_WORDS = 3
MIN_SENTENCE_WORDS, MAX_SENTENCE_WORDS = 5, 60
MIN_WORD_SHARE = 0.8


Find = Callable[[Sequence[str]], list[list[str]]]
"""The texts that each question finds, best first."""


class TemplateBootstrapper:
    """Questions about the keyphrases of a seed, thoughts from passages. `find(questions)` gives, for each question, the
    texts of the passages that it finds, best first."""

    name = "template"
    temperature = None
    thought_temperature = None

    def __init__(
        self,
        find: Find,
        *,
        n_questions: int,
        n_sentences: int,
        sample_seed: int,
    ) -> None:
        self._find = find
        self._n_questions, self._n_sentences, self._sample_seed = n_questions, n_sentences, sample_seed

    def extend(self, seeds: Sequence[Query]) -> list[Written]:
        return [self._questions(seed) for seed in seeds]

    def _questions(self, seed: Query) -> Written:
        phrases = keyphrases(seed.text)[: self._n_questions]
        if not phrases:
            return Written((), "no_keyphrase")
        order = sorted(TEMPLATES, key=lambda form: content_id("template", str(self._sample_seed), seed.id, form))
        return Written([order[n % len(order)].format(phrases[n % len(phrases)]) for n in range(self._n_questions)])

    def think(self, questions: Sequence[Query]) -> list[Written]:
        found = self._find([question.text for question in questions])
        return [self._thought(question.text, passages) for question, passages in zip(questions, found, strict=True)]

    def _thought(self, question: str, passages: Sequence[str]) -> Written:
        sentences = best_sentences(question, passages, self._n_sentences)
        return Written([" ".join(sentences)]) if sentences else Written((), "no_sentence")


@cache
def stop_words() -> frozenset[str]:
    """Words that are no subject: those of English, of documentation, and of the templates, which would come back."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return ENGLISH_STOP_WORDS.union(DOCUMENTATION_WORDS, _WORD.findall(" ".join(TEMPLATES).lower()))


def words_of(text: str) -> list[str]:
    """The words of a text that say something, in lower case."""
    return [word for word in _WORD.findall(text.lower()) if word not in stop_words()]


def keyphrases(text: str) -> list[str]:
    """The distinct keyphrases of a text, best first; ties in the order of the text."""
    runs = [run for part in _PUNCTUATION.split(text.lower()) for run in _runs(part.split())]
    count = Counter(word for run in runs for word in run)
    degree = Counter({word: sum(len(run) for run in runs if word in run) for word in count})
    scores = {" ".join(run): sum(degree[word] / count[word] for word in run) for run in runs}
    return sorted(scores, key=lambda phrase: -scores[phrase])


def _is_prose(sentence: str) -> bool:
    """Whether it is a whole sentence of words, and no table, reference or code."""
    parts = sentence.split()
    if not MIN_SENTENCE_WORDS <= len(parts) <= MAX_SENTENCE_WORDS or sentence[-1] not in ".!?":
        return False
    return sum(part.strip(".,;:!?()'\"").isalpha() for part in parts) >= MIN_WORD_SHARE * len(parts)


def _runs(words: Sequence[str]) -> list[tuple[str, ...]]:
    """Runs of words that are no stop words, at most `MAX_PHRASE_WORDS` of each."""
    runs: list[list[str]] = [[]]
    for word in words:
        if _WORD.fullmatch(word) and word not in stop_words():
            runs[-1].append(word)
        else:
            runs.append([])
    return [tuple(run[:MAX_PHRASE_WORDS]) for run in runs if run]


def best_sentences(question: str, passages: Sequence[str], n: int) -> list[str]:
    """The `n` sentences of the passages with the most words of the question, for their length; best first.

    A word counts by how few of the sentences have it.
    """
    sentences = [" ".join(part.split()) for text in passages for part in _SENTENCE_END.split(text)]
    usable = [sentence for sentence in dict.fromkeys(sentences) if _is_prose(sentence)]
    having = Counter(word for sentence in usable for word in set(words_of(sentence)))
    asked = set(words_of(question))

    def score(sentence: str) -> float:
        shared = asked & set(words_of(sentence))
        return sum(math.log(1 + len(usable) / having[word]) for word in shared) / math.sqrt(len(sentence.split()))

    scored = [(score(sentence), sentence) for sentence in usable]
    best = sorted((pair for pair in scored if pair[0] > 0), key=lambda pair: -pair[0])
    return [sentence for _, sentence in best[:n]]

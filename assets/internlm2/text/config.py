"""Configuration of InternLM2's text pipeline.

The paper (§3.1.1) names its stages and the parameters of its deduplication, but no threshold of rules, safety or
quality. Those of the rules are the published ones of the systems that it follows: Gopher (Rae et al. 2021, A1.1), C4
(Raffel et al. 2020) and FineWeb (Penedo et al. 2024). A value without a source is our default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import dagster as dg
from pydantic import Field

TASKS = ("advert", "fluency", "toxicity", "pornography")


class RulesConfig(dg.Config):
    """`internlm2/text/filtered`. Shares of characters leave white space out; shares of lines, empty lines."""

    min_words: int = Field(50, ge=0, description="Words with a letter or digit (Gopher).")
    max_words: int = Field(100_000, ge=0, description="The same (Gopher).")
    min_mean_word_length: float = Field(3, ge=0, description="Characters, where white space parts words (Gopher).")
    max_mean_word_length: float = Field(10, ge=0, description="The same (Gopher).")
    max_hashes_per_word: float = Field(0.1, ge=0, description="Characters # to a word (Gopher).")
    max_ellipses_per_word: float = Field(0.1, ge=0, description="Ellipses to a word (Gopher).")
    max_bullet_lines: float = Field(0.9, ge=0, le=1, description="Share of lines that begin with a bullet (Gopher).")
    max_ellipsis_lines: float = Field(0.3, ge=0, le=1, description="Share of lines that end in an ellipsis (Gopher).")
    min_alphabetic_words: float = Field(0.8, ge=0, le=1, description="Share of words with a letter (Gopher).")
    min_stop_words: int = Field(2, ge=0, description="Of the language's stop words, each counted once (Gopher).")
    stop_words: dict[str, list[str]] = Field(
        {
            "en": ["the", "be", "to", "of", "and", "that", "have", "with"],
            "zh": ["的", "了", "是", "在", "和", "有", "不", "这", "为", "中"],
        },
        description="By language (ISO 639-1); one without a list is not judged. English: Gopher's.",
    )
    max_repeated_lines: float = Field(0.3, ge=0, le=1, description="Share of lines that came before (Gopher, A1).")
    max_repeated_paragraphs: float = Field(0.3, ge=0, le=1, description="The same for paragraphs (Gopher, A1).")
    max_repeated_line_characters: float = Field(
        0.2, ge=0, le=1, description="Share of the text's characters in lines that came before (Gopher, A1)."
    )
    max_repeated_paragraph_characters: float = Field(
        0.2, ge=0, le=1, description="The same for paragraphs (Gopher, A1)."
    )
    max_top_ngrams: list[float] = Field(
        [0.20, 0.18, 0.16],
        description="Share of the text's characters in its most frequent 2-, 3-, 4-gram of words (Gopher, A1).",
    )
    max_repeated_ngrams: list[float] = Field(
        [0.15, 0.14, 0.13, 0.12, 0.11, 0.10],
        description="Share of the text's characters in 5-, 6-, ..., 10-grams of words that came before (Gopher, A1).",
    )
    min_terminated_lines: float = Field(
        0.12, ge=0, le=1, description="Share of lines that end in closing punctuation (FineWeb)."
    )
    max_short_lines: float = Field(0.67, ge=0, le=1, description="Share of lines of at most 30 characters (FineWeb).")
    max_lines_per_word: float = Field(0.3, ge=0, description="Line ends to a word, where white space parts (FineWeb).")
    max_mean_line: float = Field(5_000, ge=0, description="Characters: above it, paragraphs have run together.")
    max_boilerplate_lines: float = Field(
        0.2, ge=0, le=1, description="Share of lines with C4's phrases on cookies, terms of use and JavaScript."
    )
    max_commonest_character: float = Field(0.3, ge=0, le=1, description="Share of the commonest character.")
    min_letters: float = Field(0.6, ge=0, le=1, description="Share of letters.")
    max_digits: float = Field(0.35, ge=0, le=1, description="Share of digits.")
    max_symbols: float = Field(0.1, ge=0, le=1, description="Share of characters that are none of the others.")
    max_mojibake_per_word: float = Field(0.02, ge=0, description="Wrongly decoded characters to a word.")
    min_punctuation: float = Field(0.005, ge=0, le=1, description="Share of punctuation: below it, a list of words.")
    max_punctuation: float = Field(0.2, ge=0, le=1, description="Share of punctuation.")
    min_sentences: int = Field(3, ge=0, description="Ends of sentences (C4).")
    max_braces_per_word: float = Field(
        0.05, ge=0, description="Characters { to a word; C4 drops a page with any (0), and with it every formula."
    )


class SignaturesConfig(dg.Config):
    """`internlm2/text/signatures`: MinHash."""

    n_hashes: int = Field(128, gt=0, description="Hash functions (paper, §3.1.1).")
    ngram: int = Field(5, gt=0, description="Words of a shingle (paper, §3.1.1).")
    seed: int = Field(1, ge=0, description="Seed of the hash functions.")


class DedupConfig(dg.Config):
    """`internlm2/text/duplicates`: locality-sensitive hashing of the signatures."""

    bands: int = Field(16, gt=0, description="Bands of the hash functions; the paper's number is not known.")
    threshold: float = Field(0.7, gt=0, le=1, description="Similarity from which texts are duplicates (paper, §3.1.1).")


class ClassifierConfig(dg.Config):
    """`internlm2/text/classifier/<task>`."""

    model: str = Field(
        "",
        description="Folder of a Hugging Face sequence classifier, as the paper's BERT; empty: a logistic regression "
        "over hashed n-grams is trained on `worlds/labelled_pages`.",
    )
    bad_label: int = Field(1, ge=0, description="Which of the model's classes is the bad one.")
    max_length: int = Field(512, gt=0, description="Tokens that the model sees (BERT's).")
    batch_size: int = Field(32, gt=0, description="Texts to a forward pass of the model.")
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where the model computes.")
    hash_bits: int = Field(18, ge=4, le=24, description="Features: 2 to this power for words, and for characters.")
    word_ngram: int = Field(2, ge=1, description="Longest n-gram of words.")
    character_ngram: int = Field(3, ge=2, description="Length of the n-grams of characters inside words.")
    max_characters: int = Field(10_000, gt=0, description="Of a text that are looked at: its beginning.")
    regularisation: float = Field(
        10.0,
        gt=0,
        description="C of the logistic regression: a smaller one is surer of less, and misses partial adverts.",
    )
    threshold: float = Field(0.5, ge=0, le=1, description="At which precision and recall are reported.")


class SafetyConfig(dg.Config):
    """`internlm2/text/safe`."""

    blocked_domains: str = Field(
        "",
        description="File of domains, one to a line, a path or an fsspec URL; subdomains are blocked too. The paper "
        "has about 13 million. Empty: the list of `worlds/web_crawl`, whose domains are invented.",
    )
    blocked_words: str = Field(
        "", description="File of words or phrases; the paper has 36,289. Empty: the list of `worlds/web_crawl`."
    )
    max_blocked_words: int = Field(0, ge=0, description="Different blocked words that a document may hold.")
    max_toxicity: float = Field(0.5, ge=0, le=1, description="Probability of toxicity above which it is dropped.")
    max_pornography: float = Field(0.5, ge=0, le=1, description="The same for pornography.")


class QualityConfig(dg.Config):
    """`internlm2/text/clean`."""

    max_advert: float = Field(0.5, ge=0, le=1, description="Probability of an advert above which it is dropped.")
    max_disfluency: float = Field(0.5, ge=0, le=1, description="The same for text that is not fluent.")


@dataclass(frozen=True)
class Config:
    """All sections, for a preset."""

    rules: RulesConfig
    signatures: SignaturesConfig
    dedup: DedupConfig
    classifier: ClassifierConfig
    safety: SafetyConfig
    quality: QualityConfig


TINY = Config(RulesConfig(), SignaturesConfig(), DedupConfig(), ClassifierConfig(), SafetyConfig(), QualityConfig())
# What the paper gives are its deduplication and that its classifiers are BERTs: whose folder is for the user to name.
PAPER = TINY

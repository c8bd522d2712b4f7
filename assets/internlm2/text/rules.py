"""Rules on a page's text: the first that it breaks is why it is dropped (Gopher, C4, FineWeb, and ours).

Every score is a column named after its rule; null where the rule does not apply, which drops nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from assets.core.audit import Limit, judge
from assets.internlm2.text.characters import MOJIBAKE, character_measures
from assets.internlm2.text.config import RulesConfig
from assets.internlm2.text.lines import line_measures, pieces, repeated_pieces
from assets.internlm2.text.words import CHARACTERS_PER_WORD, repetition, stop_words, word_measures, words_of

TOP_FROM, REPEATED_FROM = 2, 5  # Gopher's shortest n-grams of the two kinds
SENTENCE_END = r"""[。！？]|[.!?]["'”’)\]]*(?:\s|$)"""


def rule_verdicts(frame: pl.DataFrame, config: RulesConfig) -> pl.DataFrame:
    """Verdicts (core/audit) on pages with `id`, `language` and a normalised `text`."""
    return judge(frame["id"], rule_scores(frame, config), limits(config))


def limits(config: RulesConfig) -> list[Limit]:
    """The rules in the order in which they are asked."""
    top = [Limit(f"top_{n}_gram", share) for n, share in enumerate(config.max_top_ngrams, TOP_FROM)]
    repeated = [
        Limit(f"repeated_{n}_grams", share) for n, share in enumerate(config.max_repeated_ngrams, REPEATED_FROM)
    ]
    return [
        Limit("too_few_words", config.min_words, "below"),
        Limit("too_many_words", config.max_words),
        Limit("words_too_short", config.min_mean_word_length, "below"),
        Limit("words_too_long", config.max_mean_word_length),
        Limit("hashes", config.max_hashes_per_word),
        Limit("ellipses", config.max_ellipses_per_word),
        Limit("bullet_lines", config.max_bullet_lines),
        Limit("ellipsis_lines", config.max_ellipsis_lines),
        Limit("too_few_alphabetic_words", config.min_alphabetic_words, "below"),
        Limit("too_few_stop_words", config.min_stop_words, "below"),
        Limit("mojibake", config.max_mojibake_per_word),
        Limit("commonest_character", config.max_commonest_character),
        Limit("too_few_letters", config.min_letters, "below"),
        Limit("digits", config.max_digits),
        Limit("symbols", config.max_symbols),
        Limit("repeated_paragraphs", config.max_repeated_paragraphs),
        Limit("repeated_paragraph_characters", config.max_repeated_paragraph_characters),
        Limit("repeated_lines", config.max_repeated_lines),
        Limit("repeated_line_characters", config.max_repeated_line_characters),
        *top,
        *repeated,
        Limit("too_few_terminated_lines", config.min_terminated_lines, "below"),
        Limit("short_lines", config.max_short_lines),
        Limit("lines_per_word", config.max_lines_per_word),
        Limit("lines_too_long", config.max_mean_line),
        Limit("boilerplate_lines", config.max_boilerplate_lines),
        Limit("too_little_punctuation", config.min_punctuation, "below"),
        Limit("too_much_punctuation", config.max_punctuation),
        Limit("lorem_ipsum", 0),
        Limit("braces", config.max_braces_per_word),
        Limit("too_few_sentences", config.min_sentences, "below"),
    ]


def rule_scores(frame: pl.DataFrame, config: RulesConfig) -> pl.DataFrame:
    """The score of every rule for every page."""
    text = frame["text"]
    words = words_of(text)
    measured = word_measures(words, len(text))
    return pl.concat(
        [
            _word_scores(text, measured, stop_words(words, frame["language"], config.stop_words)),
            _line_scores(text, measured),
            _ngram_scores(text, words, measured["unspaced"], config),
            _character_scores(text, measured),
        ],
        how="horizontal",
    )


def _per_word(count: pl.Expr) -> pl.Expr:
    return count / pl.max_horizontal("all_words", 1)


def _where_spaced(score: pl.Expr) -> pl.Expr:
    return pl.when(~pl.col("unspaced")).then(score)


def _word_scores(text: pl.Series, measured: pl.DataFrame, stop: pl.Series) -> pl.DataFrame:
    words, mean = pl.col("words"), _where_spaced(pl.col("mean_length"))
    content = pl.lit(text)
    return measured.select(
        too_few_words=words,
        too_many_words=words,
        words_too_short=mean,
        words_too_long=mean,
        hashes=_per_word(content.str.count_matches("#")),
        ellipses=_per_word(content.str.count_matches(r"\.\.\.|…")),
        too_few_alphabetic_words=pl.col("alphabetic"),
        too_few_stop_words=stop,
        mojibake=_per_word(content.str.count_matches(MOJIBAKE)),
        lorem_ipsum=content.str.contains("(?i)lorem ipsum").cast(pl.Int64),
        braces=_per_word(content.str.count_matches(r"\{")),
        too_few_sentences=content.str.count_matches(SENTENCE_END),
    )


def _line_scores(text: pl.Series, measured: pl.DataFrame) -> pl.DataFrame:
    rows, characters = len(text), text.str.len_chars().cast(pl.Float64).clip(1)
    lines = pieces(text, "\n")
    measures = line_measures(lines, rows)
    again, paragraphs = repeated_pieces(lines, rows), repeated_pieces(pieces(text, "\n\n"), rows)
    return measured.select(
        bullet_lines=measures["bullets"],
        ellipsis_lines=measures["ellipses"],
        repeated_lines=again["share"],
        repeated_line_characters=again["characters"] / characters,
        repeated_paragraphs=paragraphs["share"],
        repeated_paragraph_characters=paragraphs["characters"] / characters,
        too_few_terminated_lines=measures["terminated"],
        short_lines=measures["short"],
        lines_per_word=_where_spaced(_per_word(pl.lit(text.str.count_matches("\n")))),
        lines_too_long=measures["length"],
        boilerplate_lines=measures["boilerplate"],
    )


def _ngram_scores(text: pl.Series, words: pl.DataFrame, unspaced: pl.Series, config: RulesConfig) -> pl.DataFrame:
    """Shares of characters in n-grams; in unspaced scripts of as many characters as n words have."""
    top = _lengths(TOP_FROM, config.max_top_ngrams)
    repeated = _lengths(REPEATED_FROM, config.max_repeated_ngrams)
    longer = unspaced.gather(words["row"])
    spaced = repetition(words.filter(~longer), len(text), top, repeated, blank=1)
    unit = CHARACTERS_PER_WORD
    other = repetition(words.filter(longer), len(text), [unit * n for n in top], [unit * n for n in repeated], blank=0)
    characters = text.str.len_chars().cast(pl.Float64).clip(1)
    names = [f"top_{n}_gram" for n in top] + [f"repeated_{n}_grams" for n in repeated]
    pairs = zip(names, spaced.get_columns(), other.get_columns(), strict=True)
    return pl.DataFrame({name: (of_words + of_characters) / characters for name, of_words, of_characters in pairs})


def _lengths(shortest: int, thresholds: Sequence[float]) -> list[int]:
    return list(range(shortest, shortest + len(thresholds)))


def _character_scores(text: pl.Series, measured: pl.DataFrame) -> pl.DataFrame:
    shares = character_measures(text)
    return shares.select(
        "commonest", too_few_letters="letters", digits="digits", symbols="symbols",
        too_little_punctuation="punctuation", too_much_punctuation="punctuation",
    ).rename({"commonest": "commonest_character"})  # fmt: skip

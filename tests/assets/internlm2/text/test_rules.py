"""Each rule on both sides of its threshold, on rows made by hand."""

from __future__ import annotations

import polars as pl
import pytest

from assets.internlm2.text.config import RulesConfig
from assets.internlm2.text.normalise import normalise
from assets.internlm2.text.rules import limits, rule_scores, rule_verdicts

# Rules asked alone: all others let everything pass.
OPEN = RulesConfig(
    min_words=0, max_words=10**9, min_mean_word_length=0, max_mean_word_length=10**9, max_hashes_per_word=10**9,
    max_ellipses_per_word=10**9, max_bullet_lines=1, max_ellipsis_lines=1, min_alphabetic_words=0, min_stop_words=0,
    max_repeated_lines=1, max_repeated_paragraphs=1, max_repeated_line_characters=1,
    max_repeated_paragraph_characters=1, max_top_ngrams=[10**9] * 3, max_repeated_ngrams=[1] * 6,
    min_terminated_lines=0, max_short_lines=1, max_lines_per_word=10**9, max_mean_line=10**9,
    max_boilerplate_lines=1, max_commonest_character=1, min_letters=0, max_digits=1, max_symbols=1,
    max_mojibake_per_word=10**9, min_punctuation=0, max_punctuation=1, min_sentences=0, max_braces_per_word=10**9,
)  # fmt: skip
PROSE = [
    "The bridge was built to carry grain and timber from the hills down to the harbour.",
    "Its stones came with barges, and masons from three villages have left their marks on them.",
    "In the great flood of 1784 two arches fell; a ferry took their place for nine years.",
    "Travellers who crossed it wrote of the toll, the wind, and a keeper that sold hot bread.",
    "Today it is closed to carts, but people still walk there to be alone in the evening.",
]
CHINESE = (
    "今天的天气很好，我们在公园里散步。他说这是一个美丽的地方，有很多人来这里休息和玩耍。不过为了安全，晚上不要来。"
)


def frame(*texts: str, language: str = "en") -> pl.DataFrame:
    rows = [{"id": str(n), "language": language, "text": text, "n_bytes": 0} for n, text in enumerate(texts)]
    return normalise(pl.DataFrame(rows))


# Rule, setting, threshold, a text that passes and one that does not.
CASES = [
    ("too_few_words", "min_words", 3, "one two three", "one two — *"),
    ("too_many_words", "max_words", 3, "one two three — *", "one two three four"),
    ("words_too_short", "min_mean_word_length", 3, "abc def", "abc de"),
    ("words_too_long", "max_mean_word_length", 3, "abc def", "abc defg"),
    ("hashes", "max_hashes_per_word", 0.5, "#one two", "#one #two"),
    ("ellipses", "max_ellipses_per_word", 0.5, "one... two", "one... two…"),
    ("bullet_lines", "max_bullet_lines", 0.5, "- one\n\ntwo", "- one\n• two\nthree"),
    ("ellipsis_lines", "max_ellipsis_lines", 0.5, "one...\n\ntwo", "one...\ntwo…\nthree"),
    ("too_few_alphabetic_words", "min_alphabetic_words", 0.5, "one 2", "one 2 3"),
    ("too_few_stop_words", "min_stop_words", 2, "the cat of Rome", "the cat the dog"),
    ("repeated_lines", "max_repeated_lines", 0.5, "a\na\n\nb\nb", "a\na\na"),
    ("repeated_paragraphs", "max_repeated_paragraphs", 0.5, "a\n\na\n\nb\n\nb", "a\n\na\n\na"),
    ("repeated_line_characters", "max_repeated_line_characters", 0.4, "ab\nab\ncd", "abcdef\nabcdef"),
    (
        "repeated_paragraph_characters",
        "max_repeated_paragraph_characters",
        0.4,
        "ab\n\nab\n\ncd",
        "abcdef\n\nabcdef",
    ),
    ("top_2_gram", "max_top_ngrams", [0.5, 9, 9], "a b x y z a b", "a b a b c"),
    ("top_4_gram", "max_top_ngrams", [9, 9, 0.5], "a b c d", "a b c d a b c d"),
    ("repeated_5_grams", "max_repeated_ngrams", [0.2], "a b c d e f g h", "a b c d e a b c d e"),
    ("too_few_terminated_lines", "min_terminated_lines", 0.5, "One.\ntwo", "One.”\ntwo\nthree"),
    ("short_lines", "max_short_lines", 0.5, f"{'x' * 31}\n{'y' * 30}", f"{'x' * 30}\n{'y' * 30}"),
    ("lines_per_word", "max_lines_per_word", 0.5, "one two\nthree", "one\n\ntwo"),
    ("lines_too_long", "max_mean_line", 5, "12345\n12345", "12345\n1234567"),
    (
        "boilerplate_lines",
        "max_boilerplate_lines",
        0.5,
        "We use of cookies\nText",
        "Uses cookies\nPrivacy Policy\nText",
    ),
    ("commonest_character", "max_commonest_character", 0.5, "aa bb", "aaa bb"),
    ("too_few_letters", "min_letters", 0.5, "ab 12", "ab 123"),
    ("digits", "max_digits", 0.5, "ab 12", "ab 123"),
    ("symbols", "max_symbols", 0.5, "ab +=", "ab +=<"),
    ("mojibake", "max_mojibake_per_word", 0.1, "São Âme à l’été", "donâ€™t sayÂ£ Ã©tÃ©"),
    ("too_little_punctuation", "min_punctuation", 0.2, "abcd.", "abcde."),
    ("too_much_punctuation", "max_punctuation", 0.2, "abcd.", "abcd.."),
    ("braces", "max_braces_per_word", 0.5, "a {b}", "{a} {b}"),
    ("too_few_sentences", "min_sentences", 2, "One. Two.", "Version 1.2 came."),
]


@pytest.mark.parametrize(("rule", "setting", "threshold", "passes", "fails"), CASES, ids=[case[0] for case in CASES])
def test_rule(rule: str, setting: str, threshold: object, passes: str, fails: str) -> None:
    """The threshold itself passes; what lies beyond it is dropped for this reason, with its score."""
    verdicts = rule_verdicts(frame(passes, fails), OPEN.model_copy(update={setting: threshold}))
    assert verdicts["reason"].to_list() == ["", rule]
    assert verdicts["score"][1] is not None
    assert verdicts["score"][0] is None


def test_every_rule_has_a_case() -> None:
    """A new rule comes with a test; of n-grams one length stands for all."""
    tested = {case[0] for case in CASES} | {"lorem_ipsum"}
    missing = {limit.reason for limit in limits(RulesConfig())} - tested
    assert all(name.startswith(("top_", "repeated_")) for name in missing)


def test_lorem_ipsum() -> None:
    """Filler text is dropped whatever its case (C4)."""
    assert rule_verdicts(frame("Then LOREM Ipsum came."), OPEN)["reason"].item() == "lorem_ipsum"


def test_the_first_rule_gives_the_reason() -> None:
    """A page that breaks several rules has the reason, score and threshold of the first."""
    verdict = rule_verdicts(frame("one 2 3"), RulesConfig()).row(0, named=True)
    assert (verdict["reason"], verdict["score"], verdict["threshold"]) == ("too_few_words", 3, 50)


def test_chinese_is_judged_by_its_characters() -> None:
    """Without white space a character is a word: rules on words' lengths and lines to a word do not apply."""
    config = RulesConfig(min_words=40)
    scores = rule_scores(frame(CHINESE, language="zh"), config)
    assert scores["too_few_words"].item() == sum(character.isalpha() for character in CHINESE)
    assert scores["words_too_short"].item() is None
    assert scores["lines_per_word"].item() is None
    assert scores["too_few_stop_words"].item() >= 2
    assert rule_verdicts(frame(CHINESE, language="zh"), config)["reason"].item() == ""


def test_a_language_without_stop_words_is_not_judged_by_them() -> None:
    """German has no list by default."""
    assert rule_scores(frame("Der Hund schläft.", language="de"), RulesConfig())["too_few_stop_words"].item() is None


def test_good_prose_passes() -> None:
    """The default thresholds let a plain text with several paragraphs through."""
    text = "\n\n".join(PROSE)
    assert rule_verdicts(frame(text), RulesConfig())["reason"].item() == ""


def test_no_pages() -> None:
    """An empty frame gives empty verdicts."""
    assert rule_verdicts(frame("x").clear(), RulesConfig()).is_empty()


def test_verdicts_do_not_depend_on_the_frame() -> None:
    """A page is judged alike alone and among others."""
    texts = ["", CHINESE, "\n\n".join(PROSE), *(case[4] for case in CASES[10:17])]
    together = rule_scores(frame(*texts), RulesConfig())
    alone = pl.concat([rule_scores(frame(text), RulesConfig()) for text in texts])
    assert together.equals(alone)

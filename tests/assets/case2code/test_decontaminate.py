"""Decontamination: runs of 13 words are found wherever they stand, short programs by the whole text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from assets.case2code.decontaminate import contaminated, grams_of_test, text_grams

WORDS = [f"w{i}" for i in range(40)]
TEST = " ".join(WORDS[:20])


def test_thirteen_words_in_a_row_are_found() -> None:
    """13 shared words contaminate, 12 do not; case, punctuation and line breaks do not hide them."""
    grams = grams_of_test([TEST])
    inside = "before, " + ";\n".join(WORDS[3:16]).upper() + "! after"
    almost = "before " + " ".join(WORDS[3:15]) + " after " + " ".join(WORDS[25:30])
    assert list(contaminated([inside, almost, TEST], grams)) == [" ".join(WORDS[3:16]), None, " ".join(WORDS[:13])]


def test_short_programs_are_compared_with_their_punctuation() -> None:
    """Two programs of equal words but other brackets are different; other spacing is not."""
    grams = grams_of_test(["def f(x):\n    return x[1:]"])
    found = list(contaminated(["def f(x):\n    return x[:1]", "def f( x ):\n\treturn x[1:]\n"], grams))
    assert found == [None, "deff(x):returnx[1:]"]


def test_what_all_prompts_share_does_not_contaminate() -> None:
    """An instruction that stands in every prompt by design is not a leak."""
    instruction = " ".join(WORDS[:15])
    test, training = f"{instruction} {WORDS[30]}", f"{instruction} {WORDS[31]}"
    assert next(contaminated([training], grams_of_test([test]))) is not None
    assert next(contaminated([training], grams_of_test([test], [instruction]))) is None


def test_training_texts_are_read_one_by_one() -> None:
    """The training set may be larger than memory: an answer comes before the next text is asked for."""
    read = []

    def texts():
        for text in (TEST, "other"):
            read.append(text)
            yield text

    answers = contaminated(texts(), grams_of_test([TEST]))
    next(answers)
    assert read == [TEST]


@given(st.lists(st.sampled_from(WORDS), max_size=40), st.integers(1, 6))
def test_grams_agree_with_the_definition(words: list[str], n: int) -> None:
    """Every window of n words and nothing else; the whole text when it is shorter; nothing of nothing."""
    windows = {" ".join(words[i : i + n]) for i in range(len(words)) if i + n <= len(words)}
    assert text_grams(" ".join(words), n) == (windows or ({"".join(words)} if words else set()))

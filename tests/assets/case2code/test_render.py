"""From cases to prompts."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.case2code.prompts import fenced_block
from assets.case2code.render import STYLES, InputStyle, StyleName, draw_shown, render_case, render_sample
from assets.case2code.schema import Arguments, Cases, Output
from assets.case2code.sentences import PADDINGS, TRAINING, UNSEEN, Layout, Wording

ERROR = "<class 'KeyError'>: 'x'"
CALL: Arguments = (("a", "1"), ("b", "'x'"))


def cases(n: int) -> Cases:
    """`n` cases of a function of two arguments; output `number` is told apart by its text."""
    return Cases(
        id="id",
        func_name="frobnicate",
        code="def frobnicate(a, b):\n    return (a, b)\n",
        arguments=[(("a", f"10{number}"), ("b", "'x'")) for number in range(n)],
        example_inputs=[f"{{'a': 10{number}, 'b': 'x'}}" for number in range(n)],
        example_outputs=[Output(f"(10{number}, 'x')", False) for number in range(n)],
        status="ok",
    )


def texts(wording: Wording) -> set[str]:
    layouts = {layout.template for layout in wording.layouts}
    return {*wording.instructions, *wording.example_headers, *wording.name_headers, *layouts}


def test_wording_has_the_official_counts_and_no_repeats() -> None:
    """28 instructions, 20 example headers, 8 name headers, 13 layouts of which 8 raw, 8 paddings of 3 lengths."""
    assert len(set(TRAINING.instructions)) == len(TRAINING.instructions) == 28
    assert len(set(TRAINING.example_headers)) == len(TRAINING.example_headers) == 20
    assert len(set(TRAINING.name_headers)) == len(TRAINING.name_headers) == 8
    assert len({layout.template for layout in TRAINING.layouts}) == len(TRAINING.layouts) == 13
    assert Counter(layout.style for layout in TRAINING.layouts) == {"raw": 8, "call": 5}
    assert Counter(TRAINING.paddings) == {"\n": 5, "\n\n": 2, "\n\n\n": 1}


def test_unseen_wording_shares_nothing_with_training() -> None:
    """The claim about diversity is measured on wording that no arm was trained on."""
    assert not texts(TRAINING) & texts(UNSEEN)
    for name in ("single", "evaluation", "diverse"):
        assert texts(STYLES[name].wording) <= texts(TRAINING)


@pytest.mark.parametrize(
    ("style", "written"),
    [
        ("pairs", "a:1, b:'x'"),
        ("values", "1, 'x'"),
        ("dict", "dict(a=1, b='x')"),
        ("keywords", "f(a=1, b='x')"),
        ("positional", "f(1, 'x')"),
    ],
)
def test_the_five_ways_to_write_an_input(style: InputStyle, written: str) -> None:
    """Three for raw layouts, two for calls."""
    layout = Layout("{input} -> {output}", "\n\n", "raw")
    assert render_case(layout, style, "f", CALL, Output("2", False)) == f"{written} -> 2\n\n"
    assert render_case(layout, style, "f", CALL, Output(ERROR, True)) == f"{written} -> {ERROR}\n\n"


def test_official_json_quoting_is_a_flag_and_off_by_default() -> None:
    """The official prompts show outputs and strings as JSON, so that 2 reads as a string."""
    layout, output = TRAINING.layouts[0], Output("['é']", False)
    call: Arguments = (("a", "'é'"), ("b", "{1, 2}"), ("c", "len"))
    assert render_case(layout, "dict", "f", call, output) == "Input: dict(a='é', b={1, 2}, c=len), Output: ['é']\n"
    assert (
        render_case(layout, "dict", "f", call, output, json_quoted=True)
        == 'Input: dict(a="\\u00e9", b={1, 2}, c=len), Output: "[\'\\u00e9\']"\n'
    )


@given(st.integers(1, 30), st.integers(1, 5), st.integers())
def test_shown_cases_are_distinct_and_at_least_the_minimum(n: int, min_shown: int, seed: int) -> None:
    """m ~ U{3..n}; all of them where there are fewer."""
    shown = draw_shown(n, min_shown, random.Random(seed))
    assert len(set(shown)) == len(shown)
    assert min(min_shown, n) <= len(shown) <= n
    assert set(shown) <= set(range(n))


def test_number_and_order_of_shown_cases_are_uniform() -> None:
    """A bias here would fix how many cases a model expects, or which it sees first."""
    rng = random.Random(0)
    draws = [draw_shown(5, 3, rng) for _ in range(3_000)]
    assert all(abs(count - 1_000) < 120 for count in Counter(map(len, draws)).values())
    assert all(abs(count - 600) < 100 for count in Counter(shown[0] for shown in draws).values())


@pytest.mark.parametrize("name", list(STYLES))
@given(seed=st.integers(), n=st.integers(1, 12), json_quoted=st.booleans())
def test_a_sample_shows_its_cases_and_answers_with_the_function(
    name: StyleName, seed: int, n: int, json_quoted: bool
) -> None:
    """`shown` is what evaluation calls shown, so it must be exactly what the prompt holds, in its order."""
    row = cases(n)
    sample = render_sample(row, STYLES[name], random.Random(seed), json_quoted=json_quoted)
    assert sample is not None
    places = {number: sample.prompt.find(f"(10{number}, 'x')") for number in range(n)}
    assert [number for number, place in sorted(places.items(), key=lambda item: item[1]) if place >= 0] == sample.shown
    assert fenced_block(sample.output) == row.code.strip()
    assert sample == render_sample(row, STYLES[name], random.Random(seed), json_quoted=json_quoted)


def test_diverse_prompts_draw_headers_as_often_as_the_official_ones() -> None:
    """p = 0.8 for each header; every wording and every order of the three parts comes up."""
    rng = random.Random(1)
    prompts = [sample.prompt for _ in range(2_000) if (sample := render_sample(cases(3), STYLES["diverse"], rng))]
    headers = [next((h for h in TRAINING.example_headers if h in prompt), None) for prompt in prompts]
    names = [
        next((h for h in TRAINING.name_headers if f"{h.format(name='frobnicate')}\n" in prompt), None)
        for prompt in prompts
    ]
    instructions = [next(text for text in TRAINING.instructions if text in prompt) for prompt in prompts]
    assert abs(sum(header is not None for header in headers) / 2_000 - 0.8) < 0.03
    assert set(headers) == {None, *TRAINING.example_headers}
    assert set(names) == {None, *TRAINING.name_headers}
    assert set(instructions) == set(TRAINING.instructions)
    firsts = Counter(prompt.startswith(text) for prompt, text in zip(prompts, instructions, strict=True))
    assert 0.3 < firsts[True] / 2_000 < 0.45


def test_single_style_is_one_form_for_all() -> None:
    """The arm without diversity: only which cases are shown, and their order, differ."""
    prompts = [
        sample.prompt for s in range(20) if (sample := render_sample(cases(3), STYLES["single"], random.Random(s)))
    ]
    assert len({tuple(sorted(prompt.splitlines())) for prompt in prompts}) == 1
    assert prompts[0].splitlines()[:2] == [TRAINING.instructions[0], "Name: frobnicate"]


@pytest.mark.parametrize("name", ["evaluation", "unseen"])
def test_questions_always_name_the_function(name: StyleName) -> None:
    """The answer is called by that name: without it no model could pass."""
    for seed in range(50):
        sample = render_sample(cases(3), STYLES[name], random.Random(seed))
        assert sample is not None
        assert "frobnicate" in sample.prompt


def test_arguments_out_of_order_are_never_shown_without_their_names() -> None:
    """A writer may give them in any order or leave one out: by position they would mean another call."""
    row = cases(1)
    row.arguments[0] = (("b", "'x'"), ("a", "100"))
    for seed in range(60):
        sample = render_sample(row, STYLES["diverse"], random.Random(seed))
        assert sample is not None
        assert "b='x', a=100" in sample.prompt or "b:'x', a:100" in sample.prompt


def test_prompts_above_the_limit_are_dropped() -> None:
    """32,768 characters officially; the limit is on the prompt alone."""
    whole = render_sample(cases(4), STYLES["single"], random.Random(0))
    assert whole is not None
    limit = len(whole.prompt)
    assert render_sample(cases(4), STYLES["single"], random.Random(0), max_characters=limit) == whole
    assert render_sample(cases(4), STYLES["single"], random.Random(0), max_characters=limit - 1) is None


def test_paddings_part_the_parts() -> None:
    """Without one the instruction would run into the first case."""
    assert all(set(padding) == {"\n"} for padding in PADDINGS)

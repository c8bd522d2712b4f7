"""The writer's prompt, and the reader of its answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.case2code.prompts import WORKED, parse_answer, parse_examples, writer_prompt

CODE = "def f(a, b):\n    return {a: b}\n"


def test_prompt_gives_task_form_worked_example_and_target() -> None:
    """The worked example is the contract that a weak writer copies: an int and a str, ten dicts that parse."""
    (message,) = writer_prompt(CODE)
    assert message.role == "user"
    assert "Write 10 example inputs" in message.content.replace("Then write", "Write")
    assert message.content.endswith(f"Function:\n```python\n{CODE}```\nExamples:\n")
    worked = parse_answer(WORKED.split("Examples:")[1])
    assert len(worked.calls) == len(set(worked.calls)) == 10
    assert all([name for name, _ in call] == ["times", "word"] for call in worked.calls)


def test_zero_shot_leaves_only_the_worked_example_out() -> None:
    """The two prompts must differ in nothing else, or they could not be compared."""
    (few,), (zero,) = writer_prompt(CODE, n_examples=4), writer_prompt(CODE, n_examples=4, zero_shot=True)
    assert few.content.replace(WORKED, "") == zero.content
    assert "write 4 example inputs" in zero.content


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("```python\n```", "empty"),
        ("I cannot help with that.", "syntax"),
        ("```python\nexamples = [\n    dict(a=1),\n    dict(a=", "syntax"),
        ("```python\nexamples = []\n```", "no_examples"),
        ("```python\nexamples = [dict(a=i) for i in range(3)]\n```", "no_examples"),
        ("```python\ncases = [dict(a=1)]\n```", "no_examples"),
        ("```python\n" + "(" * 500 + "\n```", "syntax"),
        ("```python\nexamples = [dict(a='\0')]\n```", "syntax"),
    ],
)
def test_answers_without_examples_are_named_for_asking_again(text: str, problem: str) -> None:
    """A wrong answer must neither pass as an empty one nor break the run."""
    assert parse_answer(text).problem == problem
    assert parse_answer(text).calls == []


def test_first_python_block_counts_and_talk_around_it_does_not() -> None:
    """Chat models explain, and repeat code in later blocks."""
    block = "```python\nexamples = [dict(a=1, b='x'), {'a': -2, 'b': [1.50]}]\n```"
    text = f"Sure!\n{block}\nor\n```python\nexamples = []\n```"
    assert parse_answer(text).calls == [(("a", "1"), ("b", "'x'")), (("a", "-2"), ("b", "[1.5]"))]


def test_what_a_value_needs_is_kept_apart() -> None:
    """An import before the list belongs to the inputs; without it every call would fail."""
    answer = parse_answer(
        "from datetime import date\nexamples = [dict(d=date(2000, 1, 2))]\nexamples += [dict(d=None)]"
    )
    assert answer.preamble == "from datetime import date\n"
    assert answer.calls == [(("d", "date(2000, 1, 2)"),), (("d", "None"),)]


def test_entries_that_cannot_be_shown_are_left_out() -> None:
    """A case shown without one of its arguments would teach a wrong program."""
    source = "examples = [dict(a=1), dict(**more), dict([('a', 1)]), {'a b': 1}, {x: 1}, 3, dict(a=1, **{}), dict()]"
    assert parse_examples(source) == [(("a", "1"),), ()]


@given(st.text())
def test_no_text_from_a_model_breaks_the_parser(text: str) -> None:
    """It reads what a model wrote, which may be anything."""
    parse_answer(text)
    parse_answer(f"```python\n{text}\n```")


def test_nothing_is_evaluated(capsys: pytest.CaptureFixture[str]) -> None:
    """The parser runs on the host, outside the sandbox."""
    answer = parse_answer("```python\nprint('run')\nexamples = [dict(a=print('run'))]\n```")
    assert answer.calls == [(("a", "print('run')"),)]
    assert capsys.readouterr().out == ""

"""Programs, problems and the starting checkpoint's text: what is on which side, and what is asked how."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from assets.case2code.evaluate import Problem
from assets.case2code.functions import without_docstrings
from assets.case2code.grammar import mini_functions, recorded_cases
from assets.case2code.pretrain import code_examples, is_heldout
from assets.case2code.problems import choose_evenly, completion_problem, induction_problem
from assets.case2code.programs import Program, draw_programs
from assets.case2code.rows import cases_frame, cases_of, functions_frame, functions_of, inputs_frame, written_of
from assets.case2code.schema import Cases, Function, Output, Written
from assets.internlm2.tokenizer import save_tokenizer, train_tokenizer
from models.inference.engine import Message
from models.training.chat import load_chat_tokenizer

DOCUMENTED = Cases(
    "c",
    "f",
    'def f(x):\n    """Add one."""\n    return x + 1',
    [(("x", "1"),)],
    ["{'x': 1}"],
    [Output("2", False)],
    "ok",
)


def drawn(n: int = 3000, seed: int = 0) -> list[Program | str]:
    return list(
        draw_programs(n, (4.0, 1.0), max_draws_per_behaviour=3, n_cases=6, valid_share=0.1, test_share=0.2, seed=seed)
    )


def cases(n: int) -> list[Cases]:
    pairs = zip(mini_functions(3), range(n), strict=False)
    return [recorded_cases(function, f"c{place}", 8, random.Random(place)) for function, place in pairs]


def ask(arm: str, case: Cases, shots: list[Cases], seed: int = 0) -> Problem:
    made = induction_problem(
        case, "g", arm, "evaluation", shots=shots, n_shots=1, max_shown=4, hint=False, seed=seed  # type: ignore[arg-type]
    )  # fmt: skip
    assert made is not None
    return made


def test_a_behaviour_is_on_one_side() -> None:
    """However often and as whatever code it is drawn; only training has it several times, and no more than asked."""
    found = [row for row in drawn() if isinstance(row, Program)]
    sides: dict[str, set[str]] = {}
    for program in found:
        sides.setdefault(program.behaviour, set()).add(program.split)
    assert {len(side) for side in sides.values()} == {1}
    times = Counter((program.split, program.behaviour) for program in found)
    assert max(count for (split, _), count in times.items() if split == "train") == 3
    assert max(count for (split, _), count in times.items() if split != "train") == 1
    assert len({program.cases.id for program in found}) == len(found)


def test_every_draw_is_told() -> None:
    """Each is a program or has a reason; the same seed draws the same."""
    rows = drawn()
    assert len(rows) == 3000
    assert {row for row in rows if isinstance(row, str)} == {"shows_nothing", "drawn_often", "same_behaviour"}
    assert drawn(200) == drawn(200)
    assert drawn(200) != drawn(200, seed=1)


def test_groups_are_taken_in_turn() -> None:
    """A rare group is not crowded out, and one that is used up leaves its turns to the others."""
    groups = pl.Series(["a"] * 8 + ["b"] * 2 + ["c"])
    assert choose_evenly(groups, 5) == [0, 1, 8, 9, 10]
    assert choose_evenly(groups, 100) == list(range(11))


def test_arms_are_asked_as_they_were_trained() -> None:
    """A conversation for those that know prompts, a solved problem and the question as text for the others; the shown
    cases are the same."""
    case, *shots = cases(5)
    chat, text = ask("diverse", case, shots), ask("plain_code", case, shots)
    assert isinstance(chat.prompt[0], Message)
    assert isinstance(text.prompt, str)
    assert text.prompt.startswith("<s>")
    assert text.prompt.count("```python") == 2
    assert chat.shown == text.shown
    assert max(chat.shown) < 4
    assert any(shot.code in text.prompt for shot in shots)
    assert case.code not in text.prompt


def test_completion_shows_signature_and_docstring() -> None:
    """And neither the body nor a case; a function without a docstring is not asked."""
    problem = completion_problem(DOCUMENTED, "g")
    assert problem is not None
    assert problem.prompt == f"<s>{problem.begun}"
    assert problem.begun.endswith('"""Add one."""\n')
    assert not problem.shown
    bare = without_docstrings(DOCUMENTED.code)
    assert bare == "def f(x):\n    return x + 1\n"
    assert completion_problem(Cases("c", "f", bare, [], [], [], "ok"), "g") is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(train_tokenizer(["def f(x): return x"] * 3, vocab_size=300, min_frequency=2), made, max_length=99)
    return made


def test_documents_are_cut_into_pieces(folder: Path) -> None:
    """No token is lost or trained twice, and reading ends once there are enough."""
    tokenizer = load_chat_tokenizer(folder)
    texts = [(str(n), f"def f{n}(x): return {n}" * (n + 1)) for n in range(20)]
    whole = code_examples(texts, tokenizer, sequence_length=16, n_tokens=10**9)
    assert whole.lengths.max() == 16
    # An end token that would stand alone in its piece is left out: nothing comes before it.
    decoded = tokenizer.decode(whole.tokens.tolist()).replace("</s>", "").split("<s>")[1:]
    assert decoded == [text for _, text in texts]
    few = code_examples(texts, tokenizer, sequence_length=16, n_tokens=100)
    assert 100 <= few.lengths.sum() < whole.lengths.sum() / 4


def test_the_heldout_share_is_a_share() -> None:
    """About a tenth of many names, and always the same ones."""
    names = [f"package{n}" for n in range(2000)]
    held = [name for name in names if is_heldout(name, 0.1)]
    assert 160 < len(held) < 240
    assert held == [name for name in held if is_heldout(name, 0.2)]


def test_rows_come_back_as_they_were() -> None:
    """Functions, inputs and cases survive their tables; a lone surrogate, which none can hold, becomes its escape."""
    function = Function("i", "p", "p.m", "C.f", "f", "def f(x): ...\n", True, ["m"])
    assert functions_of(functions_frame([function])) == [function]
    written = Written("i", [(("x", "'a'"), ("y", "[1]")), ()], "import math\n")
    assert written_of(inputs_frame([written])) == [written]
    case = Cases("c", "f", "…", [(("x", "1"),)], ["{'x': 1}"], [Output("a\udc80", True)], "ok", "", "", ["i"])
    (back,) = cases_of(cases_frame([case]))
    assert back.example_outputs == [Output("a\\udc80", True)]
    assert back.arguments == case.arguments
    assert back.parents == ["i"]

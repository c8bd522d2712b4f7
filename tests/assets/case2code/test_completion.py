"""Completion: what is asked holds nothing of the body, and an answer ends where its function does."""

from __future__ import annotations

from assets.case2code.completion import completed, completion_prompt
from assets.case2code.evaluate import extract_code

CODE = '''BASE = 10

def f(x):
    """Ten more than x."""
    secret = BASE
    return x + secret

def after():
    return 1
'''


def test_the_body_is_cut_off() -> None:
    """Helpers before the function and its docstring stay; its body and what follows do not."""
    prompt = completion_prompt(CODE, "f")
    assert prompt is not None
    assert prompt.startswith("BASE = 10")
    assert prompt.endswith('"""Ten more than x."""\n')
    assert "secret" not in prompt
    assert completion_prompt(CODE, "after") is None


def test_a_completion_is_a_whole_program() -> None:
    """The body is taken up to the first line that is not indented; what is written there cannot break the program."""
    prompt = completion_prompt(CODE, "f") or ""
    answer = "    return x + 10\n\n    \ndef g(:\n    nonsense"
    found = extract_code(answer, "f", prompt)
    assert found.problem is None
    namespace: dict[str, object] = {}
    exec(found.text or "", namespace)
    assert namespace["f"](1) == 11  # type: ignore[operator]
    assert completed("def f():\n", "x = 1") == "def f():\n"

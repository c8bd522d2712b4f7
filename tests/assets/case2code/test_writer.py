"""Asking a writer again until its answer parses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from assets.case2code.schema import Function, Written
from assets.case2code.writer import write_inputs
from models.inference.engine import Completion, Failed, Request, Sample, Sampling, Usage

GOOD = "```python\nexamples = [dict(a=1)]\n```"
SAMPLING = Sampling(max_new_tokens=2048, temperature=0.2, top_p=0.95)


class Script:
    """An engine that answers by function name and seed; what is missing it gives up on. Answers come last first."""

    def __init__(self, answers: dict[tuple[str, int], str]) -> None:
        self.answers = answers
        self.asked: list[Request] = []

    def identity(self) -> dict[str, object]:
        return {"engine": "script"}

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Completion | Failed]]:
        for place, request in reversed(list(enumerate(requests))):
            self.asked.append(request)
            message = request.prompt[0]
            assert not isinstance(message, str | int)
            name = message.content.rpartition("def ")[2].partition("(")[0]
            text = self.answers.get((name, request.seed))
            if text is None:
                yield place, Failed("refused", "not that one")
            else:
                finish = "length" if text.endswith("=") else "stop"
                yield place, Completion((Sample(text, finish),), Usage(10, 7), 0.1)

    def close(self) -> None: ...


def functions(*names: str) -> list[Function]:
    return [Function(name, "p", "m", name, name, f"def {name}(a):\n    return a\n", True) for name in names]


def run(engine: Script, *names: str, max_retries: int = 3) -> dict[str, Written]:
    written = write_inputs(
        engine,
        functions(*names),
        sampling=SAMPLING,
        n_examples=10,
        zero_shot=False,
        max_retries=max_retries,
        seed=5,
    )
    return {row.function_id: row for row in written}


def test_only_answers_that_do_not_parse_are_asked_for_again_with_another_seed() -> None:
    """Equal requests have equal answers, so a retry must differ; a good answer must not be paid for twice."""
    engine = Script({("f", 5): GOOD, ("g", 5): "no", ("g", 6): "```python\nexamples = [dict(a=", ("g", 7): GOOD})
    rows = run(engine, "f", "g")
    assert rows["f"] == Written("f", [(("a", "1"),)], completion_tokens=7)
    assert rows["g"] == Written("g", [(("a", "1"),)], tries=3, completion_tokens=21)
    assert [request.seed for request in engine.asked] == [5, 5, 6, 7]
    assert {request.sampling for request in engine.asked} == {SAMPLING}


def test_a_function_that_never_parses_is_reported_not_lost() -> None:
    """Every function has one row, with the last problem, and whether the answer was cut off."""
    engine = Script({("f", seed): "```python\nexamples = [dict(a=" for seed in (5, 6)})
    assert run(engine, "f", max_retries=1) == {
        "f": Written("f", [], problem="syntax", truncated=True, tries=2, completion_tokens=14)
    }


def test_what_the_engine_gave_up_on_is_a_problem_not_a_retry() -> None:
    """The engine has its own retries; refusals go to the dead letters."""
    engine = Script({})
    assert run(engine, "f")["f"].problem == "refused: not that one"
    assert len(engine.asked) == 1

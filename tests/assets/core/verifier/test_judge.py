"""The verifier that is a language model: asked only where the rule did not accept, and read strictly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from assets.core.generation.responder import Binding, Responder
from assets.core.verifier import Answer, Verifier
from assets.core.verifier.judge import CANDIDATE_CHARACTERS, judge_prompt, parse_verdict
from models.inference.engine import Completion, Failed, Request, Sample, Usage


class Judge:
    """Replies to each request by what its candidate says, the last first."""

    def __init__(self, replies: dict[str, str]) -> None:
        self.replies = replies
        self.asked: list[Request] = []

    def generate(
        self, requests: Iterable[Request], total: int | None = None
    ) -> Iterator[tuple[int, Completion | Failed]]:
        for place, request in reversed(list(enumerate(requests))):
            self.asked.append(request)
            text = request.prompt[0].content  # type: ignore[union-attr]
            reply = next((reply for candidate, reply in self.replies.items() if candidate in text), None)
            if reply is None:
                yield place, Failed("timeout", "too slow")
            else:
                yield place, Completion((Sample(reply, "stop"),), Usage(9, 1), 0.1)


def responder(engine: Judge | None) -> Responder:
    binding = Binding("judge", "fake" if engine else "rules", "fake", "tiny" if engine else "rules", {})
    return Responder(binding, (lambda: engine) if engine else None)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("A", True),
        ("B", False),
        ("**B**", False),
        ("Answer: A.", True),
        ("A or B", None),
        ("", None),
        ("Aha", None),
        ("a", None),
        ("The candidate is ABsurd", None),
        ("B, since A is for right ones", None),
    ],
)
def test_a_verdict_is_one_letter(reply: str, verdict: bool | None) -> None:
    """Both letters or neither are no verdict: a judge that hedges rewards nobody."""
    assert parse_verdict(reply) is verdict


def test_the_judge_is_asked_where_the_rule_did_not_accept() -> None:
    """A rule's acceptance ends the check; cut-off responses, missing truth and the exact rule never reach the judge."""
    engine = Judge({"half": "A", "third": "B", "unsure": "A and B"})
    answers = [
        Answer("q", "1/2", r"\boxed{1/2}", True),
        Answer("q", "1/2", "half of it", True),
        Answer("q", "1/2", "third", True),
        Answer("q", "1/2", "unsure", True),
        Answer("q", "1/2", "silence", True),
        Answer("q", "1/2", "half", False),
        Answer("q", "", "half", True),
        Answer("q", "half", "#### no half", True),
    ]
    with Verifier(judge=responder(engine)) as verifier:
        grades = verifier.grade(answers, ["math"] * 7 + ["exact"])
    assert [grade.outcome for grade in grades] == [
        "right",
        "right",
        "wrong",
        "grader_error",
        "grader_error",
        "wrong",
        "grader_error",
        "wrong",
    ]
    assert [grade.reward for grade in grades[:4]] == [1, 1, -1, -1]
    assert grades[1].detail == grades[2].detail == "judge"
    assert "too slow" in grades[4].detail
    assert len(engine.asked) == 4
    sampling = engine.asked[0].sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_new_tokens) == (0, 0.8, 100)


def test_rules_alone_ask_nobody() -> None:
    """In the binding without models the rule's outcome stands."""
    with Verifier(judge=responder(None)) as verifier:
        (grade,) = verifier.grade([Answer("q", "1/2", "half", True)], "math")
    assert (grade.outcome, grade.detail) == ("wrong", "")


def test_the_prompt_has_the_end_of_the_candidate() -> None:
    """Question, gold answer and what follows the thinking; braces in them are text."""
    response = "secret</think>" + "x" * CANDIDATE_CHARACTERS + r"\boxed{9}"
    (message,) = judge_prompt(Answer("What is {x}?", r"\frac{1}{2}", response, True))
    assert "What is {x}?" in message.content
    assert r"\frac{1}{2}" in message.content
    assert r"x\boxed{9}" in message.content
    assert "secret" not in message.content
    assert len(message.content) < CANDIDATE_CHARACTERS + 1200

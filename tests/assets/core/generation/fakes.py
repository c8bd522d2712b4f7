"""Engines that answer from memory and note what they were asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from models.inference.engine import Completion, Failed, Message, Request, Sample, Sampling, Usage

Answer = Completion | Failed


def request(number: int, **fields: object) -> Request:
    return Request((Message("user", f"question {number}"),), Sampling(max_new_tokens=8), seed=number, **fields)  # type: ignore[arg-type]


def completion(text: str, **fields: object) -> Completion:
    return Completion((Sample(text, "stop"),), Usage(prompt_tokens=3, completion_tokens=2), 0.25, **fields)  # type: ignore[arg-type]


def by_prompt(asked: Request) -> Answer:
    """The answer of an engine that promises equal answers to equal requests."""
    return completion(f"answer to {asked.prompt[0].content}")  # type: ignore[union-attr]


class FakeEngine:
    """Holds `window` requests at a time and answers the latest first, so that order is never the input's."""

    def __init__(self, answer: Callable[[Request], Answer] = by_prompt, window: int = 4, model: str = "fake") -> None:
        self.answer = answer
        self.window = window
        self.model = model
        self.asked: list[Request] = []
        self.closed = False

    def identity(self) -> dict[str, object]:
        return {"engine": "fake", "model": self.model}

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
        source = enumerate(requests)
        while held := list(islice(source, self.window)):
            self.asked += [each for _, each in held]
            for place, each in reversed(held):
                yield place, self.answer(each)

    def close(self) -> None:
        self.closed = True

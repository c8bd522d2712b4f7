"""An engine that follows a script instead of a model: token 1 is a right step, 0 a wrong one, 2 the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from assets.core.verifier import Outcome
from assets.fastmcts.search import Problem, Shot
from assets.fastmcts.tree import Step
from models.inference.engine import Completion, Failed, Request, Sample, Usage

END = 2


class ScriptedEngine:
    """Answers as the toy chain does, token by token in `slots` slots, taking requests as the torch engine does.

    A prompt is the problem's number + 10, then the prefix. `steps` and `busy` count decoding steps and slots in them;
    problems in `refused` fail.
    """

    def __init__(self, slots: int, *, length: int = 6, refused: Sequence[int] = ()) -> None:
        self.slots, self.length, self.refused = slots, length, refused
        self.steps = self.busy = 0
        self.requests: list[Request] = []

    def identity(self) -> dict[str, object]:
        return {"engine": "scripted"}

    def close(self) -> None:
        """Holds nothing."""

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Completion | Failed]]:
        waiting, going, more = enumerate(requests), dict[int, tuple[int, Completion | Failed]](), True
        while going or more:
            if more and len(going) <= self.slots - max(1, self.slots // 8):
                new = list(islice(waiting, self.slots - len(going)))
                more = len(new) == self.slots - len(going)
                going |= {place: self._answer(request) for place, request in new}
            self.steps += 1
            self.busy += len(going)
            going = {place: (left - 1, answer) for place, (left, answer) in going.items()}
            for place in [place for place, (left, _) in going.items() if left <= 0]:
                yield place, going.pop(place)[1]

    def _answer(self, request: Request) -> tuple[int, Completion | Failed]:
        self.requests.append(request)
        prompt, noise = request.prompt, np.random.default_rng(request.seed)
        assert isinstance(prompt, tuple)
        number, prefix = int(str(prompt[0])) - 10, prompt[1:]
        if number in self.refused:
            return 1, Failed("refused", "no room")
        accuracy = np.random.default_rng(number).beta(8, 2)
        # An answer has from length - 2 to length + 2 steps, as answers of a model do.
        wanted = max(1, self.length + int(noise.integers(-2, 3)) - len(prefix))
        good, tokens = 0 not in prefix, []
        for chance in noise.random(wanted):
            good = good and bool(chance < accuracy)
            tokens.append(int(good))
        sample = Sample("", "stop", (*tokens, END))
        return len(tokens) + 1, Completion((sample,), Usage(len(prompt), len(tokens) + 1), 0.0)


class ScriptedCodec:
    """Every token is a step; the end belongs to the last one."""

    def prompt(self, question: str, shots: Sequence[Shot]) -> tuple[int, ...]:
        return (int(question) + 10,)

    def text(self, tokens: Sequence[int]) -> str:
        return "".join(map(str, tokens))

    def steps(self, tokens: Sequence[int]) -> list[Step]:
        body = [(token,) for token in tokens[:-1]]
        return [*body[:-1], (*body[-1], tokens[-1])]


def problems(count: int, budget: int = 60) -> list[Problem]:
    return [Problem(f"p{number}", str(number), "", "exact", budget) for number in range(count)]


def grade(problem: Problem, response: str, ended: bool) -> Outcome:
    """Right when every step is."""
    return "right" if "0" not in response else "wrong"

"""Bootstrapping by a language model: questions asked for repeatedly (breadth), and a thought on each (depth)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from assets.knowledge_pile.bootstrap import Query, Written
from assets.knowledge_pile.prompts import parse_questions, parse_thought, questions_prompt, thought_prompt
from models.inference.engine import Completion, Engine, Failed, Request, Sampling


class LLMBootstrapper:
    """Asks an engine. `extend` takes `n_samples` answers per seed, each a list of questions. Raises EngineError."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        *,
        domain: str,
        n_questions: int,
        n_samples: int,
        temperature: float,
        thought_temperature: float,
        max_new_tokens: int,
        sample_seed: int,
    ) -> None:
        self.name, self.temperature, self.thought_temperature = name, temperature, thought_temperature
        self._engine, self._domain, self._seed = engine, domain, sample_seed
        self._n_questions, self._n_samples, self._max_new_tokens = n_questions, n_samples, max_new_tokens

    def extend(self, seeds: Sequence[Query]) -> list[Written]:
        sampling = Sampling(self._max_new_tokens, self.temperature)
        requests = [
            Request(questions_prompt(seed.text, self._domain, self._n_questions), sampling, self._n_samples, self._seed)
            for seed in seeds
        ]
        return self._ask(requests, parse_questions, "no_question")

    def think(self, questions: Sequence[Query]) -> list[Written]:
        sampling = Sampling(self._max_new_tokens, self.thought_temperature)
        requests = [Request(thought_prompt(question.text), sampling, seed=self._seed) for question in questions]
        return self._ask(requests, lambda text: [thought] if (thought := parse_thought(text)) else [], "no_thought")

    def _ask(self, requests: Sequence[Request], parse: Callable[[str], list[str]], nothing: str) -> list[Written]:
        """Answers come in any order; what is written is in the order of the requests."""
        answers: dict[int, Completion | Failed] = dict(self._engine.generate(requests))
        return [_written(answers[place], parse, nothing) for place in range(len(requests))]


def _written(answer: Completion | Failed, parse: Callable[[str], list[str]], nothing: str) -> Written:
    if isinstance(answer, Failed):
        return Written((), f"{answer.reason}: {answer.message}")
    texts = [text for sample in answer.samples for text in parse(sample.text)]
    return Written(texts) if texts else Written((), nothing)

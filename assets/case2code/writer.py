"""Writing inputs with a language model: every function is asked for until its answer parses, at most so many times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assets.case2code.prompts import Answer, parse_answer, writer_prompt
from assets.case2code.schema import Function, Written
from models.inference.engine import Completion, Engine, Failed, Request, Sampling


def write_inputs(
    engine: Engine,
    functions: Sequence[Function],
    *,
    sampling: Sampling,
    n_examples: int,
    zero_shot: bool,
    max_retries: int,
    seed: int,
) -> Iterator[Written]:
    """Asks the writer for the inputs of each function, in any order; one that has no parse after `max_retries` more
    tries, each with another seed, or that the engine gave up on, has a `problem`. Raises EngineError."""
    waiting = [(function, 0) for function in functions]
    for attempt in range(max_retries + 1):
        requests = (
            writer_request(function.code, sampling, n_examples, zero_shot, seed + attempt) for function, _ in waiting
        )
        again: list[tuple[Function, int]] = []
        for place, reply in engine.generate(requests):
            function, spent = waiting[place]
            if isinstance(reply, Failed):
                yield Written(function.id, [], "", f"{reply.reason}: {reply.message}", False, attempt + 1, spent)
                continue
            spent += reply.usage.completion_tokens
            answer, truncated = _read(reply)
            if answer.problem is None or attempt == max_retries:
                yield Written(function.id, answer.calls, answer.preamble, answer.problem, truncated, attempt + 1, spent)
            else:
                again.append((function, spent))
        waiting = again
        if not waiting:
            return


def writer_request(code: str, sampling: Sampling, n_examples: int, zero_shot: bool, seed: int) -> Request:
    """What the writer is asked for one function, at its first try with the seed of the configuration."""
    return Request(writer_prompt(code, n_examples=n_examples, zero_shot=zero_shot), sampling, seed=seed)


def _read(reply: Completion) -> tuple[Answer, bool]:
    return parse_answer(reply.samples[0].text), reply.samples[0].finish_reason == "length"

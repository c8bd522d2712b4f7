"""What a stream of requests will take, before any of it is asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from assets.core.generation.durable import DurableEngine
from assets.core.generation.key import request_keys
from assets.core.generation.prices import prompt_tokens
from assets.core.generation.store import KEYS_PER_QUERY
from models.inference.engine import Request


@dataclass(frozen=True)
class Estimate:
    """Of `requests`, so many are `stored`; the rest takes these tokens, `cost` (US dollars, None without a price) and
    `seconds` (None where this role and model were never asked before). Repeated requests count each time."""

    requests: int
    stored: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    seconds: float | None

    def __str__(self) -> str:
        told = [f"{self.requests - self.stored:,} of {self.requests:,} requests to ask"]
        told.append(f"about {self.prompt_tokens:,} + {self.completion_tokens:,} tokens")
        told += [f"{self.cost:.4f} US$"] if self.cost is not None else []
        told += [f"{self.seconds / 60:.1f} minutes"] if self.seconds is not None else []
        return ", ".join(told)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def estimate(durable: DurableEngine, requests: Iterable[Request]) -> Estimate:
    """Reads all requests and asks none. Answers are taken to be as long as this role's and model's answers to a
    request were so far, or as long as they may be where there are none."""
    past = durable.store.sums(role=durable.caller.role, model=durable.caller.model)
    usual = past.completion_tokens / past.asked if past.asked else float("inf")
    key = request_keys(durable.identity())
    source = iter(requests)
    number = stored = prompt = 0
    completion = 0.0
    while chunk := list(islice(source, KEYS_PER_QUERY)):
        keys = [key(request) for request in chunk]
        known = durable.store.known(keys)
        number += len(chunk)
        for each, request in zip(keys, chunk, strict=True):
            if each in known:
                stored += 1
            else:
                prompt += prompt_tokens(request.prompt)
                completion += min(usual, request.n * request.sampling.max_new_tokens)
    return Estimate(
        requests=number,
        stored=stored,
        prompt_tokens=prompt,
        completion_tokens=round(completion),
        cost=None if durable.price is None else durable.price.cost(prompt, round(completion)),
        seconds=(number - stored) * past.seconds / past.asked if past.asked else None,
    )

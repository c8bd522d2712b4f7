"""What is written down of each request that was asked, and the sums of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from models.inference.engine import Completion, Failed


@dataclass(frozen=True)
class Caller:
    """On whose behalf requests are asked: an asset's version, its role and the run; and which model answers."""

    asset: str = ""
    partition: str = ""
    fingerprint: str = ""
    role: str = ""
    run: str = ""
    model: str = ""


@dataclass(frozen=True)
class Call:
    """One request that was asked, and what came of it. `body` is the answer as it is stored; `cost` in US dollars,
    None without a price."""

    key: bytes
    answer: Completion | Failed
    body: bytes | None
    cost: float | None


@dataclass(frozen=True)
class Tally:
    """Sums over requests: `asked` were answered by the engine, `reused` came from the store or were asked twice in one
    stream, `failed` have no answer. Tokens and `cost` (US dollars, None without a price) are of the asked and failed;
    `seconds` is the wall time in which the engine was asked."""

    asked: int = 0
    reused: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        return self.asked + self.reused + self.failed

    def to_json(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "asked": self.asked,
            "reused": self.reused,
            "failed": self.failed,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cost": self.cost,
            "seconds": round(self.seconds, 3),
        }


def tally(calls: Iterable[Call], reused: int = 0, seconds: float = 0.0) -> Tally:
    """The sums of some calls, and of so many reused requests and seconds."""
    asked = failed = prompt_tokens = completion_tokens = 0
    costs = []
    for call in calls:
        if isinstance(call.answer, Failed):
            failed += 1
        else:
            asked += 1
            prompt_tokens += call.answer.usage.prompt_tokens
            completion_tokens += call.answer.usage.completion_tokens
        if call.cost is not None:
            costs.append(call.cost)
    return Tally(asked, reused, failed, prompt_tokens, completion_tokens, sum(costs) if costs else None, seconds)

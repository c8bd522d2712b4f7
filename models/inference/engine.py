"""What every engine answers to: requests in, completions out, as each is finished.

Implementations: `TorchEngine` (in process), `OpenAIEngine` (any OpenAI-compatible endpoint), `VLLMEngine` (a managed
`vllm serve`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

FinishReason = Literal["stop", "length"]
FailureReason = Literal["refused", "malformed", "timeout", "unavailable", "empty"]


class Message(NamedTuple):
    """One turn of a conversation."""

    role: str
    content: str


# Text to go on with, its token ids, or a conversation to answer.
Prompt = str | tuple[int, ...] | tuple[Message, ...]


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn: from the softmax at `temperature` (0: the likeliest token), of which the `top_k` likeliest
    tokens (0: all) and then the smallest set whose probability reaches `top_p` are kept.

    An answer ends before the first of the strings `stop`, which is not part of it, with one of the token ids
    `stop_ids` or of the model's own end tokens, which is, or after `max_new_tokens`.
    """

    max_new_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1 or self.temperature < 0 or not 0 < self.top_p <= 1 or self.top_k < 0:
            raise ValueError(
                f"{self}: max_new_tokens must be at least 1, temperature and top_k at least 0, top_p in (0, 1]"
            )


@dataclass(frozen=True)
class Request:
    """A prompt and all that determines its `n` answers. `seed` sets the noise: equal requests have equal answers where
    the engine can promise it (the identity's `deterministic`).

    `json_schema` is the canonical JSON text of a JSON schema that the answers must obey.
    """

    prompt: Prompt
    sampling: Sampling = field(default_factory=Sampling)
    n: int = 1
    seed: int = 0
    logprobs: bool = False
    json_schema: str | None = None

    def __post_init__(self) -> None:
        if not self.prompt or self.n < 1:
            raise ValueError("a request needs a prompt that is not empty, and n of at least 1")


@dataclass(frozen=True)
class Sample:
    """One answer. `token_ids` include the stop token; None where an endpoint does not tell them.

    `logprobs`, one per token and in nats, are those of the whole distribution at the sampling temperature (at 1 for
    greedy sampling), before top-k and top-p cut it: what a trainer recomputes. None unless asked for.
    """

    text: str
    finish_reason: FinishReason
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Usage:
    """Tokens that an answer took: those of the prompt (once, whatever n) and of all its samples."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Completion:
    """All `n` samples of one request. `seconds` from sending to the last token; `attempts` counts the tries."""

    samples: tuple[Sample, ...]
    usage: Usage
    seconds: float
    attempts: int = 1


@dataclass(frozen=True)
class Failed:
    """A request that this engine gave up on: it goes to the dead letters, the others go on."""

    reason: FailureReason
    message: str
    attempts: int = 1


class EngineError(Exception):
    """The engine itself cannot go on (no such model, wrong key, server gone): what happened, and the remedy."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}\n  → {remedy}")
        self.message = message
        self.remedy = remedy


class Engine(Protocol):
    """Answers requests."""

    def identity(self) -> dict[str, object]:
        """Everything but the request that determines an answer (engine, model, revision or weights digest), as JSON."""
        ...

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Completion | Failed]]:
        """Each request's place and answer, as soon as it is finished and in any order.

        Requests are taken from the iterable as there is room for them, so that it may be endless. Closing the
        iterator drops what is unfinished. Raises EngineError.
        """
        ...

    def close(self) -> None:
        """Frees what the engine holds (a server, connections, a cache)."""
        ...


class ReloadableEngine(Engine, Protocol):
    """An engine whose weights can be replaced, as between two iterations of reinforcement learning."""

    def load_weights(self, folder: Path) -> None:
        """Takes the weights of a checkpoint folder of the same architecture; the identity changes with them."""
        ...

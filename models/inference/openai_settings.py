"""Which endpoint, how much of it, and how long to wait for it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from models.inference.wire import Dialect, LogprobsMode, TokenLimitField


@dataclass(frozen=True)
class OpenAISettings:
    """An endpoint in OpenAI's wire format; its API key is not among them, so that they may be printed and stored."""

    base_url: str
    """Where /chat/completions and /completions are, such as https://api.openai.com/v1."""
    model: str
    """The model's name at the endpoint."""
    model_revision: str | None = None
    """What tells this model from others of that name: a commit, a weights digest, a dated version."""
    dialect: Dialect = "openai"
    """`vllm`: the endpoint also takes top_k and stop token ids, and tells token ids."""
    logprobs_mode: LogprobsMode = "raw_logprobs"
    """Which log probabilities the endpoint tells: of temperature 1, or (vLLM's `--logprobs-mode processed_logprobs`)
    after temperature, top-k and top-p. Requests whose log probabilities it does not tell are refused."""
    token_limit_field: TokenLimitField = "max_tokens"
    """What the endpoint calls the limit of an answer in conversations; OpenAI's newer models want the longer name."""
    concurrency: int = 64
    """Requests on the wire at a time."""
    requests_per_minute: float | None = None
    """None: as many as `concurrency` allows. A minute's worth may go at once, as the endpoints count."""
    tokens_per_minute: float | None = None
    """Of prompts (estimated from text) and of answers at their longest; None: no limit."""
    max_attempts: int = 5
    """Tries of a request that the endpoint makes and fails before it is given up."""
    backoff_seconds: float = 0.5
    """The wait after the first failure, doubled with each further one up to 30 s, and shortened at random by up to
    half. A `Retry-After` counts instead."""
    patience_seconds: float = 300.0
    """How long the endpoint may be unreachable or overloaded: for all requests, before the engine gives up; for one
    while others are answered, twice as long before that counts as failed tries."""
    connect_seconds: float = 10.0
    """Limit of one connection's set-up."""
    request_seconds: float = 600.0
    """Limit of one try, from sending to the last byte."""

    def __post_init__(self) -> None:
        address = urlsplit(self.base_url)
        if address.scheme not in ("http", "https") or not address.hostname or self.base_url.endswith("/"):
            raise ValueError("base_url must be http://… or https://… without a slash at the end")
        if address.username is not None or address.password is not None or address.query:
            raise ValueError("base_url must hold no user, password or query: give a secret as the API key")
        rates = (self.requests_per_minute, self.tokens_per_minute)
        if min(self.concurrency, self.max_attempts, *(rate for rate in rates if rate is not None)) < 1:
            raise ValueError("concurrency, max_attempts, requests_per_minute and tokens_per_minute are at least 1")

"""What requests cost: prices in US dollars per million tokens, and how many tokens a request may take."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from models.inference.engine import Failed, Prompt, Request

# Our defaults: English has over 4 bytes to a token, Chinese about 3, code about 3; a chat template adds a few tokens
# to each message.
BYTES_PER_TOKEN = 3
TOKENS_PER_MESSAGE = 4
# What fails so was answered, or may have been, and is charged.
CHARGED_FAILURES = frozenset({"malformed", "empty", "timeout"})


class Price(BaseModel):
    """US dollars per million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: float = Field(ge=0, allow_inf_nan=False)
    completion: float = Field(ge=0, allow_inf_nan=False)

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1e6

    def most(self, request: Request) -> float:
        """US dollars that a request may cost: every answer as long as it may be."""
        return self.cost(prompt_tokens(request.prompt), request.n * request.sampling.max_new_tokens)

    def of_failure(self, request: Request, failed: Failed) -> float:
        """US dollars put down for a request without an answer. What was charged is not told, so it is the most."""
        return self.most(request) * failed.attempts if failed.reason in CHARGED_FAILURES else 0.0


FREE = Price(prompt=0.0, completion=0.0)
"""Of a model on our own machines."""


def prompt_tokens(prompt: Prompt) -> int:
    """Tokens of a prompt: counted where it is token ids, else estimated, rather too many than too few."""
    if isinstance(prompt, str):
        return _tokens(prompt)
    return sum(1 if isinstance(part, int) else TOKENS_PER_MESSAGE + _tokens(part.content) for part in prompt)


def _tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)

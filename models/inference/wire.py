"""OpenAI's wire format, and what vLLM adds to it: a request as JSON, and the samples from an answer's JSON.

Conversations go to /chat/completions, text and token ids to /completions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import orjson

from models.inference.engine import (
    EngineError,
    FailureReason,
    FinishReason,
    Message,
    Prompt,
    Request,
    Sample,
    Usage,
)

Dialect = Literal["openai", "vllm"]
# vLLM's two kinds of log probabilities: before the temperature, and after temperature, top-k and top-p.
LogprobsMode = Literal["raw_logprobs", "processed_logprobs"]
TokenLimitField = Literal["max_tokens", "max_completion_tokens"]
# OpenAI's rule of thumb for English text; only the token rate is reserved by it.
CHARACTERS_PER_TOKEN = 4


class Unusable(Exception):
    """An answer that does not hold what was asked for: why, and whether asking again can help."""

    def __init__(self, reason: FailureReason, message: str) -> None:
        super().__init__(message)
        self.reason: FailureReason = reason


def is_conversation(prompt: Prompt) -> bool:
    """Whether the prompt is turns of a conversation, not text or token ids."""
    return isinstance(prompt, tuple) and isinstance(prompt[0], Message)


def encode(
    request: Request, model: str, dialect: Dialect, logprobs_mode: LogprobsMode, token_limit: TokenLimitField
) -> tuple[str, bytes]:
    """Path and body. Raises EngineError for a request that the dialect has no words for."""
    _require_expressible(request, dialect, logprobs_mode)
    sampling, chat = request.sampling, is_conversation(request.prompt)
    body: dict[str, Any] = {
        "model": model,
        token_limit if chat else "max_tokens": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "n": request.n,
        "seed": request.seed,
    }
    if chat:
        body["messages"] = [{"role": turn.role, "content": turn.content} for turn in request.prompt]  # type: ignore[union-attr]
    else:
        body["prompt"] = request.prompt
    if sampling.stop:
        body["stop"] = sampling.stop
    if request.logprobs:
        # The text endpoint takes a number of alternatives; servers read 0 as none at all.
        body["logprobs"] = True if chat else 1
    if request.json_schema is not None:
        schema = {"name": "answer", "strict": True, "schema": orjson.Fragment(request.json_schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if dialect == "vllm":
        body |= {"return_token_ids": True, "n": _distinct(request, dialect), "seed": spread(request.seed)}
        # A model's generation_config.json would give them other values.
        body |= {"top_k": sampling.top_k, "min_p": 0.0, "repetition_penalty": 1.0}
        if sampling.stop_ids:
            body["stop_token_ids"] = sampling.stop_ids
    return "/chat/completions" if chat else "/completions", orjson.dumps(body)


def spread(seed: int) -> int:
    """A seed in [0, 2^63) far from those of its neighbours: vLLM gives sample i of a request the noise of seed + i."""
    return seed * 0x9E3779B97F4A7C15 % 2**63


def decode(body: bytes, request: Request, dialect: Dialect) -> tuple[tuple[Sample, ...], Usage]:
    """The samples, in the order of their index. Raises Unusable, with the field that is missing or wrong."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unusable("malformed", f"the answer is not JSON ({error}): {body[:100]!r}") from error
    choices = _field(answer, "choices", list)
    distinct = _distinct(request, dialect)
    if sorted(_field(choice, "index", int) for choice in choices) != list(range(distinct)):
        raise Unusable("malformed", f"{len(choices)} choices, where {distinct} were asked for")
    choices.sort(key=lambda choice: choice["index"])
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        raise Unusable("malformed", "the answer tells no usage: switch it on in the endpoint's settings")
    samples = tuple(_sample(choice, request, dialect) for choice in choices)
    return samples * (request.n // distinct), Usage(
        _field(usage, "prompt_tokens", int), _field(usage, "completion_tokens", int)
    )


def error_words(body: bytes) -> str:
    """What an error's body says: its message where it is OpenAI's JSON, else its beginning."""
    try:
        message = orjson.loads(body)["error"]["message"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        message = body.decode(errors="replace")
    return " ".join(str(message).split())[:500]


def estimated_tokens(request: Request) -> int:
    """Tokens that a request can take at most: those of its prompt, estimated from text, and of all its answers."""
    prompt = request.prompt
    if isinstance(prompt, str):
        length = len(prompt) // CHARACTERS_PER_TOKEN
    elif is_conversation(prompt):
        length = sum(len(turn.content) for turn in prompt) // CHARACTERS_PER_TOKEN  # type: ignore[union-attr]
    else:
        length = len(prompt)
    return length + request.n * request.sampling.max_new_tokens


def _distinct(request: Request, dialect: Dialect) -> int:
    """The samples to ask for: vLLM refuses more than one at temperature 0, where all are equal."""
    return 1 if dialect == "vllm" and request.sampling.temperature == 0 else request.n


def _require_expressible(request: Request, dialect: Dialect, logprobs_mode: LogprobsMode) -> None:
    sampling = request.sampling
    if dialect == "openai" and (sampling.top_k or sampling.stop_ids):
        raise EngineError(
            "top_k and stop_ids have no place in OpenAI's requests",
            "leave them out, or set dialect to vllm where the endpoint is vLLM",
        )
    if dialect == "openai" and request.json_schema is not None and not is_conversation(request.prompt):
        raise EngineError(
            "OpenAI's endpoint for text takes no JSON schema",
            "ask as a conversation, or set dialect to vllm where the endpoint is vLLM",
        )
    if not request.logprobs:
        return
    if logprobs_mode == "raw_logprobs" and sampling.temperature not in (0.0, 1.0):
        raise EngineError(
            f"the endpoint's log probabilities are of temperature 1, not of {sampling.temperature}",
            "sample at temperature 1 or 0, or serve and set logprobs_mode processed_logprobs, without top_p and top_k",
        )
    if logprobs_mode == "processed_logprobs" and (sampling.top_p < 1 or sampling.top_k):
        raise EngineError(
            "the endpoint's log probabilities are of what top_p and top_k leave, not of the whole distribution",
            "sample without top_p and top_k, or serve and set logprobs_mode raw_logprobs, at temperature 1 or 0",
        )


def _sample(choice: Mapping[str, Any], request: Request, dialect: Dialect) -> Sample:
    chat = is_conversation(request.prompt)
    message = _field(choice, "message", dict) if chat else choice
    reason = choice.get("finish_reason")
    if reason == "content_filter" or message.get("refusal"):
        raise Unusable("refused", f"the model or a filter refused to answer: {message.get('refusal') or reason}")
    if reason not in ("stop", "length"):
        raise Unusable("malformed", f"finish_reason is {reason!r}, neither stop nor length")
    finish_reason: FinishReason = reason
    text = message.get("content" if chat else "text")
    if not isinstance(text, str | None):
        raise Unusable("malformed", f"the answer's text is {type(text).__name__}, not text")
    token_ids = tuple(_list(choice, "token_ids", int)) if dialect == "vllm" else None
    # A lone end token is an answer of a base model, seen only where token ids are told.
    if not text and not token_ids:
        raise Unusable("empty", "the answer is empty")
    logprobs = _logprobs(choice, chat) if request.logprobs else None
    if logprobs is not None and token_ids is not None and len(logprobs) != len(token_ids):
        raise Unusable("malformed", f"{len(logprobs)} log probabilities for {len(token_ids)} tokens")
    return Sample(text or "", finish_reason, token_ids, logprobs)


def _logprobs(choice: Mapping[str, Any], chat: bool) -> tuple[float, ...]:
    told = choice.get("logprobs")
    if not isinstance(told, dict):
        raise Unusable("malformed", "the answer has no log probabilities: the endpoint does not offer them")
    if chat:
        return tuple(float(_field(token, "logprob", (float, int))) for token in _field(told, "content", list))
    return tuple(map(float, _list(told, "token_logprobs", (float, int))))


def _list(holder: Any, name: str, kind: type | tuple[type, ...]) -> list[Any]:
    values = _field(holder, name, list)
    if not all(isinstance(value, kind) for value in values):
        raise Unusable("malformed", f"{name} holds something that is not a number")
    return values


def _field(holder: Any, name: str, kind: type | tuple[type, ...]) -> Any:
    value = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Unusable("malformed", f"{name} is missing from the answer, or of another type")
    return value

"""A completion as bytes: one of format, four of checksum, then JSON."""

from __future__ import annotations

import math
import zlib

import orjson

from models.inference.engine import Completion, Sample, Usage

FORMAT = b"\x01"
HEADER = 1 + 4


def encode(completion: Completion) -> bytes:
    """Raises ValueError for what JSON would not give back: a logprob that is not finite, half a surrogate pair."""
    samples = [[each.text, each.finish_reason, each.token_ids, each.logprobs] for each in completion.samples]
    if not all(math.isfinite(sum(each.logprobs)) for each in completion.samples if each.logprobs):
        raise ValueError("a logprob of the answer is not finite")
    usage = completion.usage
    try:
        text = orjson.dumps(
            [samples, usage.prompt_tokens, usage.completion_tokens, completion.seconds, completion.attempts]
        )
    except TypeError as error:
        raise ValueError(f"the answer is no JSON: {error}") from error
    return FORMAT + zlib.crc32(text).to_bytes(4, "big") + text


def decode(body: bytes) -> Completion:
    """Raises ValueError, saying why, for bytes that `encode` did not make."""
    if body[:1] != FORMAT:
        raise ValueError(f"format {body[:1].hex() or 'missing'}, and {FORMAT.hex()} is known")
    text = body[HEADER:]
    if zlib.crc32(text).to_bytes(4, "big") != body[1:HEADER]:
        raise ValueError("the checksum does not fit")
    samples, prompt_tokens, completion_tokens, seconds, attempts = orjson.loads(text)
    return Completion(
        tuple(
            Sample(
                answer,
                finish_reason,
                None if token_ids is None else tuple(token_ids),
                None if logprobs is None else tuple(logprobs),
            )
            for answer, finish_reason, token_ids, logprobs in samples
        ),
        Usage(prompt_tokens, completion_tokens),
        seconds,
        attempts,
    )

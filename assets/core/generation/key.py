"""The key of a request: everything that determines its answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace

import orjson

from assets.core.errors import AthanorError
from models.inference.engine import Request


def request_keys(identity: Mapping[str, object]) -> Callable[[Request], bytes]:
    """What gives the key (32 bytes) of a request to the engine with this identity.

    A key is the sha256 of both as canonical JSON: every field of a request counts, also one that is added later.
    Raises AthanorError for a request that is no JSON (a text with half a surrogate pair).
    """
    engine = hashlib.sha256(hashlib.sha256(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)).digest())

    def key(request: Request) -> bytes:
        sampling = request.sampling
        if type(sampling.temperature) is not float or type(sampling.top_p) is not float:
            # 0 and 0.0 are one temperature and two JSON texts.
            sampling = replace(sampling, temperature=float(sampling.temperature), top_p=float(sampling.top_p))
            request = replace(request, sampling=sampling)
        try:
            text = orjson.dumps(request, default=tuple, option=orjson.OPT_SORT_KEYS)  # a `Message` becomes a list
        except TypeError as error:
            raise AthanorError(
                f"a request cannot be sent as JSON ({error}): {request!r:.200}", "repair or drop its row before asking"
            ) from error
        digest = engine.copy()
        digest.update(text)
        return digest.digest()

    return key

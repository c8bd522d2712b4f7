"""Everything that determines an answer is in its key, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace

import pytest

from assets.core.errors import AthanorError
from assets.core.generation.key import request_keys
from models.inference.engine import Message, Request, Sampling

IDENTITY = {"engine": "openai", "model": "m"}
REQUEST = Request((Message("user", "hi"),))
OTHER_SAMPLING = {
    "max_new_tokens": 3, "temperature": 0.5, "top_p": 0.5, "top_k": 7, "stop": ("x",), "stop_ids": (4,)
}  # fmt: skip
OTHER = {"prompt": "hi", "sampling": Sampling(4), "n": 2, "seed": 1, "logprobs": True, "json_schema": "{}"}
PRINT_KEY = """
from tests.assets.core.generation.test_key import IDENTITY, REQUEST, request_keys
print(request_keys(dict(reversed(IDENTITY.items())))(REQUEST).hex())
"""


def key(request: Request, **identity: object) -> bytes:
    return request_keys(IDENTITY | identity)(request)


def test_every_field_counts() -> None:
    """A field that is missing from the key gives one request another's answer: the field lists are whole, on purpose
    failing when the contract gains one."""
    assert {field.name for field in fields(Request)} == OTHER.keys()
    assert {field.name for field in fields(Sampling)} == OTHER_SAMPLING.keys()
    changed = [replace(REQUEST, **{name: value}) for name, value in OTHER.items()]  # type: ignore[arg-type]
    changed += [
        replace(REQUEST, sampling=replace(Sampling(), **{name: value})) for name, value in OTHER_SAMPLING.items()
    ]  # type: ignore[arg-type]
    assert len({key(each) for each in [REQUEST, *changed]}) == 1 + len(changed)


def test_every_part_of_the_identity_counts() -> None:
    """Another revision of the model is another model."""
    assert len({key(REQUEST), key(REQUEST, revision="2"), key(REQUEST, model="n")}) == 3


def test_prompts_of_different_kinds_never_meet() -> None:
    """Text, token ids and conversations of the same letters."""
    prompts = ["[1]", (1,), "1", (Message("1", "1"),), (Message("1", "1"), Message("1", "1")), (1, 1), (11,)]
    assert len({key(Request(prompt)) for prompt in prompts}) == len(prompts)  # type: ignore[arg-type]


def test_equal_requests_have_equal_keys() -> None:
    """`temperature=0` and `temperature=0.0` are one request; asking it twice would be paid twice."""
    assert key(Request("a", Sampling(temperature=0, top_p=1))) == key(
        Request("a", Sampling(temperature=0.0, top_p=1.0))
    )


def test_a_key_is_the_same_in_another_process() -> None:
    """Whatever the hash seed and the order of the identity's entries: else nothing would ever be found again."""
    printed = subprocess.run([sys.executable, "-c", PRINT_KEY], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == key(REQUEST).hex()


def test_the_key_does_not_change_with_versions() -> None:
    """A changed key orphans every answer that was paid for: change it only on purpose."""
    assert key(REQUEST).hex() == "7310cdea624711a178be82a6398cff8086085a45072a88ee28e61a875485ce2e"


def test_a_request_that_is_no_json_is_told() -> None:
    """Half a surrogate pair, as a careless reader of JSON makes it, cannot be sent to any engine."""
    with pytest.raises(AthanorError, match="cannot be sent as JSON"):
        key(Request("\ud800"))

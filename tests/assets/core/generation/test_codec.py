"""What comes out of the store is what went in, to the last bit, or an error."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.core.generation.codec import decode, encode
from models.inference.engine import Completion, Sample, Usage
from tests.assets.core.generation.fakes import completion

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
COUNTS = st.integers(0, 2**31)
SAMPLES = st.builds(
    Sample,
    TEXTS,
    st.sampled_from(["stop", "length"]),
    st.none() | st.lists(COUNTS).map(tuple),
    st.none() | st.lists(st.floats(-1e4, 0)).map(tuple),
)
COMPLETIONS = st.builds(
    Completion,
    st.lists(SAMPLES, min_size=1).map(tuple),
    st.builds(Usage, COUNTS, COUNTS),
    st.floats(0, 1e6),
    st.integers(1, 100),
)


@given(COMPLETIONS)
def test_a_completion_survives_the_store(told: Completion) -> None:
    """Token ids and log probabilities go into training: a digit that is lost moves a gradient."""
    assert decode(encode(told)) == told


def test_no_field_is_forgotten() -> None:
    """A field that the contract gains later must be stored too."""
    names = {kind: [field.name for field in fields(kind)] for kind in (Completion, Sample, Usage)}
    assert names == {
        Completion: ["samples", "usage", "seconds", "attempts"],
        Sample: ["text", "finish_reason", "token_ids", "logprobs"],
        Usage: ["prompt_tokens", "completion_tokens"],
    }


@given(COMPLETIONS, st.data())
def test_any_flipped_bit_is_told(told: Completion, data: st.DataObject) -> None:
    """A disk that lost a bit gives an error, not another answer."""
    body = bytearray(encode(told))
    place = data.draw(st.integers(0, 8 * len(body) - 1))
    body[place // 8] ^= 1 << place % 8
    with pytest.raises(ValueError, match=r"format|checksum"):
        decode(bytes(body))


@pytest.mark.parametrize("body", [b"", b"\x01", b"\x02abcd{}"])
def test_what_is_no_body_is_told(body: bytes) -> None:
    """Cut off, or of a later version."""
    with pytest.raises(ValueError, match=r"format|checksum"):
        decode(body)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_an_infinite_logprob_is_refused(value: float) -> None:
    """JSON would make it null, and a trainer would find it much later."""
    sample = Sample("a", "stop", (1, 2), (value, -1.0))
    with pytest.raises(ValueError, match="not finite"):
        encode(replace(completion("a"), samples=(sample,)))


def test_half_a_character_is_refused() -> None:
    """A lone surrogate, as a server's JSON can hold it, is no text."""
    with pytest.raises(ValueError, match="no JSON"):
        encode(completion("\ud800"))

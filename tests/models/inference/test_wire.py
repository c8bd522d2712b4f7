"""OpenAI's wire format: what is sent, and what is read from an answer."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.inference.engine import EngineError, Message, Request, Sample, Sampling, Usage
from models.inference.wire import Dialect, Unusable, decode, encode, error_words, estimated_tokens, spread

CHAT = (Message("system", "Be brief."), Message("user", "Why?"))
SCHEMA = '{"type":"object","properties":{"why":{"type":"string"}}}'


def sent(request: Request, dialect: Dialect = "openai") -> tuple[str, dict[str, Any]]:
    path, body = encode(request, "tiny", dialect, "raw_logprobs", "max_tokens")
    return path, json.loads(body)


def test_a_conversation_is_a_chat_completion() -> None:
    """Every field of a request has its place in OpenAI's chat format."""
    sampling = Sampling(max_new_tokens=9, temperature=0.0, top_p=0.5, stop=("\n", "END"))
    path, body = sent(Request(CHAT, sampling, n=3, seed=7, logprobs=True, json_schema=SCHEMA))
    assert path == "/chat/completions"
    assert body == {
        "model": "tiny",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}],
        "max_tokens": 9,
        "temperature": 0.0,
        "top_p": 0.5,
        "stop": ["\n", "END"],
        "n": 3,
        "seed": 7,
        "logprobs": True,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": json.loads(SCHEMA)},
        },
    }
    _, longer = encode(Request(CHAT), "tiny", "openai", "raw_logprobs", "max_completion_tokens")
    assert json.loads(longer)["max_completion_tokens"] == Sampling().max_new_tokens


@pytest.mark.parametrize("prompt", ["Once", (5, 6, 7)])
def test_text_and_token_ids_are_a_text_completion(prompt: str | tuple[int, ...]) -> None:
    """They are sent as they are: no template is put around them."""
    path, body = sent(Request(prompt, logprobs=True))
    assert path == "/completions"
    assert body["prompt"] == (prompt if isinstance(prompt, str) else list(prompt))
    assert body["logprobs"] == 1
    assert "messages" not in body


def test_vllm_is_told_what_openai_has_no_words_for() -> None:
    """top_k and stop token ids; token ids are asked for."""
    _, body = sent(Request("a", Sampling(top_k=5, stop_ids=(2,)), seed=1), "vllm")
    assert (body["top_k"], body["stop_token_ids"], body["return_token_ids"]) == (5, [2], True)
    _, plain = sent(Request("a"), "vllm")
    assert not {"stop_token_ids", "stop", "logprobs", "response_format"} & plain.keys()
    assert (plain["top_k"], plain["min_p"], plain["repetition_penalty"]) == (0, 0.0, 1.0)


def test_vllm_is_asked_for_one_greedy_answer() -> None:
    """It refuses more; they are equal, so that one stands for all. OpenAI's may differ: all are asked for."""
    greedy = Request("a", Sampling(temperature=0.0), n=3)
    assert sent(greedy, "vllm")[1]["n"] == 1
    assert len(decode(json.dumps(answer()).encode(), greedy, "vllm")[0]) == 3
    assert sent(greedy)[1]["n"] == 3


@pytest.mark.parametrize(
    "request_",
    [
        Request("a", Sampling(top_k=5)),
        Request("a", Sampling(stop_ids=(2,))),
        Request("a", json_schema=SCHEMA),
        Request("a", Sampling(temperature=0.7), logprobs=True),
    ],
)
def test_what_cannot_be_sent_is_refused(request_: Request) -> None:
    """Nothing that changes the answer is dropped silently."""
    with pytest.raises(EngineError, match="→"):
        sent(request_)


@pytest.mark.parametrize("sampling", [Sampling(temperature=0.7, top_p=0.9), Sampling(temperature=0.7, top_k=3)])
def test_log_probabilities_of_a_cut_distribution_are_refused(sampling: Sampling) -> None:
    """A trainer would recompute others."""
    with pytest.raises(EngineError, match="whole distribution"):
        encode(Request("a", sampling, logprobs=True), "tiny", "vllm", "processed_logprobs", "max_tokens")
    whole = dataclasses.replace(sampling, top_p=1.0, top_k=0)
    encode(Request("a", whole, logprobs=True), "tiny", "vllm", "processed_logprobs", "max_tokens")


@settings(deadline=None)
@given(st.integers(-(2**70), 2**70), st.integers(1, 1000))
def test_neighbouring_seeds_are_far_apart(seed: int, distance: int) -> None:
    """vLLM adds the sample's index to the seed: two requests must not share noise."""
    gap = (spread(seed + distance) - spread(seed)) % 2**63
    assert 0 <= spread(seed) < 2**63
    assert min(gap, 2**63 - gap) > 10**12


def answer(*, chat: bool = False, n: int = 1) -> dict[str, Any]:
    """A good answer of vLLM's, whose choices come in no order."""
    choices = []
    for index in reversed(range(n)):
        choice: dict[str, Any] = {"index": index, "finish_reason": "stop", "token_ids": [index, 2]}
        if chat:
            choice["message"] = {"role": "assistant", "content": f"text {index}"}
            choice["logprobs"] = {"content": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1}]}
        else:
            choice |= {"text": f"text {index}", "logprobs": {"token_logprobs": [-0.5, -1]}}
        choices.append(choice)
    return {"choices": choices, "usage": {"prompt_tokens": 4, "completion_tokens": 2 * n}}


@pytest.mark.parametrize("chat", [True, False])
def test_samples_are_in_the_order_of_their_index(chat: bool) -> None:
    """Endpoints may send them in any."""
    request = Request(CHAT if chat else "a", n=3, logprobs=True)
    samples, usage = decode(json.dumps(answer(chat=chat, n=3)).encode(), request, "vllm")
    assert samples == tuple(Sample(f"text {index}", "stop", (index, 2), (-0.5, -1.0)) for index in range(3))
    assert usage == Usage(4, 6)


def test_a_lone_end_token_is_an_answer() -> None:
    """A base model may end at once; only an answer without tokens is empty."""
    ended = answer()
    ended["choices"][0]["text"] = ""
    assert decode(json.dumps(ended).encode(), Request("a"), "vllm")[0][0].token_ids == (0, 2)
    with pytest.raises(Unusable, match="empty"):
        decode(json.dumps(ended).encode(), Request("a"), "openai")


def spoilt(*path: str | int, value: object = None) -> dict[str, Any]:
    """A good answer with one field replaced, or taken away where `value` is None."""
    made = answer()
    holder: Any = made
    for step in path[:-1]:
        holder = holder[step]
    if value is None:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return made


@pytest.mark.parametrize(
    ("spoilt_answer", "reason", "words"),
    [
        ([], "malformed", "choices"),
        (spoilt("choices"), "malformed", "choices"),
        (spoilt("choices", value=[]), "malformed", "0 choices"),
        (spoilt("choices", 0, value="text"), "malformed", "index"),
        (spoilt("choices", 0, "index", value=1), "malformed", "1 choices"),
        (spoilt("choices", 0, "index", value=False), "malformed", "index"),
        (spoilt("choices", 0, "finish_reason"), "malformed", "finish_reason"),
        (spoilt("choices", 0, "finish_reason", value="tool_calls"), "malformed", "tool_calls"),
        (spoilt("choices", 0, "finish_reason", value="content_filter"), "refused", "filter"),
        (spoilt("choices", 0, "text", value=3), "malformed", "int"),
        (spoilt("choices", 0, "token_ids"), "malformed", "token_ids"),
        (spoilt("choices", 0, "token_ids", value=[1, "2"]), "malformed", "token_ids"),
        (spoilt("choices", 0, "logprobs"), "malformed", "does not offer"),
        (spoilt("choices", 0, "logprobs", value={"token_logprobs": [-0.5]}), "malformed", "1 log probabilities"),
        (spoilt("choices", 0, "logprobs", value={"token_logprobs": [-0.5, None]}), "malformed", "not a number"),
        (spoilt("usage"), "malformed", "usage"),
        (spoilt("usage", "prompt_tokens"), "malformed", "prompt_tokens"),
    ],
)
def test_every_field_that_is_used_is_checked(spoilt_answer: object, reason: str, words: str) -> None:
    """Each malformed answer says which field is wrong."""
    with pytest.raises(Unusable, match=words) as caught:
        decode(json.dumps(spoilt_answer).encode(), Request("a", logprobs=True), "vllm")
    assert caught.value.reason == reason


@settings(deadline=None)
@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_no_bytes_surprise_the_reader(body: bytes) -> None:
    """Whatever comes is read or is Unusable; an error's body always gives words."""
    with pytest.raises(Unusable):
        decode(body, Request("a"), "openai")
    assert isinstance(error_words(body), str)


def test_a_refusal_is_told_in_the_models_words() -> None:
    """A model that refuses is not asked again."""
    refusal = answer(chat=True)
    refusal["choices"][0]["message"] = {"content": None, "refusal": "I cannot help with that."}
    with pytest.raises(Unusable, match="I cannot help") as caught:
        decode(json.dumps(refusal).encode(), Request(CHAT), "vllm")
    assert caught.value.reason == "refused"


def test_the_token_rate_counts_prompt_and_answers() -> None:
    """n answers at their longest, and the prompt by characters or ids."""
    assert estimated_tokens(Request("x" * 40, Sampling(5), n=3)) == 10 + 15
    assert estimated_tokens(Request((1, 2, 3), Sampling(5))) == 3 + 5
    assert estimated_tokens(Request((Message("user", "x" * 8),), Sampling(5))) == 2 + 5

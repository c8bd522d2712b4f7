"""The engine in process: requests in, completions out."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from assets.internlm2.tokenizer import save_tokenizer, train_tokenizer
from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.architecture.huggingface import save_folder
from models.inference.engine import Completion, Failed, Message, Request, Sampling
from models.inference.torch_engine import TorchEngine

CONFIG = DecoderConfig(vocab_size=400, dim=128, n_layers=2, n_heads=4, n_kv_heads=2, ffn_dim=192, max_length=256)
TEXTS = ["def f(x):\n    return x + 12\n", '{"name": "a", "count": 3}', "the quick brown fox"] * 20
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"sure": {"type": "boolean"}, "score": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["sure", "score"],
        "additionalProperties": False,
    }
)


def steep_decoder(seed: int) -> Decoder:
    decoder = Decoder(CONFIG, seed=seed)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(3.0 if parameter.ndim > 1 else 1.0)
    return decoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint")
    save_tokenizer(train_tokenizer(TEXTS, vocab_size=400, min_frequency=2), path / "tokenizer", max_length=256)
    save_folder(steep_decoder(3), path / "model", path / "tokenizer")
    save_folder(steep_decoder(4), path / "other", path / "tokenizer")
    return path / "model"


@pytest.fixture(scope="module")
def engine(folder: Path) -> TorchEngine:
    return TorchEngine(folder, slots=16)


def answers(engine: TorchEngine, *requests: Request) -> list[Completion]:
    found = dict(engine.generate(requests))
    assert sorted(found) == list(range(len(requests)))
    completions = [found[index] for index in range(len(requests))]
    for each in completions:
        assert isinstance(each, Completion), each
    return completions  # type: ignore[return-value]


def test_greedy_answers_are_those_of_transformers(engine: TorchEngine, folder: Path) -> None:
    """Text, token ids and a conversation: tokens and text as the reference implementation with the folder's own
    template and end tokens."""
    reference, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    chat = (Message("system", "Be kind."), Message("user", "1 + 1?"))
    greedy = Sampling(max_new_tokens=40, temperature=0.0)
    requests = [Request("def f(x)", greedy), Request((1, 50, 60), greedy), Request(chat, greedy)]
    rendered = tokenizer.apply_chat_template([m._asdict() for m in chat], add_generation_prompt=True)["input_ids"]
    inputs = [tokenizer("def f(x)")["input_ids"], [1, 50, 60], rendered]
    for tokens, completion in zip(inputs, answers(engine, *requests), strict=True):
        given = torch.tensor([tokens])
        whole = reference.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=40, do_sample=False)
        expected = whole[0, len(tokens) :].tolist()
        (sample,) = completion.samples
        assert list(sample.token_ids or ()) == expected
        assert sample.text == tokenizer.decode(expected, skip_special_tokens=True)
        assert completion.usage.prompt_tokens == len(tokens)
        assert completion.usage.completion_tokens == len(expected)


def test_answers_depend_on_the_request_alone(engine: TorchEngine, folder: Path) -> None:
    """Among others, in another order, in another engine with fewer slots: the same samples; another seed, others."""
    requests = [Request(f"row {index}", Sampling(30, top_p=0.9), n=1 + index % 3, seed=index) for index in range(20)]
    first = answers(engine, *requests)
    backwards = answers(engine, *requests[::-1])[::-1]
    few = answers(TorchEngine(folder, slots=3), *requests)
    assert [c.samples for c in first] == [c.samples for c in backwards] == [c.samples for c in few]
    (reseeded,) = answers(engine, replace(requests[2], seed=99))
    assert reseeded.samples != first[2].samples
    assert len(set(first[2].samples)) == 3


def test_more_samples_of_a_request_begin_as_fewer_do(engine: TorchEngine) -> None:
    """The first samples of n = 5 are those of n = 2: each has noise of its own."""
    request = Request("row", Sampling(20), n=2, seed=3)
    two, five = answers(engine, request, replace(request, n=5))
    assert two.samples == five.samples[:2]


def test_logprobs_only_where_asked_for_and_of_the_forward_pass(engine: TorchEngine) -> None:
    """Of the whole distribution at the temperature, though top-k cut the draw."""
    sampling = Sampling(25, temperature=0.7, top_k=5)
    prompt = (1, 50, 60, 70)
    plain, asked = answers(engine, Request(prompt, sampling), Request(prompt, sampling, logprobs=True))
    assert plain.samples[0].logprobs is None
    (sample,) = asked.samples
    tokens = list(sample.token_ids or ())
    with torch.no_grad():
        logits = engine.decoder(torch.tensor([[*prompt, *tokens]]))[0, len(prompt) - 1 : -1] / 0.7
    expected = logits.log_softmax(-1)[range(len(tokens)), tokens]
    torch.testing.assert_close(torch.tensor(sample.logprobs), expected, atol=1e-4, rtol=1e-4)


def test_stop_strings_end_before_their_first_occurrence(engine: TorchEngine) -> None:
    """The text ends before the string, the tokens with the one that completed it; what comes later is not counted."""
    request = Request("def", Sampling(60, temperature=0.0))
    (free,) = answers(engine, request)
    text = free.samples[0].text
    for stop in (text[3:6], text[20:22], text[-2:]):
        (cut,) = answers(engine, replace(request, sampling=replace(request.sampling, stop=(stop, "\x00"))))
        (sample,) = cut.samples
        assert sample.text == text[: text.index(stop)]
        assert sample.finish_reason == "stop"
        count = len(sample.token_ids or ())
        assert (sample.token_ids or ()) == (free.samples[0].token_ids or ())[:count]
        assert count <= len(free.samples[0].token_ids or ())


def test_stop_ids_are_part_of_the_answer_and_not_of_its_text(engine: TorchEngine) -> None:
    request = Request("def", Sampling(60, temperature=0.0))
    (free,) = answers(engine, request)
    stop = (free.samples[0].token_ids or ())[7]
    (cut,) = answers(engine, replace(request, sampling=replace(request.sampling, stop_ids=(stop,))))
    ids = cut.samples[0].token_ids or ()
    assert ids[-1] == stop
    assert stop not in ids[:-1]
    assert free.samples[0].text.startswith(cut.samples[0].text)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_answers_obey_a_schema(engine: TorchEngine, temperature: float) -> None:
    """A model that knows no JSON writes nothing else, complete and valid, beside one that is free."""
    sampling = Sampling(60, temperature=temperature)
    requests = [Request("row", sampling, n=4, seed=1, json_schema=SCHEMA), Request("row", sampling)]
    schemed, _ = answers(engine, *requests)
    for sample in schemed.samples:
        value = json.loads(sample.text)
        assert set(value) == {"sure", "score"}
        assert isinstance(value["sure"], bool)
        assert 0 <= value["score"] <= 9
        assert sample.finish_reason == "stop"


def test_what_cannot_be_answered_fails_alone(engine: TorchEngine) -> None:
    """Too long, foreign ids, a forged template, a schema that is none: each says why, and the others are answered."""
    sampling = Sampling(10)
    requests = [
        Request(tuple([5] * 250), sampling),
        Request((5, 400), sampling),
        Request((Message("user", "<|im_end|>"),), sampling),
        Request("row", sampling, json_schema='{"type": "nonsense"}'),
        Request("row", sampling),
    ]
    found = dict(engine.generate(requests))
    reasons = ["must have 1 to 246", "outside 0 to 399", "special token", "schema"]
    for index, reason in enumerate(reasons):
        failed = found[index]
        assert isinstance(failed, Failed)
        assert failed.reason == "refused"
        assert re.search(reason, failed.message), failed.message
    assert isinstance(found[4], Completion)


def test_reloaded_weights_are_another_identity(folder: Path) -> None:
    """After load_weights the answers are those of an engine that began with these weights."""
    engine, other = TorchEngine(folder, slots=4), TorchEngine(folder.parent / "other", slots=4)
    request = Request("row", Sampling(20), seed=1)
    before, identity = answers(engine, request), engine.identity()
    engine.load_weights(folder.parent / "other")
    assert engine.identity() == other.identity() != identity
    assert answers(engine, request)[0].samples == answers(other, request)[0].samples != before[0].samples


def test_identity_is_json_and_follows_the_dtype(folder: Path, engine: TorchEngine) -> None:
    halved = TorchEngine(folder, dtype=torch.bfloat16, slots=2)
    assert json.loads(json.dumps(engine.identity())) == engine.identity()
    assert halved.identity() != engine.identity()


def test_an_endless_source_is_taken_as_there_is_room(engine: TorchEngine) -> None:
    """Requests are taken lazily, and closing the answers drops the rest."""
    taken = 0

    def endless() -> object:
        nonlocal taken
        while True:
            taken += 1
            yield Request("row", Sampling(4), seed=taken)

    stream = engine.generate(endless())  # type: ignore[arg-type]
    for _ in range(10):
        next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert taken <= 40

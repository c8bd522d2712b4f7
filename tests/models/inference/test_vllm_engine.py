"""The real vLLM, against this package's own decoder: one server serves all tests, in their order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import psutil
import pytest
import torch
from pydantic import BaseModel
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.architecture.huggingface import save_folder
from models.inference.engine import Completion, Failed, Message, Request, Sample, Sampling
from models.inference.structured import Parsed, ask_objects
from models.inference.vllm import VLLMEngine
from models.inference.vllm_server import VLLMSettings

PYTHON = Path(__file__).parents[3] / ".venv-vllm/bin/python"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not PYTHON.exists(), reason="vLLM has an environment of its own: create it with `make vllm`"),
]

# vLLM's attention on the CPU takes head sizes of 32 and more.
CONFIG = DecoderConfig(vocab_size=261, dim=128, n_layers=2, n_heads=4, n_kv_heads=2, ffn_dim=192, max_length=256)
# </s> and <|im_end|>: `save_folder` writes both into generation_config.json.
ENDS = {2, 260}
# Sums are taken in another order there; logits closer than this could change places.
MARGIN = 1e-3
# The answer to the last but one ends with </s>.
PROMPTS = [(1, 10, 12), (1, 4), (1, 93, 6, 6, 44, 8, 12), (1, 44, 203), (1, *range(3, 33))]
# A model that has learnt nothing would go on with white space for ever.
STRICT_JSON = '{"backend": "xgrammar", "disable_any_whitespace": true}'
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


class Answer(BaseModel):
    verdict: Literal["right", "wrong"]
    certain: bool


class Served(NamedTuple):
    """An engine, and the same models here: that of its folder and another one."""

    engine: VLLMEngine
    decoder: Decoder
    other: Decoder
    other_folder: Path
    tokenizer: PreTrainedTokenizerFast


def steep_decoder(seed: int) -> Decoder:
    """Weights four times the initial ones: fresh ones give nearly equal logits, whose order rounding would decide."""
    decoder = Decoder(CONFIG, seed=seed)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(4.0 if parameter.ndim > 1 else 1.0)
    return decoder


def byte_tokenizer(folder: Path) -> None:
    """A token for each byte: a grammar for JSON needs to know what bytes a token stands for."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<unk>", "<s>", "</s>", *alphabet]
    inner = Tokenizer(models.BPE({name: index for index, name in enumerate(names)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(name, special=True) for name in ("<|im_start|>", "<|im_end|>")])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("vllm")
    byte_tokenizer(place / "tokenizer")
    decoders_ = [steep_decoder(seed) for seed in (12, 13)]
    for name, decoder in zip(("one", "other"), decoders_, strict=True):
        save_folder(decoder, place / name, place / "tokenizer")
    engine = VLLMEngine(
        VLLMSettings(
            place / "one",
            place / "vllm.log",
            python=str(PYTHON),
            dtype="float32",
            max_length=128,
            flags=("--enforce-eager", "--structured-outputs-config", STRICT_JSON),
            environment={"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"},
        )
    )
    yield Served(engine, *decoders_, place / "other", AutoTokenizer.from_pretrained(place / "tokenizer"))
    engine.close()


def greedy(decoder: Decoder, prompt: tuple[int, ...], new_tokens: int) -> tuple[int, ...]:
    """The likeliest tokens up to an end token; checks that none is decided by rounding."""
    answer: list[int] = []
    while len(answer) < new_tokens and not ENDS & set(answer):
        with torch.inference_mode():
            best = decoder(torch.tensor([[*prompt, *answer]]))[0, -1].topk(2)
        assert best.values[0] - best.values[1] > MARGIN, "two logits are too close for this comparison: draw others"
        answer.append(int(best.indices[0]))
    return tuple(answer)


def readable(text: str) -> str:
    """Without what stands for bytes that are no character: token by token there is one more or less of it."""
    return text.replace("\N{REPLACEMENT CHARACTER}", "")


def logprobs(decoder: Decoder, prompt: tuple[int, ...], answer: tuple[int, ...]) -> torch.Tensor:
    with torch.inference_mode():
        table = decoder(torch.tensor([[*prompt, *answer]]))[0, len(prompt) - 1 : -1].log_softmax(-1)
    return table.gather(1, torch.tensor(answer)[:, None])[:, 0]


def samples_of(engine: VLLMEngine, *requests: Request) -> list[tuple[Sample, ...]]:
    """In the order of the requests; all must be answered."""
    answers = dict(engine.generate(requests))
    found = []
    for place in range(len(requests)):
        answer = answers[place]
        assert isinstance(answer, Completion), answer
        found.append(answer.samples)
    return found


def test_greedy_tokens_are_the_decoders(served: Served) -> None:
    """From token ids, and from text; every sample of several."""
    sampling = Sampling(20, temperature=0.0)
    expected = [greedy(served.decoder, prompt, 20) for prompt in PROMPTS]
    answers = samples_of(served.engine, *(Request(prompt, sampling, n=2) for prompt in PROMPTS))
    assert [len(tokens) for tokens in expected] == [20, 20, 20, 6, 20]
    for samples, tokens in zip(answers, expected, strict=True):
        assert [sample.token_ids for sample in samples] == [tokens, tokens]
        assert samples[0].finish_reason == ("stop" if tokens[-1] in ENDS else "length")
        assert readable(samples[0].text) == readable(served.tokenizer.decode(tokens, skip_special_tokens=True))
    prompt = tuple(served.tokenizer("Once")["input_ids"])
    ((sample,),) = samples_of(served.engine, Request("Once", sampling))
    assert sample.token_ids == greedy(served.decoder, prompt, 20)


def test_a_conversation_is_rendered_by_the_folders_template(served: Served) -> None:
    """With the header of the turn to come."""
    messages = (Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "?"))
    prompt = served.tokenizer.apply_chat_template(
        [turn._asdict() for turn in messages], add_generation_prompt=True, return_dict=False
    )
    ((sample,),) = samples_of(served.engine, Request(messages, Sampling(12, temperature=0.0)))
    assert sample.token_ids == greedy(served.decoder, tuple(prompt), 12)


def test_log_probabilities_are_those_a_trainer_computes(served: Served) -> None:
    """Of the whole distribution at temperature 1, also where top-p and top-k cut it, in both endpoints."""
    cut = Sampling(30, top_p=0.8, top_k=50)
    requests = [Request(prompt, sampling, n=2, logprobs=True) for prompt in PROMPTS for sampling in (Sampling(30), cut)]
    for request, samples in zip(requests, samples_of(served.engine, *requests), strict=True):
        for sample in samples:
            assert sample.token_ids is not None
            ours = logprobs(served.decoder, request.prompt, sample.token_ids)  # type: ignore[arg-type]
            torch.testing.assert_close(torch.tensor(sample.logprobs), ours, atol=1e-4, rtol=0)
    ((spoken,),) = samples_of(served.engine, Request((Message("user", "Hi"),), Sampling(5), logprobs=True))
    assert spoken.logprobs is not None
    assert spoken.token_ids is not None
    assert len(spoken.logprobs) == len(spoken.token_ids)


def test_the_seed_sets_the_noise(served: Served) -> None:
    """Equal requests have equal answers, the samples of one differ, and neighbouring seeds share none."""
    requests = [Request(PROMPTS[0], Sampling(10), n=4, seed=seed) for seed in (0, 0, 1, 2)]
    first, again, *others = ([sample.token_ids for sample in found] for found in samples_of(served.engine, *requests))
    assert first == again
    assert len({*first, *others[0], *others[1]}) == 12


def test_answers_end_where_they_are_told_to(served: Served) -> None:
    """At a string, which is not part of the text; at a token id, which is the last; at the likeliest token alone."""
    tokens = greedy(served.decoder, PROMPTS[0], 20)
    text = served.tokenizer.decode(tokens)
    stop = served.tokenizer.decode(tokens[3:5])
    by_text, by_id, by_top_k = samples_of(
        served.engine,
        Request(PROMPTS[0], Sampling(20, temperature=0.0, stop=(stop,))),
        Request(PROMPTS[0], Sampling(20, temperature=0.0, stop_ids=(tokens[4],))),
        Request(PROMPTS[0], Sampling(20, temperature=2.0, top_k=1)),
    )
    assert stop == "Z["
    assert (readable(by_text[0].text), by_text[0].finish_reason) == (readable(text[: text.index(stop)]), "stop")
    assert (by_id[0].token_ids, by_id[0].finish_reason) == (tokens[:5], "stop")
    assert by_top_k[0].token_ids == tokens


def test_a_schema_is_obeyed(served: Served) -> None:
    """Even by a model that has learnt nothing, asked as text or in a conversation."""
    sampling = Sampling(60)
    requests = [Request("Say", sampling, seed=1), Request((Message("user", "Say"),), sampling, seed=2)]
    answers = dict(ask_objects(served.engine, requests, Answer, repairs=0))
    assert all(isinstance(answer, Parsed) for answer in answers.values()), answers


def test_what_does_not_fit_is_refused(served: Served) -> None:
    """The request fails, and the others go on."""
    answers = dict(served.engine.generate([Request((5,) * 200, Sampling(2)), Request(PROMPTS[0], Sampling(2))]))
    assert isinstance(answers[0], Failed)
    assert answers[0].reason == "refused"
    assert "maximum context length" in answers[0].message
    assert isinstance(answers[1], Completion)


def test_new_weights_answer_and_a_killed_server_comes_back_with_them(served: Served) -> None:
    """The answers become those of the new weights; kill -9 in the middle of a run loses none of them."""
    before = served.engine.identity()
    served.engine.load_weights(served.other_folder)
    assert served.engine.identity() != before
    sampling = Sampling(20, temperature=0.0)
    requests = [Request(prompt, sampling) for prompt in PROMPTS]
    expected = [greedy(served.other, prompt, 20) for prompt in PROMPTS]
    assert [samples[0].token_ids for samples in samples_of(served.engine, *requests)] == expected
    got: dict[int, object] = {}
    many = [requests[place % len(PROMPTS)] for place in range(600)]
    for place, answer in served.engine.generate(many):
        assert place not in got
        assert isinstance(answer, Completion)
        got[place] = answer.samples[0].token_ids
        if len(got) == 50:
            kill_server()
    assert got == {place: expected[place % len(PROMPTS)] for place in range(600)}


def kill_server() -> None:
    """vLLM's server process below the leash; its engine and workers are killed by the leash."""
    leash = next(child for child in psutil.Process().children() if "leash.py" in " ".join(child.cmdline()))
    leash.children()[0].kill()

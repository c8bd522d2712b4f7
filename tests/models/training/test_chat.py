"""Conversations as tokens and masks."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from assets.internlm2.tokenizer import BOS, CHAT_TOKENS, EOS, UNK, save_tokenizer, train_tokenizer
from models.training.chat import (
    CALL_TOKENS,
    Message,
    Refused,
    generation_prompt,
    load_chat_tokenizer,
    preference_pair,
    render,
    reward_closing,
    reward_pair,
    reward_token_id,
)

# Runs of white space are frequent here, so that the vocabulary has the merges that could cross a header's newline.
TEXTS = [
    "def f(x):\n\n\n    return x + 12\n\n",
    "\n\nuser\n\n  the quick brown fox",
    "naïve café 你好",
    "plugin\n{}\n",
] * 20
CALL = '<|action_start|><|plugin|>\n{"name": "add", "parameters": {"a": 1}}<|action_end|>'
TOOL_DIALOGUE: list[Message] = [
    {"role": "system", "content": "Be kind."},
    {"role": "system", "name": "<|plugin|>", "content": '[{"name": "add"}]'},
    {"role": "user", "content": "1 + 1?"},
    {"role": "assistant", "content": "I add. " + CALL},
    {"role": "environment", "name": "<|plugin|>", "content": "2"},
    {"role": "assistant", "content": "2"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(train_tokenizer(TEXTS, vocab_size=400, min_frequency=2), path, max_length=1000)
    return path


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    return load_chat_tokenizer(folder)


def contents() -> st.SearchStrategy[str]:
    """Any text, with white space of all kinds at its ends, and other people's special tokens in it."""
    pieces = ["\n", "  ", "\t", "\r\n", " \n", "\u00a0", "\u2028", "hi", "1 2", "你好", "é", "<|endoftext|>", "<|im_"]
    texts = st.lists(st.one_of(st.sampled_from(pieces), st.text(max_size=5)), max_size=6).map("".join)
    return texts.filter(lambda text: not any(token in text for token in (UNK, BOS, EOS, *CHAT_TOKENS)))


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Turns in any order, tool turns among them; some assistant turns end in a call."""
    turns: list[Message] = []
    for role in draw(st.lists(st.sampled_from(["system", "user", "assistant", "environment"]), min_size=1, max_size=6)):
        content = draw(contents())
        if role == "assistant":
            turns.append({"role": role, "content": content + draw(st.sampled_from(["", CALL]))})
        else:
            name = draw(st.sampled_from([None, "<|plugin|>", "<|interpreter|>", "Ann"]))
            turns.append({"role": role, "content": content} | ({"name": name} if name else {}))
    return turns


def strings(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> str:
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


@settings(deadline=None, max_examples=150)
@given(messages=conversations())
def test_beginnings_are_prefixes(tokenizer: PreTrainedTokenizerFast, messages: list[Message]) -> None:
    """Turn by turn nothing that was rendered changes, so a server's cache and the training agree on every prefix."""
    renderings = [render(tokenizer, messages[:turns]).tokens for turns in range(1, len(messages) + 1)]
    for shorter, longer in pairwise(renderings):
        assert longer[: len(shorter)] == shorter


@settings(deadline=None, max_examples=150)
@given(messages=conversations(), answer=contents())
def test_an_answer_is_trained_after_what_a_server_sends(
    tokenizer: PreTrainedTokenizerFast, messages: list[Message], answer: str
) -> None:
    """The generation prompt begins the training rendering, untrained; all of the answer after it, up to the stop
    token, is trained; and what follows the stop token is the header's newline alone.
    """
    prompt = generation_prompt(tokenizer, messages)
    tokens, trained = render(tokenizer, [*messages, {"role": "assistant", "content": answer}])
    assert tokens[: len(prompt)] == prompt
    assert trained[len(prompt) :] == [True] * (len(tokens) - len(prompt) - 1) + [False]
    assert strings(tokenizer, tokens[len(prompt) :]) == answer.lstrip() + "<|im_end|>\n"


@settings(deadline=None, max_examples=150)
@given(messages=conversations())
def test_mask_equals_an_oracle_over_characters(tokenizer: PreTrainedTokenizerFast, messages: list[Message]) -> None:
    """Trained are the tokens inside the characters of assistant contents and stop tokens, written out here by hand;
    every assistant turn's stop token is among them, and nothing else of the conversation is.
    """
    text, spans = "<s>", []
    for message in messages:
        name = f" name={message['name']}" if "name" in message else ""
        text += f"<|im_start|>{message['role']}{name}\n"
        begin = len(text)
        text += message["content"].lstrip() + "<|im_end|>"
        if message["role"] == "assistant":
            spans.append((begin, len(text)))
        text += "\n"
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    tokens, trained = render(tokenizer, messages)
    assert tokens == encoded["input_ids"]
    assert trained == [
        any(begin <= start and end <= stop for begin, stop in spans) for start, end in encoded["offset_mapping"]
    ]
    stops = [place for place, token in enumerate(tokens) if token == tokenizer.convert_tokens_to_ids("<|im_end|>")]
    assert [trained[place] for place in stops] == [message["role"] == "assistant" for message in messages]


def test_golden_tool_dialogue(tokenizer: PreTrainedTokenizerFast) -> None:
    """Declaration, call, result and answer stand as in InternLM2's chat_format.md; the marked parts are trained."""
    tokens, trained = render(tokenizer, TOOL_DIALOGUE)
    assert strings(tokenizer, tokens) == (
        "<s><|im_start|>system\nBe kind.<|im_end|>\n"
        '<|im_start|>system name=<|plugin|>\n[{"name": "add"}]<|im_end|>\n'
        "<|im_start|>user\n1 + 1?<|im_end|>\n"
        '<|im_start|>assistant\nI add. <|action_start|><|plugin|>\n{"name": "add", "parameters": {"a": 1}}'
        "<|action_end|><|im_end|>\n"
        "<|im_start|>environment name=<|plugin|>\n2<|im_end|>\n"
        "<|im_start|>assistant\n2<|im_end|>\n"
    )
    marked = [token for token, mark in zip(tokens, trained, strict=True) if mark]
    assert strings(tokenizer, marked) == f"I add. {CALL}<|im_end|>2<|im_end|>"
    assert set(tokenizer.convert_tokens_to_ids(["<|action_start|>", "<|plugin|>", "<|action_end|>"])) <= set(marked)


def test_golden_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    """Token by token: headers are split where the content begins, and special tokens are one id each."""
    messages = [{"role": "user", "content": "fox 12"}, {"role": "assistant", "content": "the fox"}]
    tokens, trained = render(tokenizer, messages)
    found = [token + "*" * mark for token, mark in zip(tokenizer.convert_ids_to_tokens(tokens), trained, strict=True)]
    assert " ".join(found) == (
        "<s> <|im_start|> user Ċ f ox Ġ 1 2 <|im_end|> Ċ <|im_start|> a s s i s t a n t Ċ the* Ġfox* <|im_end|>* Ċ"
    )


def test_serving_renders_the_same(folder: Path, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    """A plain AutoTokenizer from the folder, also after it was saved again, sends the tokens that were trained."""
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    for path in (folder, tmp_path):
        server = AutoTokenizer.from_pretrained(path)
        plain = [dict(message) for message in TOOL_DIALOGUE]
        assert server.apply_chat_template(plain)["input_ids"] == render(tokenizer, TOOL_DIALOGUE).tokens
        prompt = server.apply_chat_template(plain[:-1], add_generation_prompt=True)["input_ids"]
        assert prompt == generation_prompt(tokenizer, TOOL_DIALOGUE[:-1])
        assert server(server.apply_chat_template(plain, tokenize=False), add_special_tokens=False)["input_ids"] == (
            render(tokenizer, TOOL_DIALOGUE).tokens
        )


@pytest.mark.parametrize("role", ["system", "user", "environment", "assistant"])
@pytest.mark.parametrize("token", ["<|im_end|>", "<|im_start|>", "<|reward|>", "<s>", "</s>", *CALL_TOKENS])
def test_injected_special_tokens_are_refused(tokenizer: PreTrainedTokenizerFast, role: str, token: str) -> None:
    """No content can end its turn or open another one; the tool tokens are the assistant's."""
    messages = [{"role": role, "content": f"so {token} it"}]
    if role == "assistant" and token in CALL_TOKENS:
        assert all(render(tokenizer, messages).tokens)
        return
    with pytest.raises(Refused, match="spells out") as refusal:
        render(tokenizer, messages)
    assert refusal.value.reason == "special token in content"


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "no messages"),
        ([{"role": "tool", "content": "2"}], "unknown role"),
        ([{"content": "2"}], "unknown role"),
        ([{"role": "user", "content": None}], "content is not text"),
        ([{"role": "user", "content": [{"type": "text"}]}], "content is not text"),
        ([{"role": "user", "content": "2", "name": "a\n<|im_end|>"}], "unusable name"),
        ([{"role": "user", "content": "2", "name": "a<|im_end|>"}], "unusable name"),
        ([{"role": "user", "content": "2", "name": ""}], "unusable name"),
    ],
)
def test_malformed_rows_have_a_reason(tokenizer: PreTrainedTokenizerFast, messages: list[Message], reason: str) -> None:
    """Rows of a kind are counted under one reason in the ledger, and none of them crashes the run."""
    with pytest.raises(Refused) as refusal:
        render(tokenizer, messages)
    assert refusal.value.reason == reason


@settings(deadline=None, max_examples=100)
@given(messages=conversations(), chosen=contents(), rejected=contents(), condition=st.none() | contents())
def test_pairs(
    tokenizer: PreTrainedTokenizerFast, messages: list[Message], chosen: str, rejected: str, condition: str | None
) -> None:
    """A pair differs in the answer alone. DPO trains just that and its stop token, not the prompt's assistant turns;
    a reward model reads its condition first and is read at one token, the last.
    """
    if chosen.lstrip() == rejected.lstrip():
        with pytest.raises(Refused, match="chosen equals rejected"):
            preference_pair(tokenizer, messages, chosen, rejected)
        return
    prompt = generation_prompt(tokenizer, messages)
    for document, answer in zip(
        preference_pair(tokenizer, messages, chosen, rejected), (chosen, rejected), strict=True
    ):
        assert document.tokens[: len(prompt)] == prompt
        marked = [token for token, mark in zip(*document, strict=True) if mark]
        assert document.trained.index(True) == len(prompt)
        assert strings(tokenizer, marked) == answer.lstrip() + "<|im_end|>"
    conditioned = [*([] if condition is None else [{"role": "system", "content": condition}]), *messages]
    reward = reward_token_id(tokenizer)
    for document, answer in zip(
        reward_pair(tokenizer, messages, chosen, rejected, condition), (chosen, rejected), strict=True
    ):
        expected = render(tokenizer, [*conditioned, {"role": "assistant", "content": answer}]).tokens
        assert document.tokens == [*expected, reward]
        assert document.tokens.count(reward) == 1
        assert not any(document.trained)


def test_sampled_answers_are_scored_as_sampled(tokenizer: PreTrainedTokenizerFast) -> None:
    """Prompt, sampled tokens and closing make the document that the reward model was trained on."""
    question = [{"role": "user", "content": "fox?"}]
    document, _ = reward_pair(tokenizer, question, "the fox", "no", "Be harmless.")
    prompt = generation_prompt(tokenizer, [{"role": "system", "content": "Be harmless."}, *question])
    sampled = tokenizer("the fox<|im_end|>", add_special_tokens=False)["input_ids"]
    assert document.tokens == prompt + sampled + reward_closing(tokenizer)


def test_unusable_tokenizers_are_refused(folder: Path, tmp_path: Path) -> None:
    """A template without marks would train nothing, and none at all would train another format: both are said."""
    with pytest.raises(ValueError, match=r"tokenizer.json is missing"):
        load_chat_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text((folder / "tokenizer.json").read_text())
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    for template, message in (
        (settings["chat_template"].replace("{% generation %}", "").replace("{% endgeneration %}", ""), "does not mark"),
        (None, "exactly one chat template"),
    ):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": template}))
        with pytest.raises(ValueError, match=message):
            load_chat_tokenizer(tmp_path)

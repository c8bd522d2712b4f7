"""The tokenizer: nothing is lost, digits are split, special tokens are where the chat format expects them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.core.errors import InputError
from assets.internlm2.tokenizer import (
    CHAT_TOKENS,
    encode,
    load_tokenizer,
    save_tokenizer,
    special_ids,
    train_tokenizer,
)

TEXTS = ["def f(x):\n    return x + 12345\n", "the quick brown fox, 2024", "naïve café"] * 20


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, vocab_size=320, min_frequency=2)


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_every_text_survives(tokenizer, text: str) -> None:
    """Byte-level BPE has no unknown text: decoding gives back what was encoded, special tokens' spelling included."""
    (ids,) = encode(tokenizer, [text])
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_digits_are_split(tokenizer) -> None:
    """Every digit is a token of its own (InternLM2), also in numbers seen often in training."""
    (ids,) = encode(tokenizer, ["12345"])
    assert [tokenizer.decode([token]) for token in ids] == list("12345")


def test_special_tokens(tokenizer) -> None:
    """Ids 0, 1, 2 are <unk> <s> </s>; the chat tokens are the last of the vocabulary."""
    assert special_ids(tokenizer) == (1, 2)
    size = tokenizer.get_vocab_size()
    assert [tokenizer.id_to_token(i) for i in range(size - len(CHAT_TOKENS), size)] == list(CHAT_TOKENS)


def test_a_text_cannot_inject_special_tokens(tokenizer) -> None:
    """A document that spells out a special token does not get its id."""
    (ids,) = encode(tokenizer, ["</s> <|im_end|> <s>"])
    assert not {1, 2} & set(ids)
    assert max(ids) < tokenizer.get_vocab_size() - len(CHAT_TOKENS)


def test_training_is_reproducible(tokenizer) -> None:
    """The same texts give the same tokenizer, byte for byte."""
    assert train_tokenizer(TEXTS, vocab_size=320, min_frequency=2).to_str() == tokenizer.to_str()


def test_too_small_a_vocabulary_is_refused() -> None:
    """256 bytes and the special tokens must fit; the error says the least size."""
    with pytest.raises(InputError, match="266"):
        train_tokenizer(TEXTS, vocab_size=200, min_frequency=2)


def test_the_folder_loads_in_transformers(tokenizer, tmp_path: Path) -> None:
    """`transformers` reads the folder, with the same ids, and renders the InternLM2 chat format."""
    from transformers import AutoTokenizer

    save_tokenizer(tokenizer, tmp_path, max_length=100)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs("fox 12", add_special_tokens=False)["input_ids"] == encode(load_tokenizer(tmp_path), ["fox 12"])[0]
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    rendered = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert rendered == (
        "<s><|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert theirs.bos_token_id == 1
    assert theirs.eos_token_id == 2

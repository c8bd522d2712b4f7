"""Byte-level BPE with InternLM2's special tokens, trained by Hugging Face `tokenizers`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from assets.core.errors import InputError
from assets.core.lake import DatasetWriter

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ENCODING_BATCH = 1_000
# Written into the tokenizer for `transformers`; a model's own limit is in its config.
MAX_LENGTH = 1_000_000
UNK, BOS, EOS = "<unk>", "<s>", "</s>"
# Order and roles of the released tokenizer: the last ids of the vocabulary (chat_format.md); <|reward|> stands for the
# token at which the reward model is read (id 92527 there).
CHAT_TOKENS = (
    "<|reward|>",
    "<|plugin|>",
    "<|interpreter|>",
    "<|action_end|>",
    "<|action_start|>",
    "<|im_end|>",
    "<|im_start|>",
)
# The `generation` marks say what is trained: an assistant's content and its stop token (models/training/chat.py).
# White space at a content's start is cut: byte-level BPE would merge it with the header's newline, and a conversation
# would no longer begin with the tokens after which its answer was generated.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] }}{% if message.get('name') %}{{ ' name=' + message['name'] }}{% endif %}"
    "{{ '\\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'].lstrip() + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'].lstrip() + '<|im_end|>' }}{% endif %}"
    "{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def train_tokenizer(texts: Iterable[str], *, vocab_size: int, min_frequency: int) -> Tokenizer:
    """A byte-level BPE tokenizer; every digit is a token of its own; `<unk> <s> </s>` are ids 0, 1, 2.

    Raises InputError when the vocabulary is too small for 256 bytes and the special tokens.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    fixed = len(alphabet) + 3 + len(CHAT_TOKENS)
    if vocab_size < fixed:
        raise InputError(f"a vocabulary of {vocab_size} tokens is too small", f"set vocab_size to at least {fixed}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(CHAT_TOKENS),
        min_frequency=min_frequency,
        special_tokens=[UNK, BOS, EOS],
        initial_alphabet=sorted(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in CHAT_TOKENS])
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, *, max_length: int) -> None:
    """Write the files that `transformers.AutoTokenizer` loads, chat template included."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": UNK,
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": EOS,
        "additional_special_tokens": list(CHAT_TOKENS),
        "model_max_length": max_length,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))


def publish_tokenizer(out: DatasetWriter, tokenizer: Tokenizer) -> None:
    """Write the files and a row per token into a checkpoint, with the check `bytes_survive`."""
    save_tokenizer(tokenizer, out.folder, max_length=MAX_LENGTH)
    hard = "naïve café 🦉\t0123\r\n\x00 def f(x):\n    return x**2"
    out.check("bytes_survive", tokenizer.decode(tokenizer.encode(hard).ids) == hard)
    vocabulary = sorted(tokenizer.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1])
    out.write(
        pl.DataFrame({"id": [str(index) for _, index in vocabulary], "token": [token for token, _ in vocabulary]})
    )
    out.describe(vocab_size=len(vocabulary), longest=max((token for token, _ in vocabulary), key=len))


def load_tokenizer(folder: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def special_ids(tokenizer: Tokenizer) -> tuple[int, int]:
    """Ids of `<s>` and `</s>`; raises InputError for a tokenizer without them."""
    bos, eos = tokenizer.token_to_id(BOS), tokenizer.token_to_id(EOS)
    if bos is None or eos is None:
        raise InputError(f"the tokenizer has no {BOS} and {EOS}", "use one made by internlm2/tokenizer")
    return bos, eos


def encode(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """Token ids of the content alone: no `<s>` and `</s>`; special tokens spelled out in a text stay plain text."""
    tokenizer.encode_special_tokens = True
    return [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]


def write_tokens(out: DatasetWriter, frames: Iterable[pl.DataFrame], tokenizer: Tokenizer) -> None:
    """Write every text (`id`, `text`, `n_bytes`) as the token ids of its content, without `<s>` and `</s>`."""
    n_bytes = n_tokens = 0
    for rows in (rows for frame in frames for rows in _slices(frame)):
        ids = encode(tokenizer, rows["text"].to_list())
        encoded = rows.select(
            "id",
            pl.Series("tokens", ids, dtype=pl.List(pl.UInt32)),
            pl.Series("n_tokens", [len(row) for row in ids], dtype=pl.Int64),
            "n_bytes",
        )
        out.ledger.rows_in += rows.height
        out.write(encoded)
        n_bytes += int(rows["n_bytes"].sum())
        n_tokens += int(encoded["n_tokens"].sum())
    out.describe(tokens=n_tokens, bytes_per_token=round(n_bytes / max(1, n_tokens), 3))


def _slices(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Frames of at most ENCODING_BATCH rows; of an empty one itself, which has its columns."""
    yield from frame.iter_slices(ENCODING_BATCH) if frame.height else [frame]

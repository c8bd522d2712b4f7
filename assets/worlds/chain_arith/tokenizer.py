"""A character-level tokenizer of ChainArith with a chat template, as a folder that `transformers` loads.

A problem is rendered as `<s>` question newline answer `<|im_end|>`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNK, BOS, EOS, PAD, TURN_END = "<unk>", "<s>", "</s>", "<pad>", "<|im_end|>"
SPECIAL = (UNK, BOS, EOS, PAD, TURN_END)
CHARACTERS = "0123456789+-*=?# \n"
# Written into the tokenizer for `transformers`; a model's own limit is in its config.
MAX_LENGTH = 1_000_000
# The `generation` marks say what is trained: the answer and its stop token (models/training/chat.py). A prompt needs
# nothing behind the question's newline, so that it begins the answered conversation.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '\\n' }}{% endif %}{% endfor %}"
)


def character_tokenizer() -> Tokenizer:
    """One token a character; any other character is `<unk>`."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {token: place for place, token in enumerate((*SPECIAL, *CHARACTERS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    # Without a decoder, tokens are joined by spaces.
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return tokenizer


def save_tokenizer(folder: Path) -> None:
    """Write the files that `transformers.AutoTokenizer` loads, chat template included."""
    folder.mkdir(parents=True, exist_ok=True)
    character_tokenizer().save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": UNK,
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "additional_special_tokens": [TURN_END],
        "model_max_length": MAX_LENGTH,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))

"""Conversations as token ids and a trained mask, by the chat template in the tokenizer's own folder.

The template a server renders with is the one trained on; its `{% generation %}` marks say what is trained: the content
of every assistant turn and the stop token that ends it. A row that cannot be rendered is Refused with a reason for
the ledger.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from transformers import AutoTokenizer, BatchEncoding, PreTrainedTokenizerFast

# InternLM2's roles; `environment` brings a tool's result (chat_format.md of the released models).
ROLES = ("system", "user", "assistant", "environment")
# A message's name declares or answers a tool; an assistant's content calls one (chat_format.md).
TOOLS = ("<|plugin|>", "<|interpreter|>")
CALL_TOKENS = ("<|action_start|>", "<|action_end|>", *TOOLS)
REWARD_TOKEN = "<|reward|>"
GENERATION_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")

Message = Mapping[str, str]


class Rendered(NamedTuple):
    """One document: its token ids and, per token, whether its prediction is trained."""

    tokens: list[int]
    trained: list[bool]


class Refused(ValueError):
    """A row that must not be trained on. `reason` is the same for all rows of a kind: the ledger counts by it."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer saved in `folder`, with or without a chat template. Raises ValueError when there is none."""
    if not (folder / "tokenizer.json").exists():
        raise ValueError(f"{folder / 'tokenizer.json'} is missing: save the tokenizer to this folder first")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ValueError(f"{folder} holds no fast tokenizer: the mask needs one that knows its tokens' characters")
    return tokenizer


def load_chat_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer saved in `folder`. Raises ValueError when it or its template cannot be trained with."""
    tokenizer = load_tokenizer(folder)
    if not isinstance(tokenizer.chat_template, str):
        raise ValueError(f"{folder} must hold exactly one chat template: set chat_template in tokenizer_config.json")
    if not GENERATION_MARK.search(tokenizer.chat_template):
        raise ValueError(
            f"the chat template in {folder} does not mark what is trained: put {{% generation %}} and "
            "{% endgeneration %} around an assistant turn's content and stop token"
        )
    return tokenizer


def render(tokenizer: PreTrainedTokenizerFast, messages: Sequence[Message]) -> Rendered:
    """A conversation in full. Trained are all assistant turns with their stop tokens. Raises Refused."""
    found = _apply(tokenizer, messages, answering=False)
    return Rendered(found["input_ids"], [bool(mark) for mark in found["assistant_masks"]])


def generation_prompt(tokenizer: PreTrainedTokenizerFast, messages: Sequence[Message]) -> list[int]:
    """The tokens after which the model writes its answer, as a server sends them. Raises Refused."""
    tokens: list[int] = _apply(tokenizer, messages, answering=True)["input_ids"]
    return tokens


def preference_pair(
    tokenizer: PreTrainedTokenizerFast, prompt: Sequence[Message], chosen: str, rejected: str
) -> tuple[Rendered, Rendered]:
    """The chosen and the rejected document for DPO; trained is the answer alone, its stop token included.

    Assistant turns inside `prompt` are context. Raises Refused, and ValueError for a template whose prompts do not
    begin their conversations.
    """
    context = generation_prompt(tokenizer, prompt)
    chosen_document, rejected_document = (_answered(tokenizer, prompt, context, text) for text in (chosen, rejected))
    if chosen_document == rejected_document:
        raise Refused("chosen equals rejected", f"both answers are the {len(chosen_document.tokens)} same tokens")
    return chosen_document, rejected_document


def reward_pair(
    tokenizer: PreTrainedTokenizerFast,
    prompt: Sequence[Message],
    chosen: str,
    rejected: str,
    system_prompt: str | None = None,
) -> tuple[Rendered, Rendered]:
    """The chosen and the rejected document for a reward model: nothing is trained, the last token is `<|reward|>`.

    `system_prompt` is the domain's condition and comes before the prompt's own messages (arXiv 2403.17297, section
    4.2.1). Raises as `preference_pair`, and ValueError for a tokenizer without `<|reward|>`.
    """
    condition = [] if system_prompt is None else [{"role": "system", "content": system_prompt}]
    pair = preference_pair(tokenizer, [*condition, *prompt], chosen, rejected)
    reward = reward_token_id(tokenizer)
    chosen_document, rejected_document = (
        Rendered([*tokens, reward], [False] * (len(tokens) + 1)) for tokens, _ in pair
    )
    return chosen_document, rejected_document


def system_turn(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """The tokens a system message puts in front of a conversation, behind its `bos` token.

    Raises Refused, and ValueError for a template that puts them elsewhere.
    """
    question = {"role": "user", "content": "?"}
    plain, whole = (generation_prompt(tokenizer, messages) for messages in (
        [question], [{"role": "system", "content": text}, question]
    ))  # fmt: skip
    bos = plain[:1] if plain[0] == tokenizer.bos_token_id else []
    rest = plain[len(bos) :]
    if whole[: len(bos)] != bos or whole[-len(rest) :] != rest:
        raise ValueError("the chat template changes a conversation that follows a system message")
    return whole[len(bos) : -len(rest)]


def stop_token_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """The id of the token that ends an answer: the last that is trained."""
    return _answer_end(tokenizer)[0]


def reward_closing(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """What follows an answer's stop token in a reward model's document, up to and with `<|reward|>`.

    A sampled answer is scored on `generation_prompt(...) + its tokens + reward_closing(...)`: as it was sampled, not
    tokenized again.
    """
    return [*_answer_end(tokenizer)[1], reward_token_id(tokenizer)]


def reward_token_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """The id of `<|reward|>`; raises ValueError for a tokenizer without it."""
    found = tokenizer.get_vocab().get(REWARD_TOKEN)
    if found is None:
        raise ValueError(f"the tokenizer has no {REWARD_TOKEN}: use one made by internlm2/tokenizer, or add the token")
    return found


def check(tokenizer: PreTrainedTokenizerFast, messages: Sequence[Message]) -> None:
    """Raises Refused for messages that are not a conversation, or that would put special tokens where none belong.

    A server's tokenizer reads a special token's spelling as the token, in any text; such a text can neither be
    rendered as it was meant nor as it will be served.
    """
    if not messages:
        raise Refused("no messages", "the conversation is empty")
    special = _special_spelling(tuple(token.content for token in tokenizer.added_tokens_decoder.values()))
    for place, message in enumerate(messages):
        role, content, name = message.get("role"), message.get("content"), message.get("name")
        if role not in ROLES:
            raise Refused("unknown role", f"message {place} has role {role!r}; use one of {', '.join(ROLES)}")
        if not isinstance(content, str):
            raise Refused("content is not text", f"message {place} has content {content!r}")
        allowed = CALL_TOKENS if role == "assistant" else ()
        injected = [token for token in special.findall(content) if token not in allowed]
        if injected:
            raise Refused("special token in content", f"message {place}, from {role}, spells out {injected[0]}")
        if name is not None and name not in TOOLS and (not re.fullmatch(r"\S+", name) or special.search(name)):
            raise Refused("unusable name", f"message {place} has name {name!r}; use one word or {' or '.join(TOOLS)}")


def _apply(tokenizer: PreTrainedTokenizerFast, messages: Sequence[Message], *, answering: bool) -> BatchEncoding:
    check(tokenizer, messages)
    found = tokenizer.apply_chat_template(
        [dict(message) for message in messages],
        add_generation_prompt=answering,
        return_dict=True,
        return_assistant_tokens_mask=not answering,
    )
    assert isinstance(found, BatchEncoding)
    return found


def _answer_end(tokenizer: PreTrainedTokenizerFast) -> tuple[int, list[int]]:
    """An answer's stop token, and what follows it."""
    tokens, trained = render(tokenizer, [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}])
    stop = max(place for place, mark in enumerate(trained) if mark)
    return tokens[stop], tokens[stop + 1 :]


def _answered(
    tokenizer: PreTrainedTokenizerFast, prompt: Sequence[Message], context: list[int], answer: str
) -> Rendered:
    tokens, trained = render(tokenizer, [*prompt, {"role": "assistant", "content": answer}])
    if tokens[: len(context)] != context:
        raise ValueError("the chat template renders a prompt unlike the beginning of its answered conversation")
    return Rendered(tokens, [False] * len(context) + trained[len(context) :])


@lru_cache(maxsize=8)
def _special_spelling(tokens: tuple[str, ...]) -> re.Pattern[str]:
    # Longest first, so that a token that begins another is not reported in its place.
    return re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) or r"(?!)")

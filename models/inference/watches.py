"""What ends an answer beside its stop tokens, or forbids tokens: stop strings, and the grammar of a JSON schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

if TYPE_CHECKING:
    from llguidance import LLTokenizer

# Text is searched after every so many tokens: decoding it after each would cost as much as the model.
SEARCH_PERIOD = 8


class StopStrings:
    """Ends an answer soon after the first of the strings; `cut` takes away what is too much."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, strings: tuple[str, ...]) -> None:
        self._tokenizer = tokenizer
        self._strings = strings
        self._tokens: list[int] = []

    def allowed(self) -> None:
        return None

    def ended_by(self, token: int) -> bool:
        self._tokens.append(token)
        return len(self._tokens) % SEARCH_PERIOD == 0 and self._found(self._tokens) is not None

    def cut(self, tokens: list[int]) -> tuple[int, str] | None:
        """How many of the tokens are the answer's, up to the one that completed a string, and its text before it;
        None when no string is in it."""
        if self._found(tokens) is None:
            return None
        count = len(tokens)
        while self._found(tokens[: count - 1]) is not None:
            count -= 1
        place = self._found(tokens[:count])
        return count, self._text(tokens[:count])[:place]

    def _found(self, tokens: list[int]) -> int | None:
        text = self._text(tokens)
        places = [place for string in self._strings if (place := text.find(string)) >= 0]
        return min(places, default=None)

    def _text(self, tokens: list[int]) -> str:
        return answer_text(self._tokenizer, tokens)


class Grammar:
    """Allows what a JSON schema allows, token by token, and ends an answer that is complete.

    Raises ValueError for a schema that cannot be obeyed.
    """

    def __init__(self, tokenizer: LLTokenizer, json_schema: str) -> None:
        from llguidance import LLMatcher
        from llguidance.numpy import allocate_token_bitmask

        # Where white space is free, a weak model may write nothing else.
        grammar = LLMatcher.grammar_from_json_schema(json_schema, overrides={"whitespace_flexible": False})
        self._matcher = LLMatcher(tokenizer, grammar)
        self._bits = allocate_token_bitmask(1, tokenizer.vocab_size)
        self._vocabulary = tokenizer.vocab_size
        self._raise()

    def allowed(self) -> NDArray[np.bool_]:
        from llguidance.numpy import fill_next_token_bitmask

        fill_next_token_bitmask(self._matcher, self._bits)
        bits = np.unpackbits(self._bits.view(np.uint8), bitorder="little")
        return bits[: self._vocabulary].astype(bool)

    def ended_by(self, token: int) -> bool:
        self._matcher.consume_token(token)
        self._raise()
        return self._matcher.is_stopped()

    def _raise(self) -> None:
        if self._matcher.is_error():
            raise ValueError(f"the JSON schema cannot be obeyed: {self._matcher.get_error()}")


class Both:
    """A grammar and stop strings on one answer."""

    def __init__(self, grammar: Grammar, strings: StopStrings) -> None:
        self._grammar = grammar
        self._strings = strings

    def allowed(self) -> NDArray[np.bool_]:
        return self._grammar.allowed()

    def ended_by(self, token: int) -> bool:
        ended = self._grammar.ended_by(token)
        return self._strings.ended_by(token) or ended


def answer_text(tokenizer: PreTrainedTokenizerFast, tokens: list[int]) -> str:
    """The text of an answer, without special tokens."""
    text = tokenizer.decode(tokens, skip_special_tokens=True)
    assert isinstance(text, str)
    return text

"""The generator's token ids: prompts by its own chat template, and answers in steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from assets.fastmcts.search import Shot
from assets.fastmcts.steps import Marker, split_steps
from assets.fastmcts.tree import Step


class ChatCodec:
    """Text and token ids of a checkpoint folder whose tokenizer has a chat template."""

    def __init__(self, folder: Path, marker: Marker) -> None:
        from models.training.chat import generation_prompt, load_chat_tokenizer

        self._tokenizer, self._marker = load_chat_tokenizer(folder), marker
        self._generation_prompt = generation_prompt
        self._pieces: dict[int, str] = {}
        # A tree asks for its question with every simulation, and a template takes a millisecond.
        self._questions: dict[str, tuple[int, ...]] = {}

    def prompt(self, question: str, shots: Sequence[Shot]) -> tuple[int, ...]:
        """Solved examples as earlier turns, and the question. Raises `chat.Refused`."""
        if shots:
            return self._rendered(question, shots)
        if question not in self._questions:
            self._questions[question] = self._rendered(question, ())
        return self._questions[question]

    def _rendered(self, question: str, shots: Sequence[Shot]) -> tuple[int, ...]:
        turns = [
            turn
            for shot in shots
            for turn in (
                {"role": "user", "content": shot.question},
                {"role": "assistant", "content": shot.solution},
            )
        ]
        return tuple(self._generation_prompt(self._tokenizer, [*turns, {"role": "user", "content": question}]))

    def text(self, tokens: Sequence[int]) -> str:
        """An answer's text, without special tokens."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def steps(self, tokens: Sequence[int]) -> list[Step]:
        """The tokens in steps."""
        return split_steps(tokens, [self._piece(token) for token in tokens], self._marker)

    def _piece(self, token: int) -> str:
        if token not in self._pieces:
            self._pieces[token] = self.text([token])
        return self._pieces[token]

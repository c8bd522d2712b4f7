"""What the starting checkpoint reads: library code without the packages that are held out. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from assets.case2code.behaviour import split_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from models.training.examples import Examples


def is_heldout(package: str, share: float) -> bool:
    """Whether nothing of a package may be trained on: `share` of all names, by hash."""
    return split_of(package, valid_share=0.0, test_share=share) == "test"


def code_examples(
    documents: Iterable[tuple[str, str]], tokenizer: PreTrainedTokenizerFast, *, sequence_length: int, n_tokens: int
) -> Examples:
    """Each (id, text) between `<s>` and `</s>`, cut into pieces of at most `sequence_length` tokens; all is trained.

    Documents are taken until they hold `n_tokens`, or all of them.
    """
    from models.training.examples import build_examples

    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id

    def rows() -> Iterator[tuple[str, Sequence[tuple[list[int], list[bool]]]]]:
        taken = 0
        for name, text in documents:
            if taken >= n_tokens:
                return
            tokens = [bos, *tokenizer.encode(text, add_special_tokens=False), eos]
            taken += len(tokens)
            for start in range(0, len(tokens), sequence_length):
                piece = tokens[start : start + sequence_length]
                if len(piece) > 1:
                    yield name, [(piece, [True] * len(piece))]

    return build_examples(rows())

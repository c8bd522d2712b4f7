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
    documents: Iterable[tuple[str, str]], tokenizer: PreTrainedTokenizerFast, sequence_length: int
) -> Examples:
    """Each (id, text) between `<s>` and `</s>`, cut into pieces of at most `sequence_length` tokens; all is trained."""
    from models.training.examples import build_examples

    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id

    def rows() -> Iterator[tuple[str, Sequence[tuple[list[int], list[bool]]]]]:
        for name, text in documents:
            tokens = [bos, *tokenizer.encode(text, add_special_tokens=False), eos]
            for start in range(0, len(tokens), sequence_length):
                piece = tokens[start : start + sequence_length]
                if len(piece) > 1:
                    yield name, [(piece, [True] * len(piece))]

    return build_examples(rows())

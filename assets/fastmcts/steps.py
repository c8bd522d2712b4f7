"""Where the steps of an answer begin, on token ids: what was sampled is never tokenised again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal

from assets.fastmcts.tree import Step

Marker = Literal["\n", "Step"]
# A line of its own, empty ones going with the line before; or a line that names its step, "Step 3: ...".
_BEGINNINGS: Final[dict[Marker, re.Pattern[str]]] = {
    "\n": re.compile(r"(?<=\n)(?=[^\n])"),
    "Step": re.compile(r"^(?=Step \d)", re.MULTILINE),
}


def split_steps(tokens: Sequence[int], pieces: Sequence[str], marker: Marker) -> list[Step]:
    """The tokens of an answer, or of its end, in steps; `pieces` are their texts, empty for special tokens.

    A token that holds the end of one step and the beginning of the next belongs to the next. The steps joined are the
    tokens.
    """
    begins = [0]
    places = iter(match.start() for match in _BEGINNINGS[marker].finditer("".join(pieces)))
    wanted, end = next(places, None), 0
    for token, piece in enumerate(pieces):
        end += len(piece)
        while wanted is not None and wanted < end:
            begins.append(token)
            wanted = next(places, None)
    bounds = [*sorted(set(begins)), len(tokens)]
    return [tuple(tokens[begin:finish]) for begin, finish in pairwise(bounds) if finish > begin]

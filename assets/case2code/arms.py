"""What each arm is trained on and how it is asked. No I/O.

All trained arms start from one checkpoint and read the same number of tokens, prompts and padding included, in the same
number of equal steps. Plain code is shorter than a prompt with its answer, so that arm sees the programs more often,
and every token of it is trained: the control is not short of compute. `epochs_of` says how often.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Literal

from assets.case2code.render import LEAD_IN, STYLES, Sample, StyleName, render_answer, render_sample
from assets.case2code.schema import Cases
from models.inference.engine import Message, Prompt, Sampling

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from models.training.examples import Examples

Arm = Literal["few_shot", "plain_code", "single", "diverse"]
TRAINED_ARMS: tuple[Arm, ...] = ("plain_code", "single", "diverse")
ARMS: tuple[Arm, ...] = ("few_shot", *TRAINED_ARMS)
# The arms that see cases, and the form of their prompts; the others see none before they are asked.
STYLE_OF: Mapping[Arm, StyleName] = {"single": "single", "diverse": "diverse"}
HELD_EQUAL = (
    "starting checkpoint, programs, training tokens (prompts included), steps, batches, learning rates, problems"
)
FENCE = f"{LEAD_IN}\n\n```python\n"
# Where a model that was only shown examples ends its answer.
FENCE_END = "```"
_QUOTED_WORD = re.compile(r"'[A-Za-z]+'")


def question(cases: Cases, style: StyleName, seed: int, *, max_shown: int) -> Sample | None:
    """A prompt that shows at most the first `max_shown` cases, so that the others stay hidden; None when too long.

    What is drawn depends on the cases, the style and the seed alone.
    """
    visible = replace(
        cases,
        arguments=cases.arguments[:max_shown],
        example_inputs=cases.example_inputs[:max_shown],
        example_outputs=cases.example_outputs[:max_shown],
    )
    return render_sample(visible, STYLES[style], Random(f"{cases.id}:{style}:{seed}"))


def tokenizer_text(text: str) -> str:
    """The text with every quoted word replaced by a digit, which is always a token of its own.

    A tokenizer trained on random words merges their letters, and the constants that an answer must copy would be cut
    otherwise in every word they stand in.
    """
    return _QUOTED_WORD.sub("'0'", text)


def chat_examples(
    samples: Iterable[tuple[str, Sample]], tokenizer: PreTrainedTokenizerFast, *, trains_prompts: bool
) -> Examples:
    """Each (id, sample) as a conversation. Raises `chat.Refused`.

    The answer is trained, and with `trains_prompts` all else too: to predict an output from the cases before it is
    itself induction.
    """
    from models.training.chat import render
    from models.training.examples import build_examples

    def rows() -> Iterator[tuple[str, Sequence[tuple[list[int], list[bool]]]]]:
        for name, sample in samples:
            turns = [{"role": "user", "content": sample.prompt}, {"role": "assistant", "content": sample.output}]
            tokens, trained = render(tokenizer, turns)
            yield name, [(tokens, [True] * len(tokens) if trains_prompts else trained)]

    return build_examples(rows())


def plain_examples(programs: Iterable[tuple[str, str]], tokenizer: PreTrainedTokenizerFast) -> Examples:
    """Each (id, code) as a fenced program of its own between `<s>` and `</s>`; all of it is trained.

    The fence and the lead-in are those of the answers: the arm learns how an answer looks, but not what it is for.
    """
    from models.training.examples import build_examples

    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id

    def rows() -> Iterator[tuple[str, Sequence[tuple[list[int], list[bool]]]]]:
        for name, code in programs:
            tokens = [bos, *tokenizer.encode(render_answer(code), add_special_tokens=False), eos]
            yield name, [(tokens, [True] * len(tokens))]

    return build_examples(rows())


def epochs_needed(examples: Examples, tokens: int) -> int:
    """Whole epochs that hold at least `tokens` tokens, padding not counted."""
    return -(-tokens // int(examples.lengths.sum()))


def epochs_of(examples: Examples, tokens: int) -> float:
    """How often a run of `tokens` tokens, padding not counted, goes through the examples."""
    return tokens / int(examples.lengths.sum())


def few_shot_prompt(shots: Sequence[Sample], question: str) -> Prompt:
    """Solved examples and the question as one text, for a model that was never trained on conversations.

    It ends inside the fence of the answer, so that the first token asked for is code.
    """
    solved = "".join(f"{shot.prompt.rstrip()}\n\n{shot.output}\n\n\n" for shot in shots)
    return f"{solved}{question.rstrip()}\n\n{FENCE}"


def chat_question(question: str) -> Prompt:
    """The question as the arms that were trained on conversations know it."""
    return (Message("user", question),)


def sampling_of(arm: Arm, *, max_new_tokens: int, temperature: float, top_p: float) -> Sampling:
    """How an arm's answers are drawn: those to a few-shot prompt end with the fence."""
    stop = () if arm in STYLE_OF else (FENCE_END,)
    return Sampling(max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, stop=stop)

"""What scores the answers of a rollout run: a callable over token ids, and InternLM2's conditional reward model.

Text is never tokenised again between rollout and reward: the reward model reads the very ids the policy wrote.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from models.architecture.heads import RewardModel
from models.training.prompts import Prompt
from models.training.rollout_batch import padded


@dataclass(frozen=True)
class Answer:
    """A prompt and the response to it, as token ids, its stop token included."""

    prompt: Prompt
    response: tuple[int, ...]


# Scores, one per answer and all finite. It must depend on the answers alone, or a resumed run is another run.
Reward = Callable[[Sequence[Answer]], Sequence[float]]


def reward_tokens(
    answer: Answer, system_prompt: Sequence[int], closing: Sequence[int], bos: int | None = None
) -> list[int]:
    """What the reward model reads: system prompt, prompt, response and what closes it (see `chat.reward_closing`).

    The conditional system prompt is part of this input alone (InternLM2, arXiv 2403.17297, section 4.2.3). A prompt's
    `bos` token stays in front of all. The score stands at the last token.
    """
    prompt = list(answer.prompt.tokens)
    first = [prompt.pop(0)] if bos is not None and prompt[0] == bos else []
    return [*first, *system_prompt, *prompt, *answer.response, *closing]


class ConditionalReward:
    """Scores of a frozen reward model that is told the answer's domain by a system prompt.

    `system_prompts` holds the token ids of a whole system turn by domain; `rows` answers are computed at a time (that
    bounds memory only). Raises ValueError for an answer of a domain without one.
    """

    def __init__(
        self,
        model: RewardModel,
        system_prompts: Mapping[str, Sequence[int]],
        closing: Sequence[int],
        bos: int | None = None,
        rows: int = 64,
    ) -> None:
        self.model = model
        self.system_prompts = dict(system_prompts)
        self.closing = tuple(closing)
        self.bos = bos
        self.rows = rows

    @property
    def max_answer_tokens(self) -> int:
        """The longest prompt and response together that fit beside every system prompt."""
        return self.model.decoder.config.max_length - len(self.closing) - max(map(len, self.system_prompts.values()))

    @torch.no_grad()
    def __call__(self, answers: Sequence[Answer]) -> list[float]:
        inputs = [reward_tokens(answer, self._system_prompt(answer), self.closing, self.bos) for answer in answers]
        scores: list[float] = []
        for first in range(0, len(inputs), self.rows):
            chunk = inputs[first : first + self.rows]
            tokens, lengths = padded(chunk, next(self.model.parameters()).device)
            scores += self.model.scores(tokens).gather(1, lengths[:, None] - 1)[:, 0].tolist()
        return scores

    def _system_prompt(self, answer: Answer) -> Sequence[int]:
        domain = answer.prompt.domain
        if domain not in self.system_prompts:
            raise ValueError(
                f"prompt {answer.prompt.id} is of the domain {domain!r}, which has no system prompt; there are "
                f"{sorted(self.system_prompts)}"
            )
        return self.system_prompts[domain]

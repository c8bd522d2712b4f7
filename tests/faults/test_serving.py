"""A checkpoint that the main job published is served by other engines as it is."""

from pathlib import Path

import pytest

from models.inference.engine import Completion, Engine, Request, Sampling
from models.inference.torch_engine import TorchEngine
from models.inference.vllm import VLLMEngine
from models.inference.vllm_server import VLLMSettings
from tests.faults.checkout import open_lake
from tests.faults.conftest import Undisturbed

PYTHON = Path(__file__).parents[2] / ".venv-vllm/bin/python"
PROMPTS = [(1, 60, 61, 62), (1, 100), (1, 120, 33, 45, 46, 47), (1, 70, 71), (1, *range(40, 60))]
# Sums are taken in another order there; where the two leading logprobs are closer than this, either may lead.
MARGIN = 1e-3


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not PYTHON.exists(), reason="vLLM has an environment of its own: create it with `make vllm`")
def test_vllm_answers_as_the_torch_engine(undisturbed: Undisturbed, tmp_path: Path) -> None:
    """The trained weights, tokenizer and end tokens of the published folder: equal greedy tokens, as far as no choice
    is one of rounding."""
    folder = open_lake(undisturbed.home).get("clusterclip/checkpoint/random", "0").folder
    served = VLLMEngine(
        VLLMSettings(
            folder,
            tmp_path / "vllm.log",
            python=str(PYTHON),
            dtype="float32",
            flags=("--enforce-eager",),
            environment={"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"},
        )
    )
    ours = TorchEngine(folder)
    try:
        theirs, expected = greedy(served), greedy(ours)
    finally:
        served.close()
    compared = 0
    for tokens, own_tokens, prompt in zip(theirs, expected, PROMPTS, strict=True):
        sure = sure_tokens(ours, prompt, own_tokens)
        assert tokens[:sure] == own_tokens[:sure]
        compared += sure
    assert compared > 20


def greedy(engine: Engine) -> list[tuple[int, ...]]:
    """The tokens of each prompt's answer."""
    answers = dict(engine.generate([Request(prompt, Sampling(24, temperature=0.0)) for prompt in PROMPTS]))
    samples = [answer.samples[0] for _, answer in sorted(answers.items()) if isinstance(answer, Completion)]
    return [sample.token_ids or () for sample in samples]


def sure_tokens(engine: TorchEngine, prompt: tuple[int, ...], answer: tuple[int, ...]) -> int:
    """How many tokens of the answer come before the first that rounding could have decided."""
    import torch

    with torch.inference_mode():
        logits = engine.decoder(torch.tensor([[*prompt, *answer]]))[0, len(prompt) - 1 : -1]
    best = logits.topk(2).values
    close = (best[:, 0] - best[:, 1] < MARGIN).nonzero()
    return int(close[0]) if len(close) else len(answer)

"""Checkpoints that vLLM can serve."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.architecture.huggingface import save_folder

VLLM_PYTHON = Path(__file__).parents[3] / ".venv-vllm/bin/python"
SCRIPT = Path(__file__).with_name("vllm_greedy.py")
PROMPTS = ["<s> w7 w9", "<s> w1", "<s> w90 w3 w3 w41 w5 w9", "<s> " + " ".join(f"w{index}" for index in range(30))]
MAX_TOKENS = 20
# Sums are taken in another order there; logits closer than this could change places.
MARGIN = 1e-3
END = 2

# vLLM's attention on the CPU takes head sizes of 32 and more.
CONFIG = DecoderConfig(vocab_size=97, dim=128, n_layers=2, n_heads=4, n_kv_heads=2, ffn_dim=192, max_length=64)


def steep_decoder() -> Decoder:
    """Weights four times the initial ones: fresh ones give nearly equal logits, whose order rounding would decide.

    With this seed one prompt's answer ends with </s> and no two leading logits are near each other.
    """
    decoder = Decoder(CONFIG, seed=12)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(4.0 if parameter.ndim > 1 else 1.0)
    return decoder


def greedy(model: Decoder, tokens: list[int]) -> tuple[list[int], float]:
    """The answer's tokens up to </s>, and the smallest distance of a first logit to the second."""
    answer: list[int] = []
    margin = float("inf")
    while len(answer) < MAX_TOKENS and END not in answer:
        with torch.inference_mode():
            best = model(torch.tensor([tokens + answer]))[0, -1].topk(2)
        answer.append(int(best.indices[0]))
        margin = min(margin, float(best.values[0] - best.values[1]))
    return answer, margin


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not VLLM_PYTHON.exists(), reason="vLLM has an environment of its own: create it with `make vllm`")
def test_vllm_gives_our_greedy_tokens(tmp_path: Path, tokenizer_folder: Path) -> None:
    """vLLM loads the folder unchanged, with its tokenizer, and answers as transformers and our logits do."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    decoder = steep_decoder()
    save_folder(decoder, tmp_path / "checkpoint", tokenizer_folder)
    task = {"folder": str(tmp_path / "checkpoint"), "prompts": PROMPTS, "max_tokens": MAX_TOKENS}
    environment = os.environ | {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        [VLLM_PYTHON, SCRIPT],
        input=json.dumps(task | {"answers": str(tmp_path / "answers.json")}),
        env=environment,
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=540,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    answers = json.loads((tmp_path / "answers.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint")
    lengths = []
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        tokens = tokenizer(prompt)["input_ids"]
        ours, margin = greedy(decoder, tokens)
        assert margin > MARGIN, "two logits are too close for this comparison: draw other weights"
        generated = theirs.generate(torch.tensor([tokens]), max_new_tokens=MAX_TOKENS, do_sample=False)
        assert generated[0, len(tokens) :].tolist() == ours
        assert answer["tokens"] == ours
        assert answer["text"].split() == tokenizer.decode(ours, skip_special_tokens=True).split()
        lengths.append(len(ours))
    assert lengths == [20, 20, 9, 20]

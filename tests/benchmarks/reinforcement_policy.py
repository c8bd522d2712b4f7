"""What the benchmark of reinforcement learning starts from: a policy that solves long chains now and then."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl

from assets.core.rollouts import prompt_ids, right_matrix
from assets.core.verifier.verifier import Verifier
from assets.oreal.look import sampled
from assets.oreal.sft import solved_examples
from assets.worlds.chain_arith.problems import Rule, draw_problems, solve
from assets.worlds.chain_arith.tokenizer import save_tokenizer
from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.architecture.huggingface import save_folder
from models.inference.engine import Sampling
from models.inference.torch_engine import TorchEngine
from models.training.chat import load_chat_tokenizer
from models.training.examples import PackedExamples
from models.training.loop import train
from models.training.objectives import SFT
from models.training.plan import TrainingPlan

MODEL = {"dim": 128, "n_layers": 4, "n_heads": 4, "n_kv_heads": 2, "ffn_dim": 512, "rope_base": 10_000.0}
MAX_NEW_TOKENS = 80
ROW_TOKENS = 180
# Chains of eight to ten operations: solutions of about 60 characters, each a token.
OPERATIONS = 8, 10
RL, SEARCH = 150, 400
SFT_PROBLEMS = 8_000
# Within these an iteration of 16 samples has right and wrong answers, so that all are learned from.
PASS_RATES = 0.2, 0.8


def draw_rows() -> pl.DataFrame:
    """Distinct problems with the columns that a verifier, a policy and a search read, and the solution."""
    drawn = draw_problems(
        modulus=10, min_operations=OPERATIONS[0], max_operations=OPERATIONS[1], skill_share=0.6, seed=0
    )
    rows = []
    for place, (problem, _) in enumerate(islice(drawn, RL + SEARCH + SFT_PROBLEMS)):
        solution, answer = solve(problem, Rule(10))
        rows.append((str(place), problem.question, solution, answer, "exact"))
    return pl.DataFrame(rows, ["id", "question", "gold_solution", "gold_answer", "verifier"], orient="row")


def make_policy(folder: Path, rows: pl.DataFrame, steps: int, threads: int) -> None:
    """A Llama of 1 M parameters, fine-tuned on the rows' solutions for a while."""
    save_tokenizer(folder / "tokenizer")
    tokenizer = load_chat_tokenizer(folder / "tokenizer")
    examples = solved_examples(rows.select("id", "question", "gold_solution").iter_rows(), tokenizer)
    decoder = Decoder(DecoderConfig(vocab_size=len(tokenizer), max_length=ROW_TOKENS, **MODEL))  # type: ignore[arg-type]
    plan = TrainingPlan(
        steps=steps, batch_rows=24, sequence_length=ROW_TOKENS, peak_lr=2e-3, warmup_steps=20, dtype="bfloat16",
        threads=threads,
    )  # fmt: skip
    source = PackedExamples(examples, ROW_TOKENS, plan.batch_rows, epochs=8)
    train(decoder, source, plan, folder / "state", "benchmark", objective=SFT)
    save_folder(decoder, folder / "model", folder / "tokenizer")


def pass_rates(policy: Path, rows: pl.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The share of right answers among 16 to each problem."""
    prompts = prompt_ids(load_chat_tokenizer(policy), rows["question"].to_list())
    with Verifier() as verifier:
        drawn = sampled(TorchEngine(policy), verifier, rows, prompts, Sampling(MAX_NEW_TOKENS), n=16, seed=1)
    return right_matrix(drawn, 16).mean(axis=1)


def fitting(rows: pl.DataFrame, rates: np.ndarray[tuple[int], np.dtype[np.float64]], n: int) -> pl.DataFrame:
    """The first `n` problems that are neither too hard nor too easy."""
    found = rows.filter(pl.Series((rates >= PASS_RATES[0]) & (rates <= PASS_RATES[1]))).head(n)
    if found.height < n:
        raise SystemExit(f"{found.height} of {n} problems have a pass rate within {PASS_RATES}: change --policy-steps")
    return found

"""A decoder that solves some problems of a tiny ChainArith some of the time, trained in seconds."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path

import polars as pl

from assets.core.problems import problems_frame
from assets.worlds.chain_arith.problems import Rule, draw_problems, solve
from assets.worlds.chain_arith.tokenizer import save_tokenizer

WORLD = Rule(3)
SPLITS = ("sft", "search", "search", "test")
STEPS = 40


def problems(count: int = 48) -> pl.DataFrame:
    """Chains of two or three operations modulo 3, without repetitions, in splits by turns."""
    drawn = draw_problems(modulus=3, min_operations=2, max_operations=3, skill_share=0.6, seed=0)
    distinct = {each.problem.question: each for each in islice(drawn, 400)}
    rows = []
    for (question, (problem, skill)), split in zip(islice(distinct.items(), count), cycle(SPLITS), strict=False):
        solution, answer = solve(problem, WORLD)
        rows.append(
            {
                "id": question, "parents": [], "split": split, "question": question, "gold_answer": answer,
                "gold_solution": solution, "difficulty": len(problem.operators), "skill": skill, "verifier": "exact",
            }
        )  # fmt: skip
    return problems_frame(rows)


def train_policy(folder: Path, state: Path) -> None:
    """A checkpoint folder of a policy that has seen the solutions of all problems, too seldom to know them."""
    from models.architecture.config import DecoderConfig
    from models.architecture.decoder import Decoder
    from models.architecture.huggingface import save_folder
    from models.training.chat import load_chat_tokenizer, render
    from models.training.examples import PackedExamples, build_examples
    from models.training.loop import train
    from models.training.objectives import SFT
    from models.training.plan import TrainingPlan

    save_tokenizer(state / "tokenizer")
    tokenizer = load_chat_tokenizer(state / "tokenizer")
    examples = build_examples(
        (name, [render(tokenizer, [{"role": "user", "content": question}, {"role": "assistant", "content": solution}])])
        for name, question, solution in problems().select("id", "question", "gold_solution").iter_rows()
    )
    decoder = Decoder(
        DecoderConfig(vocab_size=len(tokenizer), dim=48, n_layers=2, n_heads=3, n_kv_heads=1, ffn_dim=96, max_length=96)
    )
    plan = TrainingPlan(
        steps=STEPS, batch_rows=8, sequence_length=64, peak_lr=1e-2, warmup_steps=5, threads=1, schedule="constant"
    )  # fmt: skip
    train(decoder, PackedExamples(examples, 64, 8, epochs=STEPS), plan, state / "trainer", "small", objective=SFT)
    save_folder(decoder, folder, state / "tokenizer")

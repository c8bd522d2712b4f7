"""From graded rollouts to what an update learns from."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from assets.core.errors import AthanorError
from assets.core.rollouts import GRADED
from assets.oreal.arms import ARMS
from assets.oreal.trajectories import SCORED, policy_updates, reward_updates, select, weigh_tokens
from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.architecture.heads import TokenRewardModel

N = 4
# Of the prompts 0 and 4 teach nothing; 1, 2 and 3 have p of 1/4, 2/4 and 3/4.
RIGHT = np.array([[0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 1], [1, 1, 0, 1], [1, 1, 1, 1]], dtype=bool)
PROMPTS = {f"p{number}": (1, 2 + number) for number in range(5)}


def graded(right: np.ndarray = RIGHT) -> pl.DataFrame:
    rows = [
        {
            "id": f"{place}-{k}", "parents": [f"p{place % 5}"], "problem_id": f"p{place % 5}", "k": k, "text": "",
            "token_ids": [3 + k, 9, 8 + place % 5][: 2 + k % 2], "logprobs": [-1.0] * (2 + k % 2), "ended": True,
            "tokens": 2 + k % 2, "outcome": "right" if yes else "wrong", "extracted": "",
            "reward": 1.0 if yes else -1.0,
        }
        for place, row in enumerate(right)
        for k, yes in enumerate(row)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=GRADED)


def scored(arm: str = "oreal", updates: int = 3, right: np.ndarray = RIGHT, seed: int = 0) -> pl.DataFrame:
    return select(graded(right), ARMS[arm], n=N, updates=updates, iteration=2, seed=seed)


@pytest.mark.parametrize(
    ("arm", "prompt", "right", "wrong"),
    [
        ("oreal", 1, 1.0, 3 / 4), ("oreal", 3, 1.0, 1 / 4), ("cloning", 2, 1.0, 1 / 2),
        # 2 K (1 - p) / (K - 1) and 2 K p / (K - 1) for K = 4.
        ("oreal_repo", 1, 2.0, 2 / 3), ("oreal_repo", 3, 2 / 3, 2.0),
        # (r - mean) / std for r = +1, -1: mean -1/2, std sqrt(3)/2.
        ("shaping", 1, 3**0.5, 3**-0.5), ("shaping", 2, 1.0, 1.0),
        ("reinforce", 1, 1.0, 0.0), ("rft", 3, 1.0, 0.0),
    ],
)  # fmt: skip
def test_weights_are_those_of_the_arm(arm: str, prompt: int, right: float, wrong: float) -> None:
    """Protects what tells the arms apart, by values computed by hand."""
    rows = scored(arm).filter(pl.col("place") == prompt)
    found = {outcome: set(rows.filter(pl.col("outcome") == outcome)["weight"]) for outcome in ("right", "wrong")}
    assert {round(each, 6) for each in found["right"]} == {round(right, 6)}
    assert {round(each, 6) for each in found["wrong"]} == {round(wrong, 6)}


@pytest.mark.parametrize("arm", ARMS)
def test_prompts_without_a_difference_are_not_kept(arm: str) -> None:
    """Protects from prompts with p of 0 and 1; of the others one answer of each kind, or all, is in one update."""
    rows = scored(arm)
    assert rows.columns == SCORED.names()
    kept = rows.drop_nulls("update")
    assert sorted(set(kept["place"])) == [1, 2, 3]
    assert rows.filter(pl.col("informative"))["place"].unique().sort().to_list() == [1, 2, 3]
    assert set(rows.filter(pl.col("place").is_in([0, 4]))["weight"]) == {0.0}
    per_prompt = kept.group_by("place").agg(
        pl.len(), updates=pl.col("update").n_unique(), right=(pl.col("outcome") == "right").sum()
    )
    assert set(per_prompt["updates"]) == {1}
    if ARMS[arm].keeps == "one_each":
        assert (set(per_prompt["len"]), set(per_prompt["right"])) == ({2}, {1})
    else:
        assert set(per_prompt["len"]) == {N}


def test_too_few_prompts_to_learn_from() -> None:
    """Protects from an update without data: the message says what to change."""
    with pytest.raises(AthanorError, match=r"iteration 2: of 5 prompts 3 .* 4 updates.*\n.*ask more prompts"):
        scored(updates=4)


def test_seed_and_iteration_alone_choose() -> None:
    """Protects resumed runs: the same again, another seed another choice."""
    many = np.tile(RIGHT, (6, 1))
    assert scored(right=many).equals(scored(right=many))
    assert not scored(right=many)["update"].equals(scored(right=many, seed=1)["update"])


def reward_model() -> TokenRewardModel:
    config = DecoderConfig(vocab_size=16, dim=8, n_layers=1, n_heads=2, n_kv_heads=1, ffn_dim=16, max_length=16)
    torch.manual_seed(0)
    return TokenRewardModel(Decoder(config, seed=0), head_spread=3.0)


@pytest.mark.parametrize("rescale", [True, False])
def test_token_weights_of_kept_rows_alone(rescale: bool) -> None:
    """Kept rows get one weight a token; rescaled, those of an update's right and of its wrong answers are 1 in the mean
    over tokens. Other rows keep their ones."""
    many = np.tile(RIGHT, (6, 1))
    before = scored(right=many, updates=2)
    after = weigh_tokens(before, PROMPTS, reward_model(), threshold=0.0, rescale=rescale)
    assert after.drop("token_weights").equals(before.drop("token_weights"))
    assert after["token_weights"].list.len().equals(before["tokens"].cast(pl.UInt32), check_names=False)
    assert set(after.filter(pl.col("update").is_null())["token_weights"].explode()) == {1.0}
    means = (
        after.drop_nulls("update").explode("token_weights").group_by("update", "outcome")
        .agg(pl.col("token_weights").mean())["token_weights"].to_numpy()
    )  # fmt: skip
    assert len(means) == 4
    assert np.allclose(means, 1.0, atol=1e-5) == rescale
    assert set(after.filter(pl.col("update") == 0)["token_weights"].explode()) != {1.0}


def test_updates_hold_the_kept_rows_in_order() -> None:
    """Protects the data of each step: kept rows and no others, in the order of the prompts, ids, tokens and weights as
    they were sampled."""
    rows = scored("shaping", right=np.tile(RIGHT, (4, 1)), updates=3)
    updates = policy_updates(rows, PROMPTS)
    expected = [rows.filter(pl.col("update") == number)["id"].to_list() for number in range(3)]
    assert [[each.id for each in update] for update in updates] == expected
    by_id = {row["id"]: row for row in rows.iter_rows(named=True)}
    for each in updates[0]:
        row = by_id[each.id]
        assert list(each.response) == row["token_ids"]
        assert each.prompt == PROMPTS[row["problem_id"]]
        assert (each.right, each.weight) == (row["outcome"] == "right", row["weight"])


def test_the_reward_model_may_learn_from_all_answers() -> None:
    """`kept` is what the policy learns from; `all` is every answer of the same prompts, each in its prompt's update,
    however rows are repeated; a problem that is asked twice stays two prompts."""
    rows = scored(right=np.tile(RIGHT, (4, 1)), updates=3)
    assert reward_updates(rows, PROMPTS, "kept") == policy_updates(rows, PROMPTS)
    every = reward_updates(rows, PROMPTS, "all")
    place = dict(rows.select("id", "place").iter_rows())
    assert [len(update) for update in every] == [4 * N] * 3
    assert [{place[each.id] for each in update} for update in every] == [
        {place[each.id] for each in update} for update in policy_updates(rows, PROMPTS)
    ]
    assert reward_updates(rows, PROMPTS, "all") == every

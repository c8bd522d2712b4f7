"""ChainArith's assets, and that its tokenizer passes everything that trains, runs or serves a model."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from assets.core.lake import Dataset, Lake
from assets.core.problems import PROBLEMS
from assets.core.resources import LakeResource
from assets.core.verifier.exact import grade_exact
from assets.core.verifier.outcome import Answer
from assets.worlds.chain_arith.assets import chain_arith, chain_arith_tokenizer
from assets.worlds.chain_arith.config import PAPER, TINY, ProblemsConfig
from assets.worlds.chain_arith.tokenizer import CHARACTERS, save_tokenizer

SMALL = ProblemsConfig(n_sft=300, n_rl=80, n_search=20, n_valid=20, n_test=40)


def build(folder: Path, config: ProblemsConfig) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [chain_arith],
        resources={"lake": LakeResource(root=str(folder / "lake"), work=str(folder / "work"))},
        run_config={"ops": {"worlds__chain_arith": {"config": config.model_dump(mode="json")}}},
        raise_on_error=False,
    )


def built(folder: Path, key: str = "worlds/chain_arith") -> Dataset:
    return Lake(str(folder / "lake"), folder / "work").get(key)


@pytest.mark.parametrize("order", ["left_to_right", "precedence"])
def test_problems_are_published_with_their_checks(tmp_path: Path, order: str) -> None:
    """Rows by the shared schema; every gold answer is what the verifier of the world accepts."""
    result = build(tmp_path, SMALL.model_copy(update={"order": order}))
    assert result.success
    assert {check.check_name for check in result.get_asset_check_evaluations() if check.passed} == {
        "ledger_adds_up", "no_evaluation_problem_in_training", "solutions_check_out"
    }  # fmt: skip
    dataset = built(tmp_path)
    rows = dataset.read()
    assert rows.schema == PROBLEMS
    assert dict(rows["split"].value_counts().iter_rows()) == SMALL.sizes
    assert rows["id"].n_unique() == rows.height
    for row in rows.iter_rows(named=True):
        answer = Answer(row["question"], row["gold_answer"], row["gold_solution"], True)
        assert grade_exact(answer).outcome == "right"
    assert dataset.manifest.metadata["rule"] == {"modulus": 10, "order": order}
    assert sum(dataset.manifest.metadata["difficulty"]["test"].values()) == 40


def test_a_seed_gives_the_same_rows_and_another_others(tmp_path: Path) -> None:
    """The world is a function of its configuration."""
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert build(tmp_path / name, SMALL.model_copy(update={"seed": seed})).success
    first, again, other = (built(tmp_path / name).digest for name in "abc")
    assert first == again != other


def test_lengths_in_the_wrong_order_are_refused(tmp_path: Path) -> None:
    """The error names the setting."""
    result = build(tmp_path, SMALL.model_copy(update={"min_operations": 7}))
    failures = [str(event.event_specific_data) for event in result.all_events if event.is_step_failure]
    assert "min_operations is above max_operations" in failures[0]


def test_presets_are_the_specifications() -> None:
    """Feasibility configuration and default of the specification: modulus and operations."""
    sizes = [(c.problems.modulus, c.problems.min_operations, c.problems.max_operations) for c in (TINY, PAPER)]
    assert sizes == [(10, 2, 6), (100, 2, 8)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(made)
    return made


def test_the_tokenizer_is_published(tmp_path: Path) -> None:
    """A folder with its files and a row for each of the 23 tokens, both checks passed."""
    result = dg.materialize(
        [chain_arith_tokenizer],
        resources={"lake": LakeResource(root=str(tmp_path / "lake"), work=str(tmp_path / "work"))},
    )
    assert all(check.passed for check in result.get_asset_check_evaluations())
    dataset = built(tmp_path, "worlds/chain_arith_tokenizer")
    assert dataset.rows == 23
    assert (dataset.folder / "tokenizer.json").exists()


def test_text_becomes_characters_and_back(folder: Path) -> None:
    """One token a character; decoding inserts no space; what the world does not have is `<unk>`."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer is not None
    text = "17+5=22\n22*3=66\n66-8=58\n#### 58"
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert len(ids) == len(text)
    assert tokenizer.decode(ids) == text
    assert [tokenizer.decode([token]) for token in ids] == list(text)
    assert tokenizer.encode("a", add_special_tokens=False) == [tokenizer.unk_token_id]
    assert len(tokenizer) == 23 == 5 + len(CHARACTERS)


def test_conversations(folder: Path) -> None:
    """The prompt begins the conversation; trained are the answer and its stop token, nothing else."""
    from models.training.chat import generation_prompt, load_chat_tokenizer, preference_pair, render, stop_token_id

    tokenizer = load_chat_tokenizer(folder)
    question = {"role": "user", "content": "1+2=?"}
    prompt = generation_prompt(tokenizer, [question])
    tokens, trained = render(tokenizer, [question, {"role": "assistant", "content": "1+2=3\n#### 3"}])
    assert tokenizer.decode(tokens) == "<s>1+2=?\n1+2=3\n#### 3<|im_end|>"
    assert tokens[: len(prompt)] == prompt
    assert trained == [False] * len(prompt) + [True] * (len(tokens) - len(prompt))
    assert stop_token_id(tokenizer) == tokens[-1] == tokenizer.convert_tokens_to_ids("<|im_end|>")
    chosen, rejected = preference_pair(tokenizer, [question], "#### 3", "#### 4")
    assert chosen.tokens[: len(prompt)] == rejected.tokens[: len(prompt)] == prompt


def test_model_folders_find_their_ends(folder: Path) -> None:
    """A model saved with this tokenizer ends an answer at `</s>` and `<|im_end|>`, and knows its padding."""
    from models.architecture.folder import answer_ends, special_ids

    assert special_ids(folder, 23) == {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    assert answer_ends(folder) == {"eos_token_id": [2, 4]}

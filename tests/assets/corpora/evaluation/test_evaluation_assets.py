"""The table of evaluation texts: problems of the graph, files of the user's own, and the check of the problems."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.core.decontamination.check import CHECK, EVALUATION_SETS, EVALUATION_TEXTS
from assets.core.lake import Dataset, Lake
from assets.core.resources import LakeResource
from assets.corpora.config import QuestionsConfig
from assets.corpora.evaluation.assets import evaluation_sets, problems_hold_no_evaluation_text
from assets.corpora.evaluation.config import EvaluationSetsConfig
from assets.corpora.problem_assets import problems, questions
from assets.worlds.chain_arith.assets import chain_arith
from assets.worlds.chain_arith.config import ProblemsConfig

CHAINS = ProblemsConfig(n_sft=300, n_rl=80, n_search=20, n_valid=20, n_test=40)


def run(folder: Path, *, evaluation: str = "", asked: str = "") -> dg.ExecuteInProcessResult:
    configs = {
        "worlds__chain_arith": CHAINS,
        "corpora__questions": QuestionsConfig(path=asked),
        "decontamination__evaluation_sets": EvaluationSetsConfig(path=evaluation),
    }
    return dg.materialize(
        [chain_arith, questions, problems, evaluation_sets, problems_hold_no_evaluation_text],
        resources={"lake": LakeResource(root=str(folder / "lake"), work=str(folder / "work"))},
        run_config={"ops": {name: {"config": config.model_dump(mode="json")} for name, config in configs.items()}},
        raise_on_error=False,
    )


def table(folder: Path) -> Dataset:
    return Lake(str(folder / "lake"), folder / "work").get(EVALUATION_SETS)


def check_of(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    [found] = [each for each in result.get_asset_check_evaluations() if each.check_name == CHECK]
    return found


def test_problems_of_the_graph_are_clean(tmp_path: Path) -> None:
    """Validation and test chains with their solutions; no question of the training splits repeats one."""
    result = run(tmp_path)
    assert result.success
    assert check_of(result).passed
    rows = table(tmp_path).read()
    assert rows.schema == EVALUATION_TEXTS
    assert rows["id"].n_unique() == rows.height == 2 * 60
    assert set(rows["evaluation_set"]) == {"worlds/chain_arith"}
    ledger = table(tmp_path).manifest.ledger
    assert ledger is not None
    assert ledger["dropped"] == {"no_evaluation_text": 2 * 400}


def test_files_of_ones_own_are_sets(tmp_path: Path) -> None:
    """A set a file and an item a row, all fields with text; what cannot be read goes to the dead letters."""
    files = tmp_path / "exams"
    files.mkdir()
    lines = ['{"q": "Why is the sky blue?", "n": 3, "a": "Because."}', "{broken", '{"n": 4}']
    (files / "physics.jsonl").write_text("\n".join(lines))
    (files / "art.jsonl").write_text('{"q": "Who painted it?"}\n')
    assert run(tmp_path, evaluation=str(files)).success
    own = table(tmp_path).read().filter(pl.col("evaluation_set") != "worlds/chain_arith")
    assert list(own.select("evaluation_set", "evaluation_id", "text").iter_rows()) == [
        ("art.jsonl", "art.jsonl:1", "Who painted it?"),
        ("physics.jsonl", "physics.jsonl:1", "Why is the sky blue?"),
        ("physics.jsonl", "physics.jsonl:1", "Because."),
    ]
    assert table(tmp_path).dead_letters()["reason"].to_list() == ["broken_json"]


def test_training_problems_that_are_in_ones_own_set_block(tmp_path: Path) -> None:
    """Questions of the user, one of which the user's exam holds with other punctuation."""
    asked = [
        {"question": f"A shop has {place} red pens and sells {place + 1} boxes of them every day, so how many are left "
         f"after {place + 2} days of trade?", "answer": str(place)}
        for place in range(40)
    ]  # fmt: skip
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, asked)))
    (tmp_path / "exam.jsonl").write_text(json.dumps({"question": asked[3]["question"].replace(",", " --").upper()}))
    result = run(tmp_path, evaluation=str(tmp_path / "exam.jsonl"), asked=str(tmp_path / "train.jsonl"))
    found = check_of(result)
    assert not found.passed
    assert "exam.jsonl:1" in (found.description or "")


def test_files_without_text_are_refused(tmp_path: Path) -> None:
    """The error names the setting."""
    (tmp_path / "exam.jsonl").write_text('{"n": 1}\n')
    result = run(tmp_path, evaluation=str(tmp_path / "exam.jsonl"))
    failures = [str(event.event_specific_data) for event in result.all_events if event.is_step_failure]
    assert any("text_fields" in failure for failure in failures)


def test_the_variable_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """ATHANOR_EVALUATION, as for the other inputs of the user."""
    monkeypatch.setenv("ATHANOR_EVALUATION", "/some/exam.jsonl")
    assert EvaluationSetsConfig().path == "/some/exam.jsonl"

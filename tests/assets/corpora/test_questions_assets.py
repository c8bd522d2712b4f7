"""The assets of problems: the user's questions, or ChainArith's where there are none."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.core.lake import Dataset, Lake
from assets.core.problems import PROBLEMS
from assets.core.resources import LakeResource
from assets.corpora.config import ProblemsConfig, QuestionsConfig
from assets.corpora.problem_assets import problems, questions
from assets.worlds.chain_arith.assets import chain_arith
from assets.worlds.chain_arith.config import ProblemsConfig as ChainConfig

CHAIN = ChainConfig(n_sft=40, n_rl=20, n_search=5, n_valid=10, n_test=10)


def build(folder: Path, config: QuestionsConfig, source: str = "auto") -> dg.ExecuteInProcessResult:
    configs = {
        "corpora__questions": config,
        "worlds__chain_arith": CHAIN,
        "corpora__problems": ProblemsConfig(source=source),
    }
    return dg.materialize(
        [questions, chain_arith, problems],
        resources={"lake": LakeResource(root=str(folder / "lake"), work=str(folder / "work"))},
        run_config={"ops": {name: {"config": each.model_dump(mode="json")} for name, each in configs.items()}},
        raise_on_error=False,
    )


def built(folder: Path, key: str) -> Dataset:
    return Lake(str(folder / "lake"), folder / "work").get(key)


def failure(result: dg.ExecuteInProcessResult) -> str:
    return next(str(event.event_specific_data) for event in result.all_events if event.is_step_failure)


def written(folder: Path, name: str, rows: list[dict[str, object]]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(map(json.dumps, rows)))
    return folder


def test_without_questions_the_problems_are_chain_ariths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No path: an empty set of the same schema, and downstream reads the world with the rule of its steps."""
    monkeypatch.delenv("ATHANOR_QUESTIONS", raising=False)
    assert build(tmp_path, QuestionsConfig()).success
    assert built(tmp_path, "corpora/questions").rows == 0
    found = built(tmp_path, "corpora/problems")
    assert found.read().equals(built(tmp_path, "worlds/chain_arith").read())
    assert found.manifest.metadata["source"] == "chain_arith"
    assert found.manifest.metadata["rule"] == {"modulus": 10, "order": "left_to_right"}


def test_the_users_questions_take_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows by the same schema; the evaluation keeps its copy of a repeated question; bad rows are dead letters."""
    data = written(
        tmp_path / "data",
        "train.jsonl",
        [
            *({"question": f"What is {n}+1?", "answer": f"{n}+1={n + 1}\n#### {n + 1}"} for n in range(60)),
            {"question": "what is 3+1? ", "answer": "#### 4"},
            {"question": "What is 7 * 1?", "answer": "7*1=7\n#### 7"},
            {"question": "What?"},
        ],
    )
    written(data, "test.jsonl", [{"question": "What is 7 * 1?", "answer": "7*1=7\n#### 7"}])
    monkeypatch.setenv("ATHANOR_QUESTIONS", str(data))
    result = build(tmp_path, QuestionsConfig())
    assert result.success
    found = built(tmp_path, "corpora/problems")
    rows = found.read()
    assert rows.schema == PROBLEMS
    assert found.manifest.metadata["source"] == "questions"
    assert set(rows["split"]) == {"sft", "rl", "search", "test"}
    assert rows.filter(pl.col("split") == "test")["question"].to_list() == ["What is 7 * 1?"]
    ledger = built(tmp_path, "corpora/questions").manifest.ledger
    assert ledger == {
        "rows_in": 64, "rows_out": 61, "failed": 1, "dropped": {"duplicate": 1, "repeats_evaluation_question": 1}
    }  # fmt: skip
    folder = built(tmp_path, "corpora/questions").folder
    [letter] = pl.read_parquet(folder / "dead_letters.parquet").to_dicts()
    assert (Path(letter["file"]).name, letter["line"], letter["reason"]) == ("train.jsonl", "63", "no_answer")
    assert "set answer_field" in letter["detail"]


def test_fields_of_ones_own(tmp_path: Path) -> None:
    """A set with other names is read by naming its fields."""
    rows: list[dict[str, object]] = [
        {"frage": f"q{n}", "loesung": f"\\boxed{{{n}}}", "fach": "Zahlen"} for n in range(20)
    ]
    config = QuestionsConfig(
        path=str(written(tmp_path / "data", "alles.jsonl", rows)),
        question_field="frage",
        solution_field="loesung",
        skill_field="fach",
    )
    assert build(tmp_path, config).success
    found = built(tmp_path, "corpora/questions").read()
    assert sorted(found["gold_answer"], key=int) == [str(n) for n in range(20)]
    assert set(found["skill"]) == {"Zahlen"}


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """The files count in the fingerprint: a corrected answer reaches what is downstream."""
    for answer in ("1", "2"):
        data = written(tmp_path / "data", "test.jsonl", [{"question": "q", "answer": answer}])
        assert build(tmp_path, QuestionsConfig(path=str(data))).success
        assert built(tmp_path, "corpora/problems").read()["gold_answer"].to_list() == [answer]


def test_a_set_without_any_problem_stops(tmp_path: Path) -> None:
    """Falling back to ChainArith behind the user's back would pass for their results."""
    data = written(tmp_path / "data", "train.jsonl", [{"text": "a document"}])
    result = build(tmp_path, QuestionsConfig(path=str(data)))
    assert not result.success
    assert "no row is a problem" in failure(result)
    assert "set question_field" in failure(result)


def test_shares_above_one_are_refused(tmp_path: Path) -> None:
    """Nothing would be left for fine-tuning, and the other splits not be what was asked for."""
    data = written(tmp_path / "data", "a.jsonl", [{"question": "q", "answer": "1"}])
    assert "above 1" in failure(build(tmp_path, QuestionsConfig(path=str(data), share_rl=0.9)))


def test_the_world_may_be_asked_for(tmp_path: Path) -> None:
    """With questions of one's own, a claim about ChainArith can still be measured."""
    data = written(tmp_path / "data", "a.jsonl", [{"question": "q", "answer": "1"}])
    assert build(tmp_path, QuestionsConfig(path=str(data)), "chain_arith").success
    assert built(tmp_path, "corpora/problems").rows == 85

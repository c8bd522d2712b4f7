"""Question sets: real public files row by row, and what becomes of rows that are no problems."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.core.errors import InputError
from assets.core.verifier.extract import after_marker, last_boxed
from assets.corpora.questions import (
    GSM8K,
    MATH,
    OREAL,
    PLAIN,
    SVAMP,
    Unusable,
    problem,
    recognise,
    same_question,
    split_for,
)
from assets.corpora.records import Record, RecordSource, read_records
from assets.corpora.schema import Reject

PUBLIC = Path(__file__).parents[4] / "shared" / "data" / "math"
SHARES = {"sft": 0.5, "rl": 0.3, "search": 0.05, "valid": 0.05, "test": 0.1}


def public(name: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of a public file, and the problems made of them."""
    if not (PUBLIC / name).exists():
        pytest.skip(f"the public data set {name} is not here")
    records = list(read_records(RecordSource(str(PUBLIC / name))))
    assert all(isinstance(record, Record) for record in records)
    values = [record.values for record in records if isinstance(record, Record)]
    return values, [problem(row, recognise(row)) for row in values]


@pytest.mark.parametrize(("name", "n_rows"), [("gsm8k_train.jsonl.gz", 7_473), ("gsm8k_test.jsonl.gz", 660)])
def test_gsm8k(name: str, n_rows: int) -> None:
    """Every row loads: a number as answer, the solution without the calculator's marks and with its answer line."""
    values, problems = public(name)
    assert len(problems) == n_rows
    for row, found in zip(values, problems, strict=True):
        assert re.fullmatch(r"-?[\d,.]+", str(found["gold_answer"]))
        assert row["answer"].endswith(f"#### {found['gold_answer']}")
        assert "<<" not in str(found["gold_solution"])
        assert after_marker(str(found["gold_solution"])) == found["gold_answer"]
        assert found["difficulty"] >= 1  # type: ignore[operator]


def test_math500() -> None:
    """The last box of every solution is the answer, so that the answer may be left out of a row."""
    values, problems = public("math500_test.jsonl.gz")
    assert len(problems) == 250
    for row, found in zip(values, problems, strict=True):
        assert found["gold_answer"] == row["answer"] == last_boxed(row["solution"])
        without = {name: value for name, value in row.items() if name != "answer"}
        assert problem(without, recognise(without)) == found
        assert (found["difficulty"], found["skill"]) == (row["level"], row["subject"])


def test_svamp() -> None:
    """A JSON array; the equation evaluates to the answer in 999 of the 1,000 rows (the set has one wrong row)."""
    values, problems = public("svamp.json.gz")
    same = [
        eval(row["Equation"]) == pytest.approx(float(str(found["gold_answer"])))
        for row, found in zip(values, problems, strict=True)
    ]
    assert Counter(same) == {True: 999, False: 1}
    assert problems[0]["gold_answer"] == "51"
    assert {found["skill"] for found in problems} >= {"Addition", "Subtraction"}
    assert all(
        str(found["question"]).endswith(row["Question"].strip()) for row, found in zip(values, problems, strict=True)
    )


@pytest.mark.parametrize(
    ("values", "layout"),
    [
        ({"question": "q", "answer": "1+1=<<1+1=2>>2\n#### 2"}, GSM8K),
        ({"question": "q", "answer": "2"}, PLAIN),
        ({"problem": "q", "solution": "\\boxed{2}", "level": "Level 5", "type": "Algebra"}, MATH),
        ({"question": "q", "gold_answer": "2", "pass_rate": 0.25}, OREAL),
        ({"Body": "q", "Question": "", "Answer": 2.0}, SVAMP),
    ],
)
def test_layouts_are_recognised(values: dict[str, Any], layout: object) -> None:
    """Each public layout by the names of its fields alone, and the same answer out of each."""
    assert recognise(values) is layout
    found = problem(values, recognise(values))
    assert (found["question"], found["gold_answer"], found["verifier"]) == ("q", "2", "math")


@pytest.mark.parametrize(
    ("values", "difficulty"),
    [
        ({"problem": "q", "solution": "\\boxed{2}", "level": "Level 5"}, 5),
        ({"problem": "q", "solution": "\\boxed{2}", "level": "Level ?"}, 1),
        ({"question": "q", "gold_answer": "2", "pass_rate": 0.3125}, 11),
        ({"question": "q", "answer": "a\n\nb\n#### 2"}, 2),
        ({"question": "q", "answer": "2"}, 0),
    ],
)
def test_difficulty(values: dict[str, Any], difficulty: int) -> None:
    """A level where there is one, else failed samples of 16, else lines of the solution."""
    assert problem(values, recognise(values))["difficulty"] == difficulty


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"text": "a document"}, "unknown_fields"),
        ({}, "unknown_fields"),
        ({"question": "  ", "answer": "2"}, "no_question"),
        ({"question": "q"}, "no_answer"),
        ({"question": "q", "gold_answer": None}, "no_answer"),
        ({"problem": "q", "solution": "it is 2"}, "no_answer"),
        ({"problem": "q", "solution": "\\boxed{2"}, "no_answer"),
        ({"question": ["q"], "answer": "2"}, "not_text"),
        ({"question": "q", "answer": True}, "not_text"),
        ({"question": "q", "answer": float("nan")}, "not_text"),
        ({"question": "q", "answer": float("inf")}, "not_text"),
        ({"question": "q\ud800", "answer": "2"}, "invalid_utf8"),
    ],
)
def test_rows_that_are_no_problems(values: dict[str, Any], reason: str) -> None:
    """A question without a gold answer would reward or punish at random; each such row is refused with its reason."""
    with pytest.raises(Unusable) as caught:
        problem(values, recognise(values))
    assert caught.value.reason == reason


def test_splits_follow_the_name() -> None:
    """test and valid files are what they say, whatever folder they lie in; a train file never feeds the evaluation."""
    rows = [{"question": f"q{n}", "gold_solution": "s"} for n in range(500)]

    def splits(name: str) -> set[str]:
        return {split_for(row, name, SHARES) for row in rows}

    assert splits("gsm8k_test.jsonl.gz") == splits("train/test-00000-of-00001.parquet") == {"test"}
    assert splits("validation") == splits("dev.json") == {"valid"}
    assert splits("train.jsonl") == {"sft", "rl", "search"}
    assert splits("questions.jsonl") == set(SHARES)
    assert splits("rl_prompts.jsonl") == {"rl"}
    # "latest" and "contrail" are no splits.
    assert splits("latest_contrail.jsonl") == set(SHARES)


def test_without_a_solution_there_is_no_fine_tuning() -> None:
    """OREAL's prompts have no solutions: none of them may become a row of sft."""
    found = Counter(split_for({"question": f"q{n}", "gold_solution": ""}, "train", SHARES) for n in range(2_000))
    assert set(found) == {"rl", "search"}
    assert found["rl"] / 2_000 == pytest.approx(0.3 / 0.35, abs=0.04)


def test_spellings_of_a_question_share_a_split() -> None:
    """A copy with another case or spacing must not land in another split."""
    assert same_question("What  is\n1+1?") == same_question("what is 1+1?")
    for n in range(100):
        pair = ({"question": text, "gold_solution": "s"} for text in (f"What is {n}?", f"what  is {n}? "))
        assert len({split_for(row, "", SHARES) for row in pair}) == 1


ROWS = [{"question": f"q{n}", "answer": n} for n in range(3)]


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.json", "a.jsonl.gz", "array.json", "array.json.gz", "bom.json", "a.parquet"]
)
def test_every_format_gives_the_same_records(tmp_path: Path, name: str) -> None:
    """Lines, an array and a table hold the same rows."""
    content = "\n".join(map(json.dumps, ROWS)) if name.startswith("a.") else "\n " + json.dumps(ROWS, indent=1)
    raw = content.strip().encode("utf-8-sig" if name.startswith("bom") else "utf-8")
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / name)
    else:
        (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    found = list(read_records(RecordSource(str(tmp_path / name))))
    assert found == [Record(str(tmp_path / name), name, n, row) for n, row in enumerate(ROWS, start=1)]


def test_bad_rows_are_named(tmp_path: Path) -> None:
    """A bad row says its file and line, and the rows around it are read."""
    lines = [
        json.dumps(ROWS[0]).encode(),
        b"{",
        b"[1]",
        b'{"question": "\xff"}',
        b"x" * 200,
        json.dumps(ROWS[1]).encode(),
    ]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    (tmp_path / "b.json").write_text('[1, {"question": "q"}]')
    bad = pa.array([b"q", b"\xff"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"question": bad}), tmp_path / "c.parquet")
    (tmp_path / "README.md").write_text("about")
    found = list(read_records(RecordSource(str(tmp_path), max_row_bytes=100)))
    rejected = [(Path(row.file).name, row.line, row.reason) for row in found if isinstance(row, Reject)]
    assert rejected == [
        ("README.md", None, "unsupported_suffix"),
        ("a.jsonl", 2, "broken_json"),
        ("a.jsonl", 3, "not_an_object"),
        ("a.jsonl", 4, "invalid_utf8"),
        ("a.jsonl", 5, "row_too_large"),
        ("b.json", 1, "not_an_object"),
        ("c.parquet", 2, "invalid_utf8"),
    ]
    assert [(Path(row.file).name, row.line) for row in found if isinstance(row, Record)] == [
        ("a.jsonl", 1), ("a.jsonl", 6), ("b.json", 2), ("c.parquet", 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl.gz", gzip.compress(b'{"question": "q"}\n' * 1000)[:40]),
        ("a.json", b'[{"question": "q"}'),
        ("a.parquet", b"PAR1"),
        ("a.jsonl", b""),
        ("a.json", b"[\xff]"),
    ],
)
def test_a_bad_file_stops_with_a_remedy(tmp_path: Path, name: str, content: bytes) -> None:
    """A file that breaks off must not pass for a short one."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}.*\n  → "):
        list(read_records(RecordSource(str(tmp_path / name))))


def test_datasets_of_the_hub_and_saved_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both go through the library: a local folder of the hub's layout takes the hub's loader."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "owner" / "set" / "data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "owner/set/data/test-00000-of-00001.parquet")
    datasets.DatasetDict({"test": datasets.Dataset.from_list(ROWS)}).save_to_disk(tmp_path / "saved")
    monkeypatch.chdir(tmp_path)
    for source in (RecordSource("hub:owner/set", split="test"), RecordSource("saved")):
        found = list(read_records(source))
        assert [(row.name, row.line, row.values) for row in found if isinstance(row, Record)] == [
            ("test", n, row) for n, row in enumerate(ROWS, start=1)
        ]
    with pytest.raises(InputError, match="cannot be read"):
        list(read_records(RecordSource("hub:owner/set", split="validation")))

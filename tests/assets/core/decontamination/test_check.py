"""The check beside a training set: it blocks, tells what was found, and does not compare the same twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from pydantic import Field

from assets.core.decontamination.check import CHECK, EVALUATION_SETS, EVALUATION_TEXTS, OVERLAPS, no_evaluation_text
from assets.core.decontamination.texts import TextSource
from assets.core.lake import Dataset, DatasetWriter, Lake
from assets.core.recipe import Input, recipe
from assets.core.resources import LakeResource

WORDS = [f"word{place}" for place in range(40)]
ITEM, OTHER_ITEM = " ".join(WORDS[:20]), " ".join(WORDS[20:])
CLEAN = "nothing of the kind stands in this sentence, however long a reader may look for it in vain"
SEEDS = dg.StaticPartitionsDefinition(["0", "1"])


class Rows(dg.Config):
    texts: list[str] = Field([CLEAN])


@recipe(EVALUATION_SETS, ledger=False)
def evaluation_sets(out: DatasetWriter) -> None:
    rows = [(f"{place}", [], "exam", f"item {place}", text) for place, text in enumerate((ITEM, OTHER_ITEM))]
    out.write(pl.DataFrame(rows, schema=EVALUATION_TEXTS, orient="row"))


def fill(out: DatasetWriter, config: Rows) -> None:
    split = ["train" if place < 3 else "valid" for place in range(len(config.texts))]
    columns = {"id": [f"row {place}" for place in range(len(split))], "split": split, "text": config.texts}
    out.write(pl.DataFrame(columns).with_columns(answer=pl.lit("")))


training = recipe("toy/training", ledger=False)(fill)
by_seed = recipe("toy/by_seed", ledger=False, partitions=SEEDS)(fill)


@recipe("toy/model", inputs={"rows": Input("toy/training")}, ledger=False)
def model(out: DatasetWriter, rows: Dataset) -> None:
    out.write(rows.read("id"))


check = no_evaluation_text(TextSource("toy/training", ("text", "answer"), {"split": ("train",)}))
lenient = no_evaluation_text(TextSource("toy/training", ("text",)), tolerated_share=0.5)
check_by_seed = no_evaluation_text(TextSource("toy/by_seed", ("text",)))
Build = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    def run(*assets: object, texts: list[str] | None = None, partition: str | None = None) -> dg.ExecuteInProcessResult:
        keys = [key for each in assets if isinstance(each, dg.AssetsDefinition) for key in each.keys]
        ops = {
            "__".join(key.path): {"config": {"texts": texts}}
            for key in keys
            if texts and key.path[-1] in ("training", "by_seed")
        }
        return dg.materialize(
            assets,  # type: ignore[arg-type]
            resources={"lake": LakeResource(root=str(tmp_path / "lake"), work=str(tmp_path / "work"))},
            run_config={"ops": ops},
            partition_key=partition,
            raise_on_error=False,
        )

    return run


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"), tmp_path / "work")


def result_of(run: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    [found] = [each for each in run.get_asset_check_evaluations() if each.check_name == CHECK]
    return found


def test_clean_training_rows_pass(build: Build) -> None:
    """Twelve shared words in a row pass, and what is no training row is not looked at."""
    texts = [CLEAN, " ".join(WORDS[:12]), CLEAN, ITEM]
    run = build(evaluation_sets, training, check, model, texts=texts)
    found = result_of(run)
    assert run.success
    assert found.passed
    assert found.metadata["training_texts"].value == 3
    assert found.metadata["evaluation_items"].value == {"exam": 2}


def test_a_leak_is_told_and_blocks(build: Build, lake: Lake) -> None:
    """Set, item, row and words are named, with the remedy; what is built on the rows is not; rows can be joined."""
    run = build(evaluation_sets, training, check, model, texts=[CLEAN, f"Before it: {ITEM.upper()}!"])
    found = result_of(run)
    assert not found.passed
    assert found.description is not None
    for part in ("toy/training", "50.0% of exam", "row 1", "item 0", " ".join(WORDS[:13]), "→ drop the rows"):
        assert part in found.description
    assert found.metadata["evaluation_items_found"].value == {"ngram": {"exam": 1}}
    assert found.metadata["training_rows_found"].value == 1
    assert lake.current("toy/model") is None
    rows = lake.get("decontamination/overlaps/toy/training").read()
    assert rows.schema == OVERLAPS
    assert rows["parents"].to_list() == [["row 1"]]


def test_a_tolerated_share_passes_with_its_counts(build: Build) -> None:
    """Half of the items may be found, and one of two is; both are too many."""
    assert result_of(build(evaluation_sets, training, lenient, texts=[ITEM])).passed
    both = result_of(build(evaluation_sets, training, lenient, texts=[ITEM, OTHER_ITEM]))
    assert not both.passed
    assert both.metadata["share_of_items_found"].value == {"exam": 1.0}


def test_equal_digests_are_not_compared_again(build: Build, lake: Lake) -> None:
    """The second run reads the published overlaps; other rows are compared anew."""
    build(evaluation_sets, training, check, texts=[ITEM])
    first = lake.get("decontamination/overlaps/toy/training")
    again = result_of(build(evaluation_sets, training, check, texts=[ITEM]))
    assert not again.passed
    assert lake.get("decontamination/overlaps/toy/training").manifest.published == first.manifest.published
    assert result_of(build(evaluation_sets, training, check, texts=[CLEAN])).passed
    assert lake.get("decontamination/overlaps/toy/training").manifest.fingerprint != first.manifest.fingerprint


def test_a_leak_in_any_partition_is_found(build: Build) -> None:
    """A training set of several partitions is clean when all are."""
    build(evaluation_sets)
    assert result_of(build(by_seed, check_by_seed, texts=[CLEAN], partition="0")).passed
    assert not result_of(build(by_seed, check_by_seed, texts=[ITEM], partition="1")).passed
    assert not result_of(build(by_seed, check_by_seed, texts=[CLEAN], partition="0")).passed


def test_without_evaluation_sets_it_warns_and_blocks_nothing(build: Build, lake: Lake) -> None:
    """A job that does not build the table still runs, and the check says what is missing."""
    run = build(training, check, model, texts=[ITEM])
    found = result_of(run)
    assert run.success
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert EVALUATION_SETS in (found.description or "")
    assert lake.current("toy/model") is not None

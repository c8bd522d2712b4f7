"""A crawl, from its files to training text: the new files first, then what they changed in the others.

Each crawl file is a partition. A new file is read, filtered and signed by itself; the index of duplicates then says of
every file what is left of it, and only files of which something else is left now are built again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from assets.core.lake import Lake
from assets.core.recipe import RECIPES, Recipe
from assets.corpora.crawl.assets import pages
from assets.corpora.crawl.config import CRAWL_FILES, CrawlConfig
from assets.corpora.crawl.files import crawl_files
from assets.internlm2.text.assets import clean, deduplicated, filtered, safe, signatures, tokens
from assets.internlm2.text.config import TASKS

NAME = str(CRAWL_FILES.name)
WORLD = "worlds/web_crawl"
# The corpus whose tokenizer counts the tokens of pages.
CORPUS = (
    *(f"corpora/{stage}" for stage in ("python_library", "files", "documents", "clean_documents")),
    "internlm2/tokenizer",
)
START = (
    WORLD,
    "worlds/labelled_pages",
    *(f"internlm2/text/classifier/{task}" for task in TASKS),
    "corpora/questions",
    "worlds/chain_arith",
    "decontamination/evaluation_sets",
    *CORPUS,
)
# What is made of each file before and after the index of all.
BEFORE = {RECIPES[asset].key: RECIPES[asset] for asset in (pages, filtered, signatures)}
INDEX = "internlm2/text/duplicates"
AFTER = {RECIPES[asset].key: RECIPES[asset] for asset in (deduplicated, safe, clean, tokens)}
DOCUMENTS = "internlm2/text/documents"
ASSETS_OF = {
    "crawl_start": START,
    "crawl_pages": tuple(BEFORE),
    "crawl_duplicates": (INDEX,),
    "crawl_text": tuple(AFTER),
    "crawl_documents": (DOCUMENTS,),
}


@dataclass(frozen=True)
class Sync:
    """What came into and left the folder since the last look."""

    added: list[str]
    removed: list[str]


def files_of(config: CrawlConfig, lake: Lake) -> dict[str, str]:
    """Crawl file by partition: the user's, else those of the generated crawl."""
    return crawl_files(config, None if config.folder else lake.get(WORLD))


def sync(instance: dg.DagsterInstance, files: Mapping[str, str]) -> Sync:
    """Make the partitions those of the files that there are."""
    known = set(instance.get_dynamic_partitions(NAME))
    made = Sync(sorted(files.keys() - known), sorted(known - files.keys()))
    instance.add_dynamic_partitions(NAME, made.added)
    for name in made.removed:
        instance.delete_dynamic_partition(NAME, name)
    return made


def stale(
    recipes: Mapping[str, Recipe], lake: Lake, instance: dg.DagsterInstance, configuration: Mapping[str, Any]
) -> list[str]:
    """The partitions for which running these assets would do work."""
    configs = {key: config_of(recipe, configuration) for key, recipe in recipes.items()}
    return [
        name
        for name in sorted(instance.get_dynamic_partitions(NAME))
        if not all(recipe.is_current(lake, configs[key], name, instance) for key, recipe in recipes.items())
    ]


def part_of(configuration: Mapping[str, Any], job: str) -> dict[str, Any]:
    """The sections of a run configuration for all jobs of a crawl that concern one of them."""
    ops = configuration.get("ops", {})
    names = [key.replace("/", "__") for key in ASSETS_OF[job]]
    return {"ops": {name: ops[name] for name in names if name in ops}}


def config_of(recipe: Recipe, configuration: Mapping[str, Any]) -> dg.Config | None:
    """The section of an asset in a run configuration, with defaults for what it leaves out."""
    section = configuration.get("ops", {}).get(recipe.key.replace("/", "__"), {})
    return recipe.config(**section.get("config", {})) if recipe.config else None

"""One corpus, one copy of the checkout and one undisturbed run for all fault tests."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.checkout import Checkout, Done, tiny_config, write_config, write_corpus


@dataclass(frozen=True)
class Undisturbed:
    """The main job, run once from nothing: its home, what was printed, and the digests of all it published."""

    home: Path
    done: Done
    digests: str


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults") / "corpus"
    write_corpus(folder)
    return folder


@pytest.fixture(scope="session")
def config(corpus: Path) -> Path:
    return write_config(corpus.parent / "tiny.yaml", tiny_config(corpus))


@pytest.fixture(scope="session")
def checkout(corpus: Path) -> Checkout:
    return Checkout(corpus.parent / "checkout")


@pytest.fixture(scope="session")
def undisturbed(checkout: Checkout, corpus: Path, config: Path) -> Undisturbed:
    home = corpus.parent / "undisturbed"
    done = checkout.run(home, "demo", "--config", str(config))
    assert done.code == 0, done.err
    return Undisturbed(home, done, checkout.digests(home))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home, removed after the test because it is large."""
    yield tmp_path / "home"  # type: ignore[misc]
    shutil.rmtree(tmp_path / "home", ignore_errors=True)

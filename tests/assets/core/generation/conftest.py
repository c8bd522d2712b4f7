"""Both databases of the store, for real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from assets.core.generation.store import METADATA, GenerationStore
from tests.servers.postgres import programs, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    if programs() is None:
        pytest.skip("Postgres is not installed (Debian package postgresql)")
    with running_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database; the folder has a space in its name, as users' folders do."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'a home' / 'generation.db'}"
    found = str(request.getfixturevalue("postgres"))
    database = sa.create_engine(found)
    METADATA.drop_all(database)
    database.dispose()
    return found


@pytest.fixture
def store(url: str) -> Iterator[GenerationStore]:
    opened = GenerationStore(url)
    yield opened
    opened.close()

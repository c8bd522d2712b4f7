"""Roles as a Dagster resource: which model writes, judges, revises, as a file says."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from pydantic import Field

from assets.core.errors import InputError
from assets.core.generation.budget import Budget
from assets.core.generation.durable import DurableEngine
from assets.core.generation.engines import identity, start
from assets.core.generation.lazy import LazyEngine
from assets.core.generation.ledger import Caller
from assets.core.generation.responder import Binding, Responder
from assets.core.generation.roles_file import RolesFile, read_roles
from assets.core.generation.store import GenerationStore

DATABASE_VARIABLE = "ATHANOR_GENERATION_URL"


class Roles(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Who plays each role, and where answers are kept. No secret is in here: Dagster shows resources."""

    file: str = Field("", description="TOML file of roles; empty: every role is played by rules.")
    database: str = Field(
        "", description=f"SQLite file of answers and costs, unless {DATABASE_VARIABLE} names another."
    )

    def settings(self) -> RolesFile:
        """Raises InputError for a file that cannot be used."""
        return read_roles(Path(self.file)) if self.file else RolesFile()

    def bind(self, names: Sequence[str]) -> dict[str, Binding]:
        """Who plays these roles; no engine is started."""
        settings = self.settings()
        return {name: _binding(settings, name) for name in names}

    @contextmanager
    def open(self, bindings: Mapping[str, Binding], caller: Caller) -> Iterator[dict[str, Responder]]:
        """The responders of an asset. What they opened is closed with the context."""
        settings = self.settings()
        with ExitStack() as opened:

            @cache
            def store() -> GenerationStore:
                return opened.enter_context(closing(open_store(self.database)))

            @cache
            def budget() -> Budget | None:
                return None if settings.budget is None else Budget(settings.budget, store())

            def engine(binding: Binding) -> DurableEngine:
                role = settings.role(binding.role)
                asked = replace(caller, role=binding.role, model=binding.model)
                lazy = LazyEngine(binding.identity, partial(start, role, Path(self.database).parent))
                return DurableEngine(lazy, store(), asked, price=role.price, budget=budget())

            responders = {
                name: Responder(binding, None if binding.engine == "rules" else partial(engine, binding))
                for name, binding in bindings.items()
            }
            for responder in responders.values():
                opened.callback(responder.close)
            yield responders


def open_store(database: str) -> GenerationStore:
    """The store that `ATHANOR_GENERATION_URL` names, else a SQLite file."""
    try:
        return GenerationStore(os.environ.get(DATABASE_VARIABLE) or f"sqlite:///{database}")
    except (sa.exc.ArgumentError, ImportError) as error:
        raise InputError(
            f"{DATABASE_VARIABLE} is no database URL that can be opened ({error})",
            "unset it for SQLite, or set postgresql+psycopg2://… (needs athanor[cluster])",
        ) from None


def _binding(settings: RolesFile, name: str) -> Binding:
    role = settings.role(name)
    judging = tuple(pair for pair in settings.self_judging if name in pair.split(" and "))
    return Binding(name, role.engine, role.model, role.size, identity(role), judging)

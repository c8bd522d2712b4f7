"""What a recipe gets for a role: a durable engine, or the word that the role is played by rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from assets.core.errors import AthanorError
from assets.core.generation.durable import DurableEngine
from assets.core.generation.estimate import Estimate
from models.inference.engine import Completion, Failed, Request


@dataclass(frozen=True)
class Binding:
    """Who plays a role. `size` is `rules`, `tiny` or `large`: a claim made by a tiny model must not read as one of a
    large model. `self_judging` names the pairs of roles that one model plays although it then judges itself."""

    role: str
    engine: str
    model: str
    size: str
    identity: dict[str, object]
    self_judging: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        told = {name: value for name, value in asdict(self).items() if name != "role"}
        return told | {"self_judging": list(self.self_judging)}


class Responder:
    """A role of one asset. `rules` asks no model: the recipe then applies its own rule."""

    def __init__(self, binding: Binding, open_engine: Callable[[], DurableEngine] | None) -> None:
        self.binding = binding
        self.expected: Estimate | None = None
        self._open_engine = open_engine

    @property
    def is_rules(self) -> bool:
        return self._open_engine is None

    def identity(self) -> dict[str, object]:
        """Everything but a request that determines an answer."""
        return self.binding.identity

    @cached_property
    def engine(self) -> DurableEngine:
        """Raises AthanorError where the role is played by rules."""
        if self._open_engine is None:
            raise AthanorError(
                f"the role {self.binding.role!r} is played by rules, and a model was asked",
                f"bind it to an engine in the file of roles: [roles.{self.binding.role}], engine = …",
            )
        return self._open_engine()

    def generate(
        self, requests: Iterable[Request], total: int | None = None
    ) -> Iterator[tuple[int, Completion | Failed]]:
        """As `Engine.generate`, durable; with progress over `total` requests."""
        return self.engine.generate(requests, total)

    def report(self) -> dict[str, Any]:
        """Who played the role, and what it took: in this run, and in all runs of this version of the asset."""
        told = {"binding": self.binding.to_json()}
        if "engine" not in self.__dict__:
            return told
        caller = self.engine.caller
        version = {"asset": caller.asset, "partition": caller.partition, "fingerprint": caller.fingerprint}
        told["usage"] = self.engine.tally().to_json()
        told["usage_of_all_runs"] = self.engine.store.sums(role=caller.role, **version).to_json()
        if self.expected is not None:
            told["estimate"] = self.expected.to_json()
        return told

    def close(self) -> None:
        """Closes the engine if one was opened."""
        if "engine" in self.__dict__:
            self.engine.close()

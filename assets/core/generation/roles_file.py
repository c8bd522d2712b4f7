"""The file that says which model plays which role: its settings and price, the budget. README.md has an example."""

from __future__ import annotations

import os
import tomllib
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from assets.core.errors import InputError
from assets.core.generation.prices import FREE, Price
from models.inference.openai_settings import OpenAISettings
from models.inference.wire import LogprobsMode

ROLES = {
    "writer": "writes data: instructions, programs, dialogues, stories",
    "fixer": "repairs what failed",
    "reviser": "writes a better version after a critique",
    "critic": "criticises an answer",
    "summariser": "unites several critiques into one",
    "judge": "scores or compares answers for training data",
    "test_judge": "scores answers in an evaluation",
    "annotator": "marks the sentences of an answer",
    "agent": "acts, step by step",
    "responder": "answers questions: the model under test",
}
NO_SELF_JUDGING = ("judge", "summariser", "test_judge")
Size = Literal["tiny", "large"]
STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=STRICT, kw_only=True)
class RulesRole:
    """No model: the asset's own deterministic rule."""

    engine: Literal["rules"] = "rules"
    model: str = "rules"
    size: Literal["rules"] = "rules"
    price: Price | None = FREE


@dataclass(frozen=True, config=STRICT, kw_only=True)
class TorchRole:
    """A checkpoint folder, in this process; it costs nothing, by declaration."""

    engine: Literal["torch"]
    folder: Path
    """A Hugging Face folder, as training assets publish it."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: Literal["cpu", "cuda"] = "cpu"
    size: Size = "tiny"
    price: Price | None = FREE

    @property
    def model(self) -> str:
        return self.folder.name


@dataclass(frozen=True, config=STRICT, kw_only=True)
class VLLMRole:
    """A checkpoint folder, served by a `vllm serve` of our own for as long as an asset asks it; it costs nothing, by
    declaration. The fields are those of `VLLMSettings`."""

    engine: Literal["vllm"]
    folder: Path
    python: str
    """The Python of the environment in which vLLM is installed."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    tensor_parallel: int = Field(1, ge=1)
    """GPUs that one copy of the model is spread over."""
    data_parallel: int = Field(1, ge=1)
    """Copies of the model."""
    max_length: int | None = None
    logprobs_mode: LogprobsMode = "raw_logprobs"
    flags: tuple[str, ...] = ()
    """Further flags of `vllm serve`."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Variables of its process; a secret is exported instead, as it is inherited."""
    concurrency: int = Field(256, ge=1)
    size: Size = "tiny"
    price: Price | None = FREE

    @property
    def model(self) -> str:
        return self.folder.name


@dataclass(frozen=True, config=STRICT, kw_only=True)
class OpenAIRole(OpenAISettings):
    """An endpoint in OpenAI's wire format."""

    engine: Literal["openai"]
    size: Size = "tiny"
    """`large` where its answers may carry a claim about large models; what is not declared reads as tiny."""
    price: Price | None = None
    """None: unknown, and then no budget can be kept."""
    api_key_variable: str | None = None
    """Name of the environment variable with the API key. The key itself is never in a file."""

    def api_key(self) -> str | None:
        """Raises InputError where the variable is named and not set."""
        if self.api_key_variable is None:
            return None
        key = os.environ.get(self.api_key_variable)
        if not key:
            raise InputError(
                f"{self.model} at {self.base_url} needs the API key in {self.api_key_variable}, which is not set",
                f"export {self.api_key_variable}=…",
            )
        return key


Role = RulesRole | TorchRole | VLLMRole | OpenAIRole


class RolesFile(BaseModel):
    """What the file holds. A role that it does not name is played by rules."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget: float | None = Field(None, ge=0, allow_inf_nan=False)
    """US dollars that all roles together may spend, over all runs in the store's ledger."""
    allow_self_judging: bool = False
    roles: dict[str, Annotated[Role, Field(discriminator="engine")]] = {}

    def role(self, name: str) -> Role:
        return self.roles.get(name) or RulesRole()

    @property
    def self_judging(self) -> list[str]:
        """Pairs of roles that one model plays and should not, since it would judge itself."""
        played = [name for name in NO_SELF_JUDGING if self.role(name).engine != "rules"]
        pairs = combinations(played, 2)
        return [f"{one} and {other}" for one, other in pairs if _who(self.role(one)) == _who(self.role(other))]

    @model_validator(mode="after")
    def _check(self) -> RolesFile:
        unknown = sorted(self.roles.keys() - ROLES.keys())
        if unknown:
            raise ValueError(f"no such role: {', '.join(unknown)}; the roles are {', '.join(ROLES)}")
        if self.self_judging and not self.allow_self_judging:
            raise ValueError(
                f"{'; '.join(self.self_judging)} are the same model, which would judge itself: bind another, or set "
                "allow_self_judging = true, which every report then says"
            )
        if self.budget is not None:
            unpriced = sorted(name for name, role in self.roles.items() if role.price is None)
            if unpriced:
                raise ValueError(f"a budget needs the price of every model: {', '.join(unpriced)} has none")
        return self


def _who(role: Role) -> tuple[object, ...]:
    """What tells one model from another."""
    if isinstance(role, OpenAIRole):
        return role.model, role.model_revision or role.base_url
    return (role.folder.resolve(),) if not isinstance(role, RulesRole) else ("rules",)


def read_roles(path: Path) -> RolesFile:
    """Raises InputError that names the file, the key and what to do."""
    remedy = f"correct {path}; assets/core/generation/README.md has an example"
    try:
        return RolesFile.model_validate(tomllib.loads(path.read_text()))
    except FileNotFoundError:
        raise InputError(f"there is no file of roles {path}", "correct ATHANOR_ROLES, or unset it") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}", remedy) from None
    except ValidationError as error:
        wrong = [f"{_key(each['loc'])}{each['msg'].removeprefix('Value error, ')}" for each in error.errors()]
        raise InputError(f"{path}: {'; '.join(wrong)}", remedy) from None


def _key(place: tuple[int | str, ...]) -> str:
    """`roles.writer.model: `, without the union's tag that pydantic puts after the role's name."""
    names = [str(name) for position, name in enumerate(place) if not (position == 2 and place[0] == "roles")]
    return f"{'.'.join(names)}: " if names else ""

"""A training run as a JSON file: what `python -m models.training` starts from.

Relative paths are relative to the file's folder, so that a run's folder can be moved as a whole.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from models.training.plan import TrainingPlan

if TYPE_CHECKING:
    from models.training.deepspeed_backend import DeepSpeedSettings


class RunRefused(ValueError):
    """A run cannot start as it is described; the message names the field or file and the remedy."""


class _Described(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Pretrain(_Described):
    """Next token of every document of a stream."""

    name: Literal["pretrain"] = Field("pretrain", description="The objective's name.")


class Sft(_Described):
    """Next token where an example's mask says so."""

    name: Literal["sft"] = Field("sft", description="The objective's name.")


class Reward(_Described):
    """InternLM2's ranking loss over pairs; the start is a decoder, or a reward model saved before."""

    name: Literal["reward"] = Field("reward", description="The objective's name.")
    reward_token_id: int = Field(ge=0, description="Token at which a document is scored; it ends every document.")
    gamma: float = Field(2.0, ge=0, description="Exponent of the focal factor; 0 is the plain ranking loss.")
    penalty: float = Field(0.02, ge=0, description="Weight of the log barrier on scores.")
    pad_id: int | None = Field(None, ge=0, description="Padding token of the saved folder; None: the tokenizer's.")


class Dpo(_Described):
    """Direct preference optimization over pairs."""

    name: Literal["dpo"] = Field("dpo", description="The objective's name.")
    beta: float = Field(0.1, gt=0, description="How strongly the policy is held to its reference.")
    reference: Path | None = Field(None, description="Hugging Face folder of the reference; None: the start model.")


ObjectiveSettings = Annotated[Pretrain | Sft | Reward | Dpo, Field(discriminator="name")]


class Torch(_Described):
    """A whole copy of the model in each process."""

    name: Literal["torch"] = Field("torch", description="The back-end's name.")


class DeepSpeed(_Described):
    """The model divided among the processes."""

    name: Literal["deepspeed"] = Field("deepspeed", description="The back-end's name.")
    zero_stage: int = Field(1, ge=0, le=3, description="What is divided: 1 moments, 2 also gradients, 3 also weights.")
    offload_optimizer: bool = Field(False, description="Keep float32 weights and moments in the CPU's memory.")

    @model_validator(mode="after")
    def _fits(self) -> "DeepSpeed":
        self.settings()
        return self

    def settings(self) -> "DeepSpeedSettings":
        from models.training.deepspeed_backend import DeepSpeedSettings

        return DeepSpeedSettings(self.zero_stage, self.offload_optimizer)


BackendSettings = Annotated[Torch | DeepSpeed, Field(discriminator="name")]


class RunDescription(_Described):
    """All that a training process needs to know."""

    model: Path = Field(description="Hugging Face folder with the starting weights; its tokenizer goes to the output.")
    data: Path = Field(description="Folder of `save_stream` (pretrain) or `save_examples` (sft, reward, dpo).")
    objective: ObjectiveSettings = Field(Pretrain(), description="What is trained for, with its options.")
    plan: TrainingPlan = Field(description="The fields of `models.training.plan.TrainingPlan`.")
    epochs: int = Field(1, ge=1, description="Passes over examples; a stream has its passes in its own order.")
    output: Path = Field(description="Hugging Face folder written at the end, with report.json in it.")
    state: Path = Field(description="Folder of the trainer's states and metrics.jsonl; the run resumes from it.")
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where every process computes; cuda: one GPU each.")
    backend: BackendSettings = Field(Torch(), description="How the model is divided among processes.")

    @field_validator("plan", mode="before")
    @classmethod
    def _known_fields(cls, plan: Any) -> Any:
        # pydantic passes over what a plain dataclass does not know: a misspelt field would be its default.
        known = [field.name for field in fields(TrainingPlan)]
        if isinstance(plan, dict) and (unknown := sorted(plan.keys() - set(known))):
            raise ValueError(f"a plan has no {unknown[0]!r}, but {', '.join(known)}")
        return plan


def read_description(path: Path) -> RunDescription:
    """The run in a JSON file, its paths made absolute. Raises RunRefused, naming every wrong field."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunRefused(f"{path} cannot be read: {error.strerror}; name the file that describes the run") from error
    except ValueError as error:
        raise RunRefused(f"{path} is not valid JSON: {error}; correct it") from error
    try:
        described = RunDescription.model_validate(content)
    except ValidationError as error:
        raise RunRefused(f"{path}: {_wrong_fields(error)}; correct the file") from error
    base = path.resolve().parent
    places = {name: base / getattr(described, name) for name in ("model", "data", "output", "state")}
    objective = described.objective
    if isinstance(objective, Dpo) and objective.reference:
        objective = objective.model_copy(update={"reference": base / objective.reference})
    return described.model_copy(update={**places, "objective": objective})


def write_description(description: RunDescription, path: Path) -> None:
    path.write_text(description.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _wrong_fields(error: ValidationError) -> str:
    wrong = []
    for each in error.errors():
        place = ".".join(str(part) for part in each["loc"])
        message = each["msg"].removeprefix("Value error, ")
        wrong.append(f"{place}: {message}" if place else message)
    return "; ".join(wrong)

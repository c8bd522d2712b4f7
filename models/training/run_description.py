"""A training run as a JSON file: what `python -m models.training` starts from.

Relative paths are relative to the file's folder, so that a run's folder can be moved as a whole.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from models.training.experience import RolloutPlan
from models.training.outcome_objective import OutcomeLoss
from models.training.plan import TrainingPlan
from models.training.ppo_objective import PPOConfig

if TYPE_CHECKING:
    from models.training.deepspeed_backend import DeepSpeedSettings


class RunRefused(ValueError):
    """A run cannot start as it is described; the message names the field or file and the remedy."""


def _known_fields(kind: type, called: str, **defaults: object) -> BeforeValidator:
    # pydantic passes over what a plain dataclass does not know: a misspelt field would be its default.
    known = [field.name for field in fields(kind)]

    def check(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if unknown := sorted(value.keys() - set(known)):
            raise ValueError(f"{called} has no {unknown[0]!r}, but {', '.join(known)}")
        return defaults | value

    return BeforeValidator(check)


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


class PretrainRows(_Described):
    """Rows of a token stream that join every update of a PPO actor."""

    data: Path = Field(description="Folder of `save_stream`.")
    rows: int = Field(ge=1, description="Rows of plan.sequence_length tokens per update; the paper has about half.")


class Ppo(_Described):
    """Proximal policy optimization against a reward model; every process repeats all rollouts."""

    name: Literal["ppo"] = Field("ppo", description="The objective's name.")
    reward: Path = Field(
        description="Folder of a reward model with the tokenizer of `model`; frozen, it computes in the plan's dtype."
    )
    critic: Literal["reward", "model"] = Field(
        "reward", description="Whose decoder the critic starts from: the reward model's, or the starting model's."
    )
    critic_scale: float = Field(5.0, gt=0, description="The critic's learning rate over the actor's.")
    system_prompts: dict[str, str | tuple[int, ...]] = Field(
        {"": ()},
        min_length=1,
        description="By domain what only the reward model reads first: a system message's text, or token ids of it.",
    )
    rollouts: Annotated[RolloutPlan, _known_fields(RolloutPlan, "a rollout plan", stop_ids=())] = Field(
        description="The fields of `models.training.experience.RolloutPlan`; without stop_ids the chat template's. "
        "Every process samples the same answers and trains on its share of them."
    )
    loss: Annotated[PPOConfig, _known_fields(PPOConfig, "a PPO loss")] = Field(
        PPOConfig(), description="The fields of `models.training.ppo_objective.PPOConfig`."
    )
    pretrain: PretrainRows | None = Field(None, description="Next-token rows mixed into the actor's updates.")
    closing: tuple[int, ...] | None = Field(
        None, description="Token ids after an answer, the reward token the last; None: the chat template's."
    )
    bos: int | None = Field(None, description="Token in front of prompts; None: the tokenizer's if `closing` is too.")


class Outcome(_Described):
    """Learning from right and wrong answers that were sampled, judged and weighed before (OREAL and its baselines)."""

    name: Literal["outcome"] = Field("outcome", description="The objective's name.")
    loss: Annotated[OutcomeLoss, _known_fields(OutcomeLoss, "an outcome loss")] = Field(
        OutcomeLoss(), description="The fields of `models.training.outcome_objective.OutcomeLoss`."
    )
    reference: Path | None = Field(None, description="Hugging Face folder of the reference; None: the start model.")


class TokenReward(_Described):
    """A score of every token whose mean tells right answers; the start is a decoder, or such a model saved before."""

    name: Literal["token_reward"] = Field("token_reward", description="The objective's name.")


ObjectiveSettings = Annotated[Pretrain | Sft | Reward | Dpo | Ppo | Outcome | TokenReward, Field(discriminator="name")]


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
    data: Path = Field(
        description="Folder of `save_stream` (pretrain), `save_examples` (sft, reward, dpo), `save_prompts` (ppo) or "
        "`save_trajectories` (outcome, token_reward)."
    )
    objective: ObjectiveSettings = Field(Pretrain(), description="What is trained for, with its options.")
    plan: Annotated[TrainingPlan, _known_fields(TrainingPlan, "a plan")] = Field(
        description="The fields of `models.training.plan.TrainingPlan`."
    )
    until: int | None = Field(
        None, ge=1, description="Step of the plan after which to end; a run of the same state goes on. None: the last."
    )
    data_digest: str | None = Field(
        None, description="What the parts of a run that is taken in parts share; None: the digest of the data folder."
    )
    epochs: int = Field(1, ge=1, description="Passes over examples; a stream has its passes in its own order.")
    output: Path = Field(description="Hugging Face folder written at the end, with report.json in it.")
    state: Path = Field(description="Folder of the trainer's states and metrics.jsonl; the run resumes from it.")
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where every process computes; cuda: one GPU each.")
    backend: BackendSettings = Field(Torch(), description="How the model is divided among processes.")

    @model_validator(mode="after")
    def _backend_fits(self) -> "RunDescription":
        # DeepSpeed decays weights that have no gradient (the resting actor), and ZeRO 3 would sample from shares.
        if isinstance(self.objective, Ppo) and isinstance(self.backend, DeepSpeed):
            raise ValueError("backend deepspeed does not train ppo: set backend to torch, which torchrun takes as well")
        return self


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
    return described.model_copy(update={**places, "objective": _placed(described.objective, base)})


def _placed(objective: "ObjectiveSettings", base: Path) -> "ObjectiveSettings":
    """The objective with its folders below `base`."""
    if isinstance(objective, Dpo | Outcome) and objective.reference:
        return objective.model_copy(update={"reference": base / objective.reference})
    if isinstance(objective, Ppo):
        mixed_in = objective.pretrain
        if mixed_in:
            mixed_in = mixed_in.model_copy(update={"data": base / mixed_in.data})
        return objective.model_copy(update={"reward": base / objective.reward, "pretrain": mixed_in})
    return objective


def write_description(description: RunDescription, path: Path) -> None:
    path.write_text(description.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _wrong_fields(error: ValidationError) -> str:
    wrong = []
    for each in error.errors():
        place = ".".join(str(part) for part in each["loc"])
        message = each["msg"].removeprefix("Value error, ")
        wrong.append(f"{place}: {message}" if place else message)
    return "; ".join(wrong)

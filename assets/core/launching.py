"""Training in processes of its own: model, data and description on disk, started through Dagster Pipes, read back."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.core.errors import InputError
from assets.core.home import CHECKOUT
from assets.core.pod import GRACE_SECONDS, pod_spec
from assets.core.step_messages import StepMessages

if TYPE_CHECKING:
    from torch import nn

    from assets.core.trainer import TrainerResource
    from models.training.data_folder import TokenStream
    from models.training.examples import Examples
    from models.training.objectives import Objective
    from models.training.plan import StepRecord, TrainingPlan, TrainingReport
    from models.training.run_description import ObjectiveSettings
    from models.training.trajectories import TrajectorySource

MODULE = "orchestration.training_process"


@dataclass
class Listener:
    """Takes the payloads of a training process: a step, or the fault that ended it."""

    on_step: Callable[[StepRecord], None]
    fault: Mapping[str, Any] | None = None

    def __call__(self, payload: Mapping[str, Any]) -> None:
        from models.training.plan import StepRecord

        if "step" in payload:
            self.on_step(StepRecord(**payload["step"]))
        elif "fault" in payload:
            self.fault = payload["fault"]

    def raise_fault(self) -> None:
        """Raises what the process raised, as far as its kind is known here."""
        if self.fault is None:
            return
        from models.training.checkpoint import ResumeRefused
        from models.training.plan import TrainingFailed, TrainingStopped

        known = (ResumeRefused, TrainingFailed, TrainingStopped, ValueError, OSError)
        fitting = [kind for kind in known if kind.__name__ in self.fault["kinds"]]
        raise (fitting or [RuntimeError])[0](self.fault["message"])


def train_launched(
    trainer: TrainerResource,
    model: nn.Module,
    data: TokenStream | Examples | TrajectorySource,
    plan: TrainingPlan,
    *,
    objective: Objective,
    state_folder: Path,
    data_digest: str,
    on_step: Callable[[StepRecord], None],
    epochs: int,
    tokenizer_folder: Path | None,
    until: int | None,
) -> TrainingReport:
    """As `assets.core.training.train_model`, in the context of the asset that is being materialized."""
    from models.architecture.huggingface import load_folder
    from models.architecture.reward_folder import load_reward_folder
    from models.architecture.token_reward_folder import load_token_reward_folder
    from models.training.run import read_report

    context = dg.AssetExecutionContext.get()
    shared = trainer.shared_folder
    if shared and not state_folder.resolve().is_relative_to(Path(shared).resolve()):
        raise InputError(
            f"the trainer's states in {state_folder} are not in the shared folder {shared}",
            "let the lake's work folder lie in the shared folder",
        )
    folder = state_folder.resolve() / "launch"
    settings = objective_settings(objective, model)
    described = write_run(
        trainer, model, data, plan, settings, folder, data_digest=data_digest, epochs=epochs,
        tokenizer_folder=tokenizer_folder, until=until,
    )  # fmt: skip
    listener = Listener(on_step)
    messages = StepMessages(folder / "messages.jsonl", listener)
    try:
        start(trainer, context, described, messages)
    except Exception:
        listener.raise_fault()
        raise
    if messages.failure:
        raise messages.failure
    output = folder / "output"
    load = {"reward": load_reward_folder, "token_reward": load_token_reward_folder}.get(settings.name, load_folder)
    model.load_state_dict(load(output).state_dict())
    return read_report(output)


def write_run(
    trainer: TrainerResource,
    model: nn.Module,
    data: TokenStream | Examples | TrajectorySource,
    plan: TrainingPlan,
    objective: ObjectiveSettings,
    folder: Path,
    *,
    data_digest: str,
    epochs: int,
    tokenizer_folder: Path | None,
    until: int | None,
) -> Path:
    """Writes what a process needs into `folder`, unless an earlier attempt at the same run did; its description.

    The trajectories of a part of a run take the place of those of the part before.
    """
    from models.architecture.decoder import Decoder
    from models.architecture.heads import RewardModel, TokenRewardModel
    from models.architecture.huggingface import save_folder
    from models.architecture.reward_folder import save_reward_folder
    from models.architecture.token_reward_folder import save_token_reward_folder
    from models.training.checkpoint import weights_digest
    from models.training.data_folder import TokenStream, save_examples, save_stream
    from models.training.run_description import DeepSpeed, RunDescription, Torch, write_description
    from models.training.trajectories import TrajectorySource
    from models.training.trajectory_folder import save_trajectories

    divided = DeepSpeed(zero_stage=trainer.zero_stage, offload_optimizer=trainer.offload_optimizer)
    description = RunDescription(
        model=folder / "model", data=folder / "data", objective=objective, plan=plan, epochs=epochs,
        output=folder / "output", state=folder.parent, device=trainer.device,
        backend=divided if trainer.backend == "deepspeed" else Torch(),
        until=until, data_digest=data_digest if isinstance(data, TrajectorySource) else None,
    )  # fmt: skip
    contents = {"data_digest": data_digest, "weights_digest": weights_digest(model)}
    described, written = folder / "run.json", folder / "contents.json"
    if not written.exists() or json.loads(written.read_text()) != contents:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(model, RewardModel):
            score_at = description.objective.reward_token_id  # type: ignore[union-attr]
            save_reward_folder(model, description.model, tokenizer_folder, reward_token_id=score_at)
        elif isinstance(model, TokenRewardModel):
            save_token_reward_folder(model, description.model, tokenizer_folder)
        else:
            assert isinstance(model, Decoder), type(model)
            save_folder(model, description.model, tokenizer_folder)
        if isinstance(data, TokenStream):
            save_stream(description.data, data)
        elif not isinstance(data, TrajectorySource):
            save_examples(description.data, data)
        written.write_text(json.dumps(contents))
    if isinstance(data, TrajectorySource):
        shutil.rmtree(description.data, ignore_errors=True)
        save_trajectories(description.data, data)
    write_description(description, described)
    return described


def objective_settings(objective: Objective, model: nn.Module) -> ObjectiveSettings:
    """What describes an objective to another process. Raises InputError when nothing does."""
    from models.training.checkpoint import weights_digest
    from models.training.outcome_objective import OutcomeLoss
    from models.training.run_description import Dpo, Outcome, Pretrain, Reward, Sft, TokenReward

    identity: dict[str, Any] = dict(objective.identity)
    if objective.name == "reward":
        return Reward(**identity)
    if objective.name == "dpo" and identity["reference"] == weights_digest(model):
        return Dpo(beta=identity["beta"])
    if objective.name == "outcome" and identity.pop("reference") == weights_digest(model):
        return Outcome(loss=OutcomeLoss(**identity))
    simple = {"pretrain": Pretrain, "sft": Sft, "token_reward": TokenReward}
    if objective.name in simple:
        return simple[objective.name]()
    raise InputError(
        f"the objective {objective.name!r} cannot be described to a process of its own",
        "train it in process; pretrain, sft, reward, token_reward, and dpo and outcome against their own start can be "
        "launched",
    )


def start(trainer: TrainerResource, context: dg.AssetExecutionContext, path: Path, messages: StepMessages) -> None:
    """Start the processes and wait for their end; raises when they fail, and ends them when Dagster's run is ended."""
    command = ["-m", MODULE, str(path), "--processes", str(trainer.processes), "--nodes", str(trainer.nodes)]
    if trainer.device == "cuda":
        command.append("--gpus")
    if trainer.launcher == "subprocess":
        client = dg.PipesSubprocessClient(message_reader=messages, termination_timeout_seconds=GRACE_SECONDS)
        client.run(context=context, command=[sys.executable, *command], cwd=str(CHECKOUT))
    elif trainer.launcher == "ray":
        _start_on_ray(trainer, context, [trainer.python, *command], messages)
    else:
        from dagster_k8s import PipesK8sClient

        PipesK8sClient(message_reader=messages).run(
            context=context,
            image=trainer.image,
            command=[trainer.python, *command],
            namespace=trainer.namespace,
            base_pod_spec=pod_spec(trainer),
            # By default a pod that trains for more than a day is given up.
            pod_wait_timeout=0,
        )


def _start_on_ray(
    trainer: TrainerResource, context: dg.AssetExecutionContext, command: list[str], messages: StepMessages
) -> None:
    from dagster_ray import PipesRayJobClient

    headers = {"Authorization": f"Bearer {trainer.ray_token}"} if trainer.ray_token else None
    client = PipesRayJobClient(address=trainer.ray_address, headers=headers, message_reader=messages)
    # Ray kills a job three seconds after it was told to end, unless its environment says otherwise.
    variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(GRACE_SECONDS)}
    submitted: Any = {"entrypoint": shlex.join(command), "runtime_env": {"env_vars": variables}}
    if trainer.nodes == 1:
        submitted["entrypoint_num_cpus"] = trainer.processes * trainer.threads
        submitted["entrypoint_num_gpus"] = trainer.processes if trainer.device == "cuda" else 0
    client.run(context=context, submit_job_params=submitted)

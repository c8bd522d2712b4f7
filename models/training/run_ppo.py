"""The parts of a described PPO run: actor and critic, the frozen models beside them, and the rollouts."""

import copy
import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple, TypeVar

import torch
from torch import nn

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.architecture.folder import read_settings
from models.architecture.heads import RewardModel, ValueModel, critic_from_reward
from models.architecture.reward_folder import load_reward_folder, read_reward_token_id
from models.training.chat import load_chat_tokenizer, reward_closing, stop_token_id, system_turn
from models.training.checkpoint import weights_digest
from models.training.data_folder import load_prompts, load_stream
from models.training.objectives import Objective
from models.training.ppo_objective import PPOModels, ppo_objective
from models.training.processes import device_of, world_size
from models.training.prompts import Prompt
from models.training.rewards import ConditionalReward
from models.training.rollouts import RolloutSource
from models.training.run_description import Ppo, RunDescription, RunRefused
from models.training.run_parts import REWARD_TYPE, load_model, tokenizer_folder

Model = TypeVar("Model", bound=nn.Module)


class Frame(NamedTuple):
    """Token ids around a prompt and its answer."""

    stop_ids: tuple[int, ...]
    system_prompts: dict[str, tuple[int, ...]]
    closing: tuple[int, ...]
    bos: int | None


def ppo_parts(description: RunDescription) -> tuple[PPOModels, RolloutSource, Objective]:
    """Actor and critic in float32 on the CPU; reward model and reference in place, in the plan's dtype.

    Raises RunRefused when the folders or numbers do not fit each other, and what loading them raises.
    """
    settings, plan = description.objective, description.plan
    assert isinstance(settings, Ppo), settings
    _require_numbers(description, settings)
    actor, reward, frame = load_model(description), _load_reward(settings), _frame(description, settings)
    assert isinstance(actor, Decoder), type(actor)
    prompts = load_prompts(description.data)
    _require_ids(prompts, frame, actor.config, reward.decoder.config, read_reward_token_id(settings.reward))
    critic = (
        critic_from_reward(reward, seed=plan.seed)
        if settings.critic == "reward"
        else ValueModel(copy.deepcopy(actor), seed=plan.seed)
    )
    device, dtype = device_of(description), getattr(torch, plan.dtype)
    rewarder = _frozen(reward, device, dtype)
    scorer = ConditionalReward(rewarder, frame.system_prompts, frame.closing, frame.bos, settings.rollouts.forward_rows)
    mixed_in = settings.pretrain
    source = RolloutSource(
        prompts,
        replace(settings.rollouts, stop_ids=frame.stop_ids),
        scorer,
        _digest(weights_digest(rewarder), *frame),
        _frozen(copy.deepcopy(actor), device, dtype),
        load_stream(mixed_in.data).packed(plan.sequence_length, mixed_in.rows) if mixed_in else None,
        scorer.max_answer_tokens,
    )
    identity = source.identity() | {
        "critic_scale": settings.critic_scale,
        "pretrain_rows": mixed_in.rows if mixed_in else 0,
    }
    return PPOModels(actor, critic, settings.critic_scale), source, ppo_objective(settings.loss, identity)


def _frozen(model: Model, device: torch.device, dtype: torch.dtype) -> Model:
    return model.to(device, dtype).requires_grad_(False).eval()


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _load_reward(settings: Ppo) -> RewardModel:
    folder = settings.reward
    found = read_settings(folder) if (folder / "config.json").exists() else {}
    if REWARD_TYPE not in (found.get("architectures") or ()):  # type: ignore[operator]
        raise RunRefused(
            f"{folder} is no folder of a reward model: objective.reward must be the output of a reward run; name it"
        )
    if found.get("pad_token_id") is None:
        raise RunRefused(f"{folder}/config.json has no pad_token_id, which the critic's folder needs; save it anew")
    return load_reward_folder(folder).float()


def _frame(description: RunDescription, settings: Ppo) -> Frame:
    """What the description gives, and the rest from the chat template of the start's tokenizer."""
    texts = [domain for domain, text in settings.system_prompts.items() if isinstance(text, str)]
    absent = {
        "rollouts.stop_ids": not settings.rollouts.stop_ids,
        "closing": settings.closing is None,
        "token ids in system_prompts": bool(texts),
    }
    needed = [name for name, missing in absent.items() if missing]
    if not needed:
        prompts = {domain: tuple(map(int, ids)) for domain, ids in settings.system_prompts.items()}
        return Frame(settings.rollouts.stop_ids, prompts, settings.closing or (), settings.bos)
    folder = tokenizer_folder(description.model)
    if folder is None:
        raise RunRefused(f"{description.model} holds no tokenizer: set objective's {', '.join(needed)}, or save one")
    tokenizer = load_chat_tokenizer(folder)
    bos = tokenizer.bos_token_id if settings.bos is None and settings.closing is None else settings.bos
    return Frame(
        settings.rollouts.stop_ids or (stop_token_id(tokenizer),),
        {
            domain: tuple(system_turn(tokenizer, text) if isinstance(text, str) else text)
            for domain, text in settings.system_prompts.items()
        },
        tuple(reward_closing(tokenizer)) if settings.closing is None else settings.closing,
        bos,  # type: ignore[arg-type]
    )


def _require_numbers(description: RunDescription, settings: Ppo) -> None:
    plan, rollouts = description.plan, settings.rollouts
    if description.epochs != 1:
        raise RunRefused("epochs is for examples: prompts are drawn without end; set objective.rollouts.epochs")
    rows = rollouts.prompts_per_iteration // rollouts.minibatches
    if plan.batch_rows != rows:
        raise RunRefused(
            f"plan.batch_rows {plan.batch_rows} must be the answers of an update, rollouts.prompts_per_iteration / "
            f"minibatches = {rows}; change one of them"
        )
    parts = world_size() * plan.accumulation
    if settings.pretrain and settings.pretrain.rows % parts:
        raise RunRefused(
            f"objective.pretrain.rows {settings.pretrain.rows} must be a multiple of processes x accumulation, "
            f"{world_size()} x {plan.accumulation}; change one of them"
        )


def _require_ids(
    prompts: Iterable[Prompt], frame: Frame, actor: DecoderConfig, reward: DecoderConfig, reward_token_id: int
) -> None:
    """Raises RunRefused for a domain without system prompt, and for token ids that mean something else to a model."""
    if reward.vocab_size < actor.vocab_size:
        raise RunRefused(
            f"the reward model knows {reward.vocab_size} tokens, the actor writes {actor.vocab_size}: both must have "
            "one tokenizer; train the reward model from this model"
        )
    if frame.closing[-1:] != (reward_token_id,):
        raise RunRefused(
            f"the reward model scores at token {reward_token_id}, but objective.closing is {list(frame.closing)}; "
            "let it end with that token"
        )
    if unconditioned := sorted({prompt.domain for prompt in prompts} - frame.system_prompts.keys()):
        raise RunRefused(
            f"prompts are of the domain {unconditioned[0]!r}, which objective.system_prompts lacks; add it, with [] "
            "for none"
        )
    read = {f"prompt {prompt.id}": (prompt.tokens, actor) for prompt in prompts}
    read |= {f"the system prompt {name!r}": (ids, reward) for name, ids in frame.system_prompts.items()}
    read |= {"closing": (frame.closing, reward), "rollouts.stop_ids": (frame.stop_ids, actor)}
    for name, (ids, config) in read.items():
        if ids and not 0 <= min(ids) <= max(ids) < config.vocab_size:
            raise RunRefused(f"{name} has token ids outside 0 to {config.vocab_size - 1}; use the model's tokenizer")

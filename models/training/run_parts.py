"""The parts of a described run, made from its folders: model, data, objective, back-end, and the folder it leaves."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from torch import nn

from models.architecture.decoder import Decoder
from models.architecture.folder import TOKENIZER_FILES, read_settings, special_ids
from models.architecture.heads import RewardModel, TokenRewardModel, ValueModel, token_reward_from_decoder
from models.architecture.huggingface import load_folder, save_folder
from models.architecture.reward_folder import load_reward_folder, read_reward_token_id, save_reward_folder
from models.architecture.token_reward_folder import (
    TOKEN_REWARD_TYPE,
    load_token_reward_folder,
    save_token_reward_folder,
)
from models.training.backend import Backend, TorchBackend
from models.training.data_folder import DATA_FILE, load_examples, load_stream
from models.training.deepspeed_backend import with_deepspeed
from models.training.dpo import dpo_objective
from models.training.examples import PackedExamples
from models.training.objectives import PRETRAIN, SFT, Objective, Source
from models.training.outcome_objective import outcome_objective
from models.training.plan import TrainingPlan
from models.training.ppo_objective import PPOModels
from models.training.reward import reward_objective
from models.training.run_description import (
    DeepSpeed,
    Dpo,
    Outcome,
    Ppo,
    Pretrain,
    Reward,
    RunDescription,
    RunRefused,
    Sft,
    TokenReward,
)
from models.training.token_reward import token_reward_objective
from models.training.trajectory_folder import load_trajectories

REWARD_TYPE = "LlamaForSequenceClassification"
REPORT_FILE = "report.json"
CRITIC_FOLDER = "critic"


def load_model(description: RunDescription) -> nn.Module:
    """The starting model in float32 on the CPU; a reward model's head is drawn anew when the start has none."""
    folder, objective = description.model, description.objective
    if not (folder / "config.json").exists():
        raise RunRefused(f"{folder} holds no config.json: model must be a Hugging Face folder; name another")
    named: list[str] = read_settings(folder).get("architectures") or []  # type: ignore[assignment]
    scorer = next((kind for kind in named if kind in (REWARD_TYPE, TOKEN_REWARD_TYPE)), None)
    if scorer is None:
        decoder = load_folder(folder)
        if isinstance(objective, Reward):
            return RewardModel(decoder, seed=description.plan.seed).float()
        return (token_reward_from_decoder(decoder) if isinstance(objective, TokenReward) else decoder).float()
    if scorer == REWARD_TYPE and isinstance(objective, Reward):
        return load_reward_folder(folder).float()
    if scorer == TOKEN_REWARD_TYPE and isinstance(objective, TokenReward):
        return load_token_reward_folder(folder).float()
    raise RunRefused(f"{folder} is a reward model, {objective.name} trains a decoder; name a decoder's folder")


def load_source(description: RunDescription) -> Source:
    """The batches in the data folder, memory mapped."""
    plan, objective = description.plan, description.objective
    if isinstance(objective, Pretrain):
        if description.epochs != 1:
            raise RunRefused("epochs is for examples: a stream has its passes in its draw order; leave it out")
        return load_stream(description.data).packed(plan.sequence_length, plan.batch_rows)
    if isinstance(objective, Outcome | TokenReward):
        if description.epochs != 1:
            raise RunRefused("epochs is for examples: trajectories have the steps that they were sampled for")
        return load_trajectories(description.data)
    examples = load_examples(description.data)
    sides = 1 if isinstance(objective, Sft) else 2
    if examples.documents_per_example != sides:
        raise RunRefused(
            f"{description.data} has {examples.documents_per_example} documents per example, {objective.name} needs "
            f"{sides}; build the data with documents_per_example={sides}"
        )
    return PackedExamples(examples, plan.sequence_length, plan.batch_rows, epochs=description.epochs, seed=plan.seed)


def make_objective(description: RunDescription, model: nn.Module) -> Objective:
    settings = description.objective
    if isinstance(settings, Reward):
        return reward_objective(settings.reward_token_id, settings.gamma, settings.penalty)
    if isinstance(settings, Dpo):
        reference = load_folder(settings.reference).float() if settings.reference else model
        assert isinstance(reference, Decoder), settings
        return dpo_objective(reference, settings.beta)
    if isinstance(settings, Outcome):
        reference = load_folder(settings.reference).float() if settings.reference else model
        assert isinstance(reference, Decoder), settings
        return outcome_objective(reference, settings.loss)
    if isinstance(settings, TokenReward):
        return token_reward_objective()
    return PRETRAIN if isinstance(settings, Pretrain) else SFT


def make_backend(description: RunDescription) -> Callable[[nn.Module, TrainingPlan], Backend]:
    backend = description.backend
    return with_deepspeed(backend.settings()) if isinstance(backend, DeepSpeed) else TorchBackend


def run_digest(description: RunDescription) -> str:
    """What names all the data that the run reads: a SHA-256 over it, or what the description gives."""
    if description.data_digest:
        return description.data_digest
    settings, own = description.objective, data_digest(description.data)
    if isinstance(settings, Ppo) and settings.pretrain:
        return hashlib.sha256(f"{own} {data_digest(settings.pretrain.data)}".encode()).hexdigest()
    return own


def data_digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of a data folder's files; reads all of it."""
    if not (folder / DATA_FILE).exists():
        raise RunRefused(f"{folder / DATA_FILE} is missing: data must be a folder of data_folder.py")
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")):
        with path.open("rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def tokenizer_folder(model_folder: Path) -> Path | None:
    """The folder itself when it has a tokenizer."""
    found = any((model_folder / name).exists() for name in TOKENIZER_FILES[:2])
    return model_folder if found else None


def save_output(description: RunDescription, model: nn.Module, report: str) -> None:
    """Writes the trained model, its tokenizer and report.json; the folder appears whole or not at all."""
    target = description.output
    unfinished = target.with_name(f".unfinished-{target.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    tokenizer = tokenizer_folder(description.model)
    if isinstance(model, RewardModel):
        settings = description.objective
        assert isinstance(settings, Reward), settings
        save_reward_folder(
            model, unfinished, tokenizer, reward_token_id=settings.reward_token_id, pad_id=settings.pad_id
        )
    elif isinstance(model, TokenRewardModel):
        save_token_reward_folder(model, unfinished, tokenizer)
    elif isinstance(model, PPOModels):
        save_folder(model.actor, unfinished, tokenizer)
        _save_critic(description, model.critic, unfinished / CRITIC_FOLDER)
    else:
        assert isinstance(model, Decoder), type(model)
        save_folder(model, unfinished, tokenizer)
    (unfinished / REPORT_FILE).write_text(report, encoding="utf-8")
    if target.exists():
        shutil.rmtree(target)
    unfinished.rename(target)


def _save_critic(description: RunDescription, critic: ValueModel, folder: Path) -> None:
    """Writes a critic in the layout of a reward model, whose head is of the same shape."""
    settings = description.objective
    assert isinstance(settings, Ppo), settings
    scorer = RewardModel(critic.decoder, head_spread=0.0)
    scorer.head = critic.head
    reward_token_id, pad_id = read_reward_token_id(settings.reward), read_settings(settings.reward)["pad_token_id"]
    tokenizer = tokenizer_folder(description.model)
    save_reward_folder(scorer, folder, tokenizer, reward_token_id=reward_token_id, pad_id=int(str(pad_id)))


def require_output(description: RunDescription) -> None:
    """Raises RunRefused when writing the output would lose something, or could not succeed."""
    target, settings = description.output, description.objective
    if target.exists() and any(target.iterdir()) and not (target / REPORT_FILE).exists():
        raise RunRefused(f"{target} exists and is not of a training (no {REPORT_FILE}); name another output folder")
    if isinstance(settings, Reward):
        tokenizer = tokenizer_folder(description.model)
        pad = settings.pad_id
        if pad is None and tokenizer:
            vocab_size = read_settings(description.model)["vocab_size"]
            pad = special_ids(tokenizer, int(str(vocab_size))).get("pad_token_id")  # type: ignore[assignment]
        if pad is None or pad == settings.reward_token_id:
            raise RunRefused(
                f"a reward model's folder needs a padding token that is not the reward token, not {pad}; set "
                "objective.pad_id"
            )

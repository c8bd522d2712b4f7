"""From the settings of a role to its engine. What computes is imported here and only when it is needed."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from assets.core.errors import InputError
from assets.core.generation.roles_file import Role, RulesRole, TorchRole, VLLMRole
from models.inference.engine import Engine

if TYPE_CHECKING:
    from models.inference.vllm import VLLMEngine


def identity(role: Role) -> dict[str, object]:
    """Everything but a request that determines an answer of the role's engine, which is not started for it."""
    if isinstance(role, RulesRole):
        return {"engine": "rules"}
    if isinstance(role, TorchRole):
        from models.inference.checkpoint_folder import folder_digest

        _require_model(role.folder)
        computed = {"dtype": role.dtype, "device": role.device, "deterministic": True}
        return {"engine": "torch", "folder": folder_digest(role.folder), **computed}
    if isinstance(role, VLLMRole):
        with closing(_vllm(role, Path())) as server:  # starts with its first request
            return server.identity()
    from models.inference.openai import OpenAIEngine

    with closing(OpenAIEngine(role)) as endpoint:  # opens no connection
        return endpoint.identity()


def start(role: Role, logs: Path) -> Engine:
    """The engine of a role that a model plays; a server writes its log into the folder `logs`.

    Raises InputError for what the settings promise and is not there.
    """
    if isinstance(role, TorchRole):
        import torch

        from models.inference.torch_engine import TorchEngine

        try:
            return TorchEngine(role.folder, dtype=getattr(torch, role.dtype), device=role.device)
        except ValueError as error:
            raise InputError(
                f"no engine can be made of {role.folder}: {error}", "correct `folder` in the file of roles"
            ) from error
    if isinstance(role, VLLMRole):
        return _vllm(role, logs)
    assert not isinstance(role, RulesRole)
    from models.inference.openai import OpenAIEngine

    return OpenAIEngine(role, role.api_key())


def _vllm(role: VLLMRole, logs: Path) -> VLLMEngine:
    from models.inference.vllm import VLLMEngine
    from models.inference.vllm_server import VLLMSettings

    _require_model(role.folder)
    return VLLMEngine(
        VLLMSettings(
            folder=role.folder,
            log=logs / f"vllm-{role.model}.log",
            python=role.python,
            dtype=role.dtype,
            tensor_parallel=role.tensor_parallel,
            data_parallel=role.data_parallel,
            max_length=role.max_length,
            logprobs_mode=role.logprobs_mode,
            flags=role.flags,
            environment=role.environment,
            concurrency=role.concurrency,
        )
    )


def _require_model(folder: Path) -> None:
    if not (folder / "config.json").exists():
        raise InputError(f"{folder} has no config.json", "correct `folder` in the file of roles")

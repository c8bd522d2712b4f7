"""From the settings of a role to its engine. What computes is imported here and only when it is needed."""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path

from assets.core.errors import InputError
from assets.core.generation.roles_file import Role, RulesRole, TorchRole
from assets.core.lake.store import MANIFEST
from models.inference.engine import Engine

# What a Hugging Face folder keeps weights, configuration, tokenizer and chat template in.
SUFFIXES = (".safetensors", ".json", ".jinja", ".model", ".txt")


def identity(role: Role) -> dict[str, object]:
    """Everything but a request that determines an answer of the role's engine, which is not started for it."""
    if isinstance(role, RulesRole):
        return {"engine": "rules"}
    if isinstance(role, TorchRole):
        computed = {"dtype": role.dtype, "device": role.device, "deterministic": True}
        return {"engine": "torch", "folder": folder_digest(role.folder), **computed}
    from models.inference.openai import OpenAIEngine

    with closing(OpenAIEngine(role)) as engine:  # opens no connection
        return engine.identity()


def start(role: Role) -> Engine:
    """The engine of a role that a model plays. Raises InputError for what the settings promise and is not there."""
    if isinstance(role, TorchRole):
        import torch

        from models.inference.torch_engine import TorchEngine

        try:
            return TorchEngine(role.folder, dtype=getattr(torch, role.dtype), device=role.device)
        except ValueError as error:
            raise InputError(
                f"no engine can be made of {role.folder}: {error}", "correct `folder` in the file of roles"
            ) from error
    assert not isinstance(role, RulesRole)
    from models.inference.openai import OpenAIEngine

    return OpenAIEngine(role, role.api_key())


def folder_digest(folder: Path) -> str:
    """Of all that answers come from: weights, configuration, tokenizer, chat template; not of the lake's manifest,
    which says when the folder was published. Raises InputError where there is no model."""
    files = [file for file in sorted(folder.glob("*")) if file.suffix in SUFFIXES and file.name != MANIFEST]
    if not any(file.name == "config.json" for file in files):
        raise InputError(f"{folder} has no config.json", "correct `folder` in the file of roles")
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            digest.update(f"{file.name} {hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()

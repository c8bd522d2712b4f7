"""What a checkpoint folder's files say of it, read without building the model."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import safe_open

from models.architecture.folder import CONFIG_FILE, GENERATION_FILE, TOKENIZER_FILES

WEIGHTS = "*.safetensors"


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of all files that determine an answer: weights, settings, tokenizer."""
    digest = hashlib.sha256()
    names = (CONFIG_FILE, GENERATION_FILE, *TOKENIZER_FILES)
    for path in sorted([*folder.glob(WEIGHTS), *(folder / name for name in names if (folder / name).exists())]):
        with path.open("rb") as file:
            digest.update(f"{path.name} {path.stat().st_size}\n".encode())
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The weights' names and shapes. Raises FileNotFoundError when the folder holds none."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob(WEIGHTS)):
        with safe_open(path, "pt") as file:
            shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    if not shapes:
        raise FileNotFoundError(f"{folder} holds no {WEIGHTS}")
    return shapes

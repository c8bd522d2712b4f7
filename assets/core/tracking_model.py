"""What MLflow is told of datasets of the lake and of Hugging Face folders.

A LoggedModel's files are

    model/                  the Hugging Face folder, unchanged: weights, configuration, tokenizer
    components/tokenizer/   the folder again without the weights, where MLflow looks for the tokenizer
    MLmodel                 how MLflow loads it: as a `transformers` pipeline or as a generic Python function
    requirements.txt, python_env.yaml

`mlflow.transformers.log_model` would load the model and write it anew, and refuses a path with transformers 5; this
layout is the one it writes (MLflow 3.17).
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assets.core.errors import InputError
from assets.core.lake import Dataset

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, LoggedModel

DIGEST = "athanor.digest"
FOLDER = "model"
DIGEST_CHARACTERS = 32  # MLflow takes at most 36
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
WEIGHTS = (".safetensors", ".safetensors.index.json")
REQUIRED = ("mlflow", "torch", "transformers")
COLUMN_TYPES = {
    "Boolean": "boolean", "Int8": "integer", "Int16": "integer", "Int32": "integer", "UInt8": "integer",
    "UInt16": "integer", "UInt32": "long", "Int64": "long", "UInt64": "long", "Float32": "float", "Float64": "double",
    "Binary": "binary",
}  # fmt: skip


def dataset_name(dataset: Dataset) -> str:
    """`key@partition#part`, of which a dataset has what it has."""
    partition = f"@{dataset.manifest.partition}" if dataset.manifest.partition else ""
    return dataset.manifest.key + partition + (f"#{dataset.part}" if dataset.part else "")


def dataset_input(context: str, dataset: Dataset) -> DatasetInput:
    """A dataset as an input of a run: the lake's digest, its beginning as MLflow's digest and all of it as a tag."""
    from mlflow.entities import Dataset as Described
    from mlflow.entities import DatasetInput, InputTag

    folder = dataset.store.local(dataset.location, "manifest.json").parent
    columns = [{"name": name, "required": True} | _column(dtype) for name, dtype in dataset.manifest.columns.items()]
    described = Described(
        name=dataset_name(dataset),
        digest=dataset.digest[:DIGEST_CHARACTERS],
        source_type="local",
        source=json.dumps({"uri": str(folder)}),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps({"num_rows": dataset.rows}),
    )
    return DatasetInput(described, [InputTag("mlflow.data.context", context), InputTag(DIGEST, dataset.digest)])


def _column(dtype: str) -> dict[str, Any]:
    """A polars type as MLflow's; what MLflow has no type for is shown as a string."""
    if inner := re.fullmatch(r"List\((.*)\)", dtype):
        items = _column(inner[1])
        return {"type": "array", "items": items}
    return {"type": COLUMN_TYPES.get(dtype, "string")}


def digest_folder(folder: Path) -> str:
    """sha256 over the names and contents of a folder's files."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as handle:
            content = hashlib.file_digest(handle, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()}\n{content}\n".encode())
    return digest.hexdigest()


def describe_model(folder: Path, target: Path, entity: LoggedModel, digest: str) -> None:
    """Write everything but `model/` into `target`. InputError when `folder` is not a whole, pickle-free model."""
    from mlflow.models import Model, ModelSignature
    from mlflow.pyfunc import add_to_model
    from mlflow.types import ColSpec, Schema

    config = _checked_config(folder)
    dtype = config.get("dtype") or config.get("torch_dtype")
    text = Schema([ColSpec("string")])
    model = Model(
        artifact_path=entity.artifact_location,
        run_id=entity.source_run_id,
        model_uuid=entity.model_id,
        model_id=entity.model_id,
        signature=ModelSignature(inputs=text, outputs=text),
        metadata={DIGEST: digest},
    )
    model.model_size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    model.add_flavor(
        "transformers",
        transformers_version=version("transformers"),
        code=None,
        task="text-generation",
        instance_type="TextGenerationPipeline",
        pipeline_model_type=config["architectures"][0],
        source_model_name=entity.name,
        model_binary=FOLDER,
        components=["tokenizer"],
        tokenizer_type="AutoTokenizer",
        **({"torch_dtype": f"torch.{dtype}"} if dtype else {}),
    )
    add_to_model(model, loader_module="mlflow.transformers", python_env="python_env.yaml")
    model.save(target / "MLmodel")
    pins = [f"{name}=={version(name).split('+')[0]}" for name in REQUIRED]
    (target / "requirements.txt").write_text("\n".join(pins) + "\n")
    (target / "python_env.yaml").write_text(
        f"python: {platform.python_version()}\ndependencies:\n- -r requirements.txt\n"
    )
    tokenizer = target / "components" / "tokenizer"
    tokenizer.mkdir(parents=True)
    for path in folder.iterdir():
        if path.is_file() and not path.name.endswith(WEIGHTS):
            shutil.copyfile(path, tokenizer / path.name)


def _checked_config(folder: Path) -> dict[str, Any]:
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    missing = {"config.json", "tokenizer_config.json"} - names
    if not any(name.endswith(".safetensors") for name in names):
        missing.add("*.safetensors")
    if missing:
        raise InputError(
            f"{folder} is not a Hugging Face model folder: {', '.join(sorted(missing))} missing",
            "save model and tokenizer into one folder with `save_pretrained`",
        )
    pickles = sorted(name for name in names if name.endswith(PICKLES))
    if pickles:
        raise InputError(f"{folder} holds pickled files: {', '.join(pickles)}", "save the weights as safetensors")
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    if not config.get("architectures"):
        raise InputError(
            f"{folder / 'config.json'} names no architecture", "add `architectures`, as transformers writes"
        )
    return config

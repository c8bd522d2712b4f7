"""Resources by profile: the same assets on a laptop, on GPUs of this machine, and on a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import ValidationError

from assets.core.errors import InputError
from assets.core.generation.roles import Roles
from assets.core.home import Home
from assets.core.policy_engine import PolicyEngineResource
from assets.core.resources import LakeResource
from assets.core.retrieval.resource import RetrievalResource
from assets.core.rows import RowsResource
from assets.core.sandbox.resource import SandboxResource
from assets.core.tracking import Tracking
from assets.core.trainer import REMOTE, TrainerResource

GPU: dict[str, Any] = {"device": "cuda", "dtype": "bfloat16", "threads": 8}


def laptop() -> TrainerResource:
    """In this process. One thread: a second one adds a third to the speed of a model this small, a second training
    adds all of it. `ATHANOR_DTYPE=bfloat16` doubles it where the processor has instructions for it."""
    dtype: Any = os.environ.get("ATHANOR_DTYPE") or "float32"
    return TrainerResource(launcher="in_process", device="cpu", dtype=dtype, threads=1)


def gpu() -> TrainerResource:
    """A process per GPU of this machine, as many as `ATHANOR_PROCESSES` says."""
    return TrainerResource(launcher="subprocess", **GPU, **_divided())


def cluster() -> TrainerResource:
    """On Ray or Kubernetes, as `ATHANOR_LAUNCHER` says; raises InputError for every setting that is missing."""
    launcher = os.environ.get("ATHANOR_LAUNCHER", "")
    needed = {"ray": ["ATHANOR_RAY_ADDRESS"], "kubernetes": ["ATHANOR_IMAGE", "ATHANOR_VOLUME_CLAIM"]}
    if launcher not in needed:
        raise InputError(
            f"the profile cluster needs ATHANOR_LAUNCHER, not {launcher!r}", f"set it to {' or '.join(REMOTE)}"
        )
    missing = [name for name in ["ATHANOR_SHARED", *needed[launcher]] if not os.environ.get(name)]
    if missing:
        raise InputError(
            f"the profile cluster with {launcher} needs {', '.join(missing)}",
            "set them: ATHANOR_SHARED is a folder that all machines see, ATHANOR_RAY_ADDRESS is http://HEAD:8265",
        )
    remote: dict[str, Any] = {
        "nodes": _number("ATHANOR_NODES", 1),
        "shared_folder": os.environ["ATHANOR_SHARED"],
        "python": os.environ.get("ATHANOR_PYTHON", "python"),
        "ray_address": os.environ.get("ATHANOR_RAY_ADDRESS"),
        "ray_token": dg.EnvVar("ATHANOR_RAY_TOKEN") if os.environ.get("ATHANOR_RAY_TOKEN") else None,
        "image": os.environ.get("ATHANOR_IMAGE"),
        "namespace": os.environ.get("ATHANOR_NAMESPACE"),
        "volume_claim": os.environ.get("ATHANOR_VOLUME_CLAIM"),
        "secret": os.environ.get("ATHANOR_SECRET"),
        "memory": os.environ.get("ATHANOR_MEMORY"),
    }
    return TrainerResource(launcher=launcher, **GPU, **_divided(), **remote)  # type: ignore[arg-type]


TRAINERS: dict[str, Callable[[], TrainerResource]] = {"laptop": laptop, "gpu": gpu, "cluster": cluster}


def current_profile() -> str:
    """The profile named by `ATHANOR_PROFILE`, by default `laptop`."""
    profile = os.environ.get("ATHANOR_PROFILE", "laptop")
    if profile not in TRAINERS:
        raise InputError(f"unknown profile {profile!r}", f"set ATHANOR_PROFILE to one of {', '.join(TRAINERS)}")
    return profile


def resources(profile: str | None = None) -> dict[str, Any]:
    """Dagster resources of a profile; all that a run keeps lies under the home, but for work on a shared volume."""
    home = Home.from_environment()
    name = profile or current_profile()
    try:
        trainer = TRAINERS[name]()
    except ValidationError as error:
        wrong = "; ".join(each["msg"].removeprefix("Value error, ") for each in error.errors())
        raise InputError(f"the settings of the profile {name} do not fit: {wrong}", "correct them") from error
    roles = Roles(file=os.environ.get("ATHANOR_ROLES", ""), database=str(home.root / "generation.db"))
    roles.settings()  # a fault in the file is told when the code location loads
    work = Path(trainer.shared_folder) / "work" if trainer.shared_folder else home.work
    return {
        "lake": LakeResource(root=home.lake, work=str(work)),
        "tracking": Tracking(tracking_uri=home.tracking_uri, artifacts=str(home.artifacts)),
        "trainer": trainer,
        "roles": roles,
        "sandbox": SandboxResource(),
        "policy_engine": policy_engine(name),
        "rows": rows(name),
        "retrieval": retrieval(),
    }


def retrieval() -> RetrievalResource:
    """BM25 in this process, or in the cluster that `ATHANOR_OPENSEARCH_URL` names."""
    url = os.environ.get("ATHANOR_OPENSEARCH_URL", "")
    if not url:
        return RetrievalResource()
    secrets: dict[str, Any] = {
        name: dg.EnvVar(variable)
        for name, variable in (("user", "ATHANOR_OPENSEARCH_USER"), ("password", "ATHANOR_OPENSEARCH_PASSWORD"))
        if os.environ.get(variable)
    }
    return RetrievalResource(engine="opensearch", url=url, **secrets)


def rows(profile: str) -> RowsResource:
    """Where functions over rows run: processes of this machine, on the cluster with Ray Ray Data."""
    on_ray = profile == "cluster" and os.environ.get("ATHANOR_LAUNCHER") == "ray"
    return RowsResource(backend="ray" if on_ray else "processes")


def policy_engine(profile: str) -> PolicyEngineResource:
    """What samples from a policy in training: the torch engine on the laptop, else vLLM, unless
    `ATHANOR_POLICY_ENGINE` says otherwise; `ATHANOR_VLLM_PYTHON` is the Python that has vLLM."""
    laptop = profile == "laptop"
    engine: Any = os.environ.get("ATHANOR_POLICY_ENGINE") or ("torch" if laptop else "vllm")
    dtype: Any = os.environ.get("ATHANOR_DTYPE") or ("float32" if laptop else "bfloat16")
    return PolicyEngineResource(
        engine=engine,
        device="cpu" if laptop else "cuda",
        dtype=dtype,
        python=os.environ.get("ATHANOR_VLLM_PYTHON") or "python",
        tensor_parallel=_number("ATHANOR_TENSOR_PARALLEL", 1),
        data_parallel=_number("ATHANOR_DATA_PARALLEL", 1),
    )


def _divided() -> dict[str, Any]:
    """DeepSpeed's settings, from the environment."""
    return {
        "backend": "deepspeed",
        "processes": _number("ATHANOR_PROCESSES", 1),
        "zero_stage": _number("ATHANOR_ZERO_STAGE", 1),
        "offload_optimizer": bool(_number("ATHANOR_OFFLOAD_OPTIMIZER", 0)),
    }


def _number(name: str, default: int) -> int:
    value = os.environ.get(name) or str(default)
    if not value.isdigit():
        raise InputError(f"{name} is {value!r}", "set it to a whole number")
    return int(value)

"""The trainer as a Dagster resource: which processes train, where, and how a model is divided among them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from assets.core.fingerprint import fingerprint
from assets.core.resources import ComputeResource
from assets.core.sources import module_closure

REMOTE = ("ray", "kubernetes")


class TrainerResource(ComputeResource):
    """What trains: this process, or processes of their own on this machine, on Ray or on Kubernetes."""

    launcher: Literal["in_process", "subprocess", "ray", "kubernetes"] = Field(
        "in_process", description="What starts the processes; all but the first report through Dagster Pipes."
    )
    processes: int = Field(1, gt=0, description="Processes per machine; on GPUs, one each.")
    nodes: int = Field(1, gt=0, description="Machines; more than one by Ray only.")
    backend: Literal["torch", "deepspeed"] = Field("torch", description="How a model is divided among processes.")
    zero_stage: int = Field(1, ge=0, le=3, description="DeepSpeed divides 1 moments, 2 also gradients, 3 also weights.")
    offload_optimizer: bool = Field(False, description="DeepSpeed keeps float32 weights and moments in CPU memory.")
    shared_folder: str | None = Field(
        None, description="Folder that all machines see under this path; trainer states must lie in it."
    )
    python: str = Field("python", description="Python with Athanor on Ray's machines or in the image.")
    ray_address: str | None = Field(None, description="Ray's dashboard, as http://HEAD:8265.")
    ray_token: str | None = Field(None, description="Bearer token for the dashboard: a secret, give it as dg.EnvVar.")
    image: str | None = Field(None, description="Container image with Athanor and its dependencies.")
    namespace: str | None = Field(None, description="Kubernetes namespace; by default the client's own.")
    volume_claim: str | None = Field(None, description="PersistentVolumeClaim that is mounted at shared_folder.")
    secret: str | None = Field(None, description="Kubernetes Secret whose keys become environment variables.")
    memory: str | None = Field(None, description="Memory of the pod, as 64Gi; by default without a limit.")
    user_id: int = Field(1000, gt=0, description="User that the pod runs as; it must be able to write shared_folder.")

    @model_validator(mode="after")
    def _complete(self) -> TrainerResource:
        needed = {
            "ray": {"ray_address": self.ray_address},
            "kubernetes": {"image": self.image, "volume_claim": self.volume_claim, "shared_folder": self.shared_folder},
        }
        missing = [name for name, value in needed.get(self.launcher, {}).items() if not value]
        if missing:
            raise ValueError(f"the launcher {self.launcher} needs {', '.join(missing)}")
        if self.nodes > 1 and self.launcher != "ray":
            raise ValueError(f"the launcher {self.launcher} starts one machine; use ray for {self.nodes} nodes")
        if self.launcher == "in_process" and (self.processes > 1 or self.backend != "torch"):
            raise ValueError("in process one process trains on plain torch; use the launcher subprocess")
        if self.offload_optimizer and (self.backend != "deepspeed" or self.zero_stage == 0):
            raise ValueError("offload_optimizer needs the backend deepspeed and zero_stage 1, 2 or 3")
        return self

    def identity(self) -> dict[str, object]:
        """What the weights depend on beside code that assets name: sums are ordered by the number of processes."""
        shared = {"device": self.device, "dtype": self.dtype, "threads": self.threads}
        if self.launcher == "in_process":
            return {"backend": "torch", **shared}
        divided = {"zero_stage": self.zero_stage, "offload_optimizer": self.offload_optimizer}
        return {
            "backend": self.backend,
            **shared,
            "processes": self.processes * self.nodes,
            **(divided if self.backend == "deepspeed" else {}),
            "process_code": fingerprint(module_closure("models.training.run")),
        }

"""The engine that samples from a policy in training, as a Dagster resource: in this process, or a vLLM server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import dagster as dg
from pydantic import Field

if TYPE_CHECKING:
    from models.inference.engine import ReloadableEngine


class PolicyEngineResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Weights come from checkpoint folders and are replaced between two iterations, by the same code for both."""

    engine: Literal["torch", "vllm"] = Field("torch", description="In this process, or a managed `vllm serve`.")
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where the torch engine computes.")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="Of the policy's weights when it samples.")
    threads: int = Field(1, gt=0, description="CPU threads of the torch engine: sums are ordered by it.")
    python: str = Field("python", description="Python of the environment in which vLLM is installed.")
    tensor_parallel: int = Field(1, gt=0, description="vLLM: GPUs that one copy of the policy is spread over.")
    data_parallel: int = Field(1, gt=0, description="vLLM: copies of the policy.")

    def identity(self) -> dict[str, object]:
        """What samples depend on beside the weights; GPUs and copies change rounding only."""
        shared: dict[str, object] = {"engine": self.engine, "dtype": self.dtype}
        return shared | ({"device": self.device, "threads": self.threads} if self.engine == "torch" else {})

    @contextmanager
    def open(self, folder: Path, logs: Path) -> Iterator[ReloadableEngine]:
        """An engine with the weights of `folder`; a server writes its log into `logs` and ends with the context.

        Raises ValueError for a folder that cannot be loaded, and EngineError.
        """
        import torch

        if self.engine == "torch":
            from models.inference.torch_engine import TorchEngine

            threads = torch.get_num_threads()
            torch.set_num_threads(self.threads)
            try:
                yield TorchEngine(folder, dtype=getattr(torch, self.dtype), device=self.device)
            finally:
                torch.set_num_threads(threads)
            return
        from models.inference.vllm import VLLMEngine
        from models.inference.vllm_server import VLLMSettings

        logs.mkdir(parents=True, exist_ok=True)
        engine = VLLMEngine(
            VLLMSettings(
                folder=folder, log=logs / "vllm.log", python=self.python, dtype=self.dtype,
                tensor_parallel=self.tensor_parallel, data_parallel=self.data_parallel,
            )
        )  # fmt: skip
        try:
            yield engine
        finally:
            engine.close()

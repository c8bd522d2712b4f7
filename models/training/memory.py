"""How much memory a run needs, found out before hours are spent."""

import resource

import torch

from models.training.backend import Backend, share_of
from models.training.objectives import Objective, Source
from models.training.plan import TrainingPlan


def preflight(backend: Backend, source: Source, objective: Objective, plan: TrainingPlan, device: torch.device) -> int:
    """Computes the gradient of the run's largest batch and throws it away; answers the peak memory in bytes.

    Weights, moments and the random state are as before. A run that does not fit in memory ends here.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        batch = source.batch(source.largest_step(plan.steps), backend.model).to(device)
        backend.accumulate(objective, share_of(batch, backend, plan.accumulation), objective.counts(batch))
        backend.discard_gradients()
    return peak_memory(device)


def peak_memory(device: torch.device) -> int:
    """The most bytes allocated on a GPU so far, or held by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

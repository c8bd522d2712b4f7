"""How much memory a run needs, found out before hours are spent."""

import resource
from pathlib import Path

import torch
from torch import nn

from models.architecture.decoder import Decoder
from models.training.backend import Backend, share_of
from models.training.objectives import Objective, Source
from models.training.plan import TrainingPlan


def preflight(backend: Backend, source: Source, objective: Objective, plan: TrainingPlan, device: torch.device) -> int:
    """Computes the gradient of the run's largest batch and throws it away; answers the peak memory in bytes.

    Weights, moments and the random state are as before. A run that does not fit in memory ends here.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        batch = source.heaviest_batch(plan.steps, backend.model).to(device)
        backend.accumulate(objective, share_of(batch, backend, plan.accumulation), objective.counts(batch))
        backend.discard_gradients()
    return peak_memory(device)


def peak_memory(device: torch.device) -> int:
    """The most bytes allocated on a GPU so far, or held by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # Not getrusage alone: its figure goes on from the parent's across a fork.
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    found = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return (found[0] if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024


def estimate_memory(model: nn.Module, plan: TrainingPlan, processes: int, zero_stage: int) -> int:
    """About how many bytes a process needs on its device: tensors of the parameters, and activations.

    Per parameter 4 bytes of weights, 4 of gradients and 8 of moments in float32, and 4 more of weights and gradients
    in bfloat16; from ZeRO's stage 1 on the moments, from 2 the gradients, from 3 the weights are divided (arXiv
    1910.02054, section 5). Activations are 34 bytes per token, channel and layer in 16 bits (Korthikanti et al. 2022,
    arXiv 2205.05198, equation 2 without its attention matrix), and two float32 logits per vocabulary entry of a
    micro-batch's tokens in bfloat16. An order of magnitude for planning: `preflight` measures.
    """
    half = plan.dtype != "float32"
    total = sum(each.numel() for each in model.parameters())
    trained = sum(each.numel() for each in model.parameters() if each.requires_grad)

    def held(size: int, divided_from: int) -> int:
        return size // processes if zero_stage >= divided_from else size

    state = held(8 * trained, 1) + held((6 if half else 4) * trained, 2) + held((6 if half else 4) * total, 3)
    tokens = plan.batch_rows // (processes * plan.accumulation) * plan.sequence_length
    activations = 0
    for module in model.modules():
        if isinstance(module, Decoder):
            shape = module.config
            activations += tokens * shape.dim * shape.n_layers * (34 if half else 68)
            activations += tokens * shape.vocab_size * 8 if half else 0
    return state + activations

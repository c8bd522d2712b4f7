"""The learning rate of each step."""

import math


def cosine_with_warmup(step: int, steps: int, warmup_steps: int, peak: float, min_fraction: float) -> float:
    """Learning rate of `step`, counted from 0, in a run of `steps`.

    Rises linearly to `peak` at step `warmup_steps` - 1, then follows half a cosine from `peak` down to
    `min_fraction` * `peak`, reached at the last step (InternLM2, arXiv 2403.17297, section 3.3: cosine to 10 %).
    A single step after the warm-up is taken at the peak.
    """
    if step < warmup_steps:
        return peak * ((step + 1) / warmup_steps)
    progress = (step - warmup_steps) / max(1, steps - 1 - warmup_steps)
    return peak * (min_fraction + (1 - min_fraction) * (1 + math.cos(math.pi * progress)) / 2)

"""What a model makes of the last tokens of a window: how surprised it is by them, and how often it is right."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from models.architecture.decoder import Decoder


@torch.inference_mode()
def target_scores(
    model: Decoder, windows: NDArray[np.integer], *, target: int, bos_id: int, batch_tokens: int = 4096
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean negative log-likelihood (nats a token) and accuracy of the greedy guess on the last `target` tokens.

    `windows` are token ids `[windows, tokens]`, each read behind `bos_id`; both answers are `[windows]`. A batch has at
    most `batch_tokens` tokens (at least one window). Raises ValueError for a target that is no part of the window, or
    a window longer than the model's context.
    """
    count, length = windows.shape
    if not 0 < target <= length:
        raise ValueError(f"a target of {target} tokens does not lie in windows of {length}")
    if length > model.config.max_length:
        raise ValueError(f"windows of {length} tokens exceed the model's {model.config.max_length}")
    device = model.tok_embeddings.weight.device
    nats, right = np.zeros(count), np.zeros(count)
    rows = max(1, batch_tokens // length)
    for start in range(0, count, rows):
        tokens = torch.from_numpy(np.asarray(windows[start : start + rows], dtype=np.int64)).to(device)
        inputs = F.pad(tokens[:, :-1], (1, 0), value=bos_id)
        hidden = model.hidden_states(inputs)[:, -target:].float()
        wanted = tokens[:, -target:]
        logits = F.linear(hidden, model.output.weight.float())
        nll = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none").view(wanted.shape)
        nats[start : start + rows] = nll.double().mean(dim=1).cpu().numpy()
        right[start : start + rows] = (logits.argmax(-1) == wanted).double().mean(dim=1).cpu().numpy()
    return nats, right

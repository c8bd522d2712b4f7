"""How many bits a model needs to write down a document: perplexity that different tokenizers can be compared by."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from models.architecture.decoder import Decoder
from models.training.cross_entropy import IGNORED, LOGIT_ROWS


def document_bits(
    model: Decoder,
    documents: Sequence[NDArray[np.integer]],
    *,
    bos_id: int,
    max_length: int | None = None,
    batch_tokens: int = 2048,
) -> NDArray[np.float64]:
    """Bits of every document, float64 [documents], in the order given.

    A document is its content's token ids without special tokens; its bits are the summed negative log2-likelihood of
    those tokens after `bos_id`, and no end token is scored. A document of more than `max_length` tokens (by default
    the model's) is scored in disjoint windows of that many, each behind its own `bos_id` and without the text
    before it (our default: cheap, and pessimistic for long documents). An empty document has 0 bits.

    Windows of similar length share a batch of at most `batch_tokens` padded tokens (at least one window); the
    result does not depend on it beyond rounding. Raises ValueError when `max_length` exceeds the model's.
    """
    window = max_length or model.config.max_length
    if window > model.config.max_length:
        raise ValueError(f"max_length {window} exceeds the model's {model.config.max_length}")
    windows = [
        (index, document[start : start + window])
        for index, document in enumerate(documents)
        for start in range(0, len(document), window)
    ]
    windows.sort(key=lambda item: len(item[1]))
    bits = np.zeros(len(documents))
    for batch in _batches(windows, batch_tokens):
        nats = _window_nats(model, [tokens for _, tokens in batch], bos_id)
        np.add.at(bits, [index for index, _ in batch], nats / np.log(2))
    return bits


def bits_per_byte(bits: NDArray[np.float64], n_bytes: NDArray[np.integer]) -> float:
    """Bits per UTF-8 byte over a set of documents: the sum of the bits over the sum of the bytes.

    Raises ValueError when there are no bytes.
    """
    total = int(n_bytes.sum())
    if total <= 0:
        raise ValueError("bits per byte need at least one byte of text; the documents have none")
    return float(bits.sum() / total)


Window = tuple[int, NDArray[np.integer]]


def _batches(windows: list[Window], batch_tokens: int) -> Iterator[list[Window]]:
    batch: list[Window] = []
    for item in windows:
        # Lengths rise, so the newest window is the batch's widest.
        if batch and (len(batch) + 1) * len(item[1]) > batch_tokens:
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


@torch.inference_mode()
def _window_nats(model: Decoder, windows: list[NDArray[np.integer]], bos_id: int) -> NDArray[np.float64]:
    """Summed negative log-likelihood of each window's tokens, [windows]."""
    width = max(map(len, windows))
    inputs = np.full((len(windows), width), bos_id, dtype=np.int64)
    targets = np.full((len(windows), width), IGNORED, dtype=np.int64)
    for row, tokens in enumerate(windows):
        inputs[row, 1 : len(tokens)] = tokens[:-1]
        targets[row, : len(tokens)] = tokens
    device = model.tok_embeddings.weight.device
    # Padding stands to the right of what is scored, where causal attention cannot see it.
    hidden = model.hidden_states(torch.from_numpy(inputs).to(device)).flatten(0, 1).float()
    flat_targets, output_weight = torch.from_numpy(targets).to(device).flatten(), model.output.weight.float()
    # In chunks, so that the logits of the whole batch are never in memory at once.
    nll = [
        F.cross_entropy(F.linear(states, output_weight), wanted, reduction="none", ignore_index=IGNORED)
        for states, wanted in zip(hidden.split(LOGIT_ROWS), flat_targets.split(LOGIT_ROWS), strict=True)
    ]
    nats: NDArray[np.float64] = torch.cat(nll).view(inputs.shape).double().sum(dim=1).cpu().numpy()
    return nats

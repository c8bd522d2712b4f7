"""A decoder that goes on with many sequences at once, one token each per step, their keys and values kept in slots."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from models.architecture.decoder import Decoder, Layer
from models.inference.kernels import BLOCK, Buffers, kernels_for

# A product of few rows takes another route, with other rounding: every batch is filled up to this many.
ROWS_AT_A_TIME = 16
# Read at a time; more would not fit the processor's cache.
PREFILL_TOKENS = 2048


class DecodingModel:
    """A decoder's weights, arranged for decoding, and a static cache of `slots` sequences.

    The weights are those of the moment: after a change make another. What a sequence answers depends neither on its
    slot nor on the sequences beside it. `room` is the longest sequence, in tokens.
    """

    def __init__(self, decoder: Decoder, slots: int) -> None:
        config = decoder.config
        weight = decoder.output.weight
        self.decoder = decoder
        self.slots = slots
        # Beyond its rotation table a scaled decoder turns all of a sequence anew with every token: no cache can follow.
        self.room = len(decoder.get_buffer("cos"))
        blocks = -(-self.room // BLOCK)
        shape = (slots + 1, blocks, config.n_kv_heads, config.head_dim, BLOCK)  # the last slot is for padding
        turned = (*shape[:3], BLOCK, config.head_dim)
        self._keys = [weight.new_empty(shape) for _ in range(config.n_layers)]
        self._values = [weight.new_empty(turned) for _ in range(config.n_layers)]
        self._kernels = kernels_for(weight.device, weight.dtype, config.head_dim)
        self._cos, self._sin = (decoder.get_buffer(name).to(weight.dtype).contiguous() for name in ("cos", "sin"))
        self._layers = [layer for layer in decoder.layers if isinstance(layer, Layer)]
        self._gates = [
            torch.cat((layer.feed_forward.w1.weight, layer.feed_forward.w3.weight)).detach() for layer in self._layers
        ]
        self._buffers = Buffers(weight.detach())

    @property
    def kernels(self) -> str:
        """Which kernels compute: "native" or "torch"."""
        return self._kernels.name

    def require_fit(self, prompt_tokens: int, max_new_tokens: int, name: str) -> None:
        """Raises ValueError for a prompt that is empty or leaves no room for the new tokens."""
        room = self.room - max_new_tokens
        if not 0 < prompt_tokens <= room:
            raise ValueError(
                f"{name} has {prompt_tokens} tokens; with {max_new_tokens} new ones it must have 1 to {room} to fit "
                "the length the model was trained for"
            )

    @staticmethod
    def slot_bytes(decoder: Decoder) -> int:
        """Memory of one slot of the cache."""
        config = decoder.config
        positions = -(-len(decoder.get_buffer("cos")) // BLOCK) * BLOCK
        per_position = 2 * config.n_layers * config.n_kv_heads * config.head_dim
        return positions * per_position * decoder.output.weight.element_size()

    @torch.no_grad()
    def prefill(self, prompts: Sequence[Sequence[int]], slots: Sequence[int]) -> Tensor:
        """Reads each prompt into its slot; logits [N, V] of the tokens that follow.

        Prompts of about one length are read together, padded to whole blocks of their own length.
        """
        logits = self.decoder.output.weight.new_empty(len(prompts), self.decoder.config.vocab_size)
        by_blocks: dict[int, list[int]] = {}
        for row, prompt in enumerate(prompts):
            by_blocks.setdefault(-(-len(prompt) // BLOCK), []).append(row)
        for blocks, rows in by_blocks.items():
            at_a_time = max(1, PREFILL_TOKENS // (blocks * BLOCK))
            for first in range(0, len(rows), at_a_time):
                chosen = rows[first : first + at_a_time]
                logits[chosen] = self._read([prompts[row] for row in chosen], [slots[row] for row in chosen], blocks)
        return logits

    def _read(self, prompts: Sequence[Sequence[int]], slots: Sequence[int], blocks: int) -> Tensor:
        device = self.decoder.output.weight.device
        length = blocks * BLOCK
        tokens = torch.tensor([[*prompt, *[0] * (length - len(prompt))] for prompt in prompts], device=device)
        places = torch.tensor(slots, device=device)
        # A last block may reach beyond the table; what stands there is padding.
        positions = torch.arange(length, device=device).clamp(max=self.room - 1)
        cos, sin = (table[positions][None, :, None, None] for table in (self._cos, self._sin))
        hidden = self.decoder.tok_embeddings(tokens).flatten(0, 1)

        def mix(index: int, fused: Tensor) -> Tensor:
            attention = self._layers[index].attention
            query, key, value = attention.split(fused.unflatten(0, tokens.shape), cos, sin)
            self._keys[index][places, :blocks] = key.unflatten(1, (blocks, BLOCK)).permute(0, 1, 3, 4, 2)
            self._values[index][places, :blocks] = value.unflatten(1, (blocks, BLOCK)).transpose(2, 3)
            return attention.mix(query, key, value, None).flatten(0, 1)

        added = self._layers_over(hidden, mix)
        starts = torch.arange(0, len(hidden), length, device=device)
        ends = starts + torch.tensor([len(prompt) - 1 for prompt in prompts], device=device)
        filled = torch.cat((ends, ends[:1].expand(-len(ends) % ROWS_AT_A_TIME)))
        return self._logits(hidden[filled], added[filled])[: len(ends)]

    def copy(self, source: int, targets: Sequence[int], length: int) -> None:
        """Gives the slots `targets` the first `length` tokens of the slot `source`."""
        blocks = -(-length // BLOCK)
        for cache in (*self._keys, *self._values):
            # A copy: where a slot is one block, torch takes source and targets for overlapping.
            cache[list(targets), :blocks] = cache[source, :blocks].clone()

    @torch.no_grad()
    def step(self, tokens: Tensor, slots: Tensor, places: Tensor) -> Tensor:
        """Logits [M, V] after tokens [M] that stand in their slots [M] at their places [M], all int64.

        The result is overwritten by the next step.
        """
        many = len(tokens)
        if filling := -many % ROWS_AT_A_TIME:
            tokens, places = (torch.cat((part, part.new_zeros(filling))) for part in (tokens, places))
            slots = torch.cat((slots, slots.new_full((filling,), self.slots)))
        hidden = self.decoder.tok_embeddings(tokens)

        def mix(index: int, fused: Tensor) -> Tensor:
            caches = self._keys[index], self._values[index]
            return self._kernels.attend(fused, self._cos, self._sin, *caches, slots, places)

        added = self._layers_over(hidden, mix)
        return self._logits(hidden, added)[:many]

    def _layers_over(self, hidden: Tensor, mix: Callable[[int, Tensor], Tensor]) -> Tensor:
        """All layers over hidden [M, dim], in place but for what the last one adds, which is answered."""
        kernels, eps = self._kernels, self.decoder.config.norm_eps
        added: Tensor | None = None
        for index, layer in enumerate(self._layers):
            read = kernels.add_norm(hidden, added, layer.attention_norm.weight, eps)
            mixed = mix(index, self._product(read, layer.attention.wqkv.weight, "qkv"))
            added = self._product(mixed, layer.attention.wo.weight, "residual")
            read = kernels.add_norm(hidden, added, layer.ffn_norm.weight, eps)
            gated = kernels.gate(self._product(read, self._gates[index], "gate"))
            added = self._product(gated, layer.feed_forward.w2.weight, "residual")
        assert added is not None
        return added

    def _logits(self, hidden: Tensor, added: Tensor) -> Tensor:
        read = self._kernels.add_norm(hidden, added, self.decoder.norm.weight, self.decoder.config.norm_eps)
        return self._product(read, self.decoder.output.weight, "logits")

    def _product(self, rows: Tensor, weight: Tensor, use: str) -> Tensor:
        """rows @ weight.T, overwritten by the next product of this use."""
        return torch.mm(rows, weight.t(), out=self._buffers.take(use, len(rows), len(weight)))

    def draw(self, logits: Tensor, temperature: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """As `models.inference.drawing.draw`, by the kernels."""
        return self._kernels.draw(logits, temperature, noise)

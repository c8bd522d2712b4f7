"""InternLM2's decoder: pre-norm layers of grouped-query attention and SwiGLU (arXiv 2403.17297, section 2.2).

Parameter names are those of the published InternLM2 weights (`tok_embeddings`, `attention.wqkv`, `feed_forward.w1`, …).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architecture.attention import Attention
from models.architecture.config import DecoderConfig
from models.architecture.document_attention import Layout, document_layout
from models.architecture.rope import document_lengths, dynamic_rotation, rotation_table

INITIAL_STD = 0.02


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) * w3 x), with w1 the gate (Shazeer 2020, arXiv 2002.05202)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.w1 = nn.Linear(config.dim, config.ffn_dim, bias=False)
        self.w3 = nn.Linear(config.dim, config.ffn_dim, bias=False)
        self.w2 = nn.Linear(config.ffn_dim, config.dim, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        projected: Tensor = self.w2(F.silu(self.w1(hidden)) * self.w3(hidden))
        return projected


class Layer(nn.Module):
    """One pre-norm residual layer over hidden states [B, T, dim]."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.dim, config.norm_eps)
        self.attention = Attention(config)
        self.ffn_norm = nn.RMSNorm(config.dim, config.norm_eps)
        self.feed_forward = FeedForward(config)

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor, layout: Layout | None) -> Tensor:
        mixed = self.attention.mix(*self.before_attention(hidden, cos, sin), layout)
        return self.after_attention(hidden, mixed)

    def before_attention(self, hidden: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.attention.project(self.attention_norm(hidden), cos, sin)

    def after_attention(self, hidden: Tensor, mixed: Tensor) -> Tensor:
        hidden = hidden + self.attention.wo(mixed)
        residual: Tensor = hidden + self.feed_forward(self.ffn_norm(hidden))
        return residual


class Decoder(nn.Module):
    """A causal language model over token ids.

    Weights are drawn from a normal distribution with standard deviation 0.02; the projections that write to the
    residual stream (`wo`, `w2`) are scaled by 1 / sqrt(2 * n_layers), so that its variance does not grow with depth
    (our default; the paper gives none). The draw depends on `seed` alone, not on the global random state.
    """

    def __init__(self, config: DecoderConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        # Built without storage, then drawn once: torch's own initialisation would consume the global random state.
        with torch.device("meta"):
            self.tok_embeddings = nn.Embedding(config.vocab_size, config.dim)
            self.layers = nn.ModuleList(Layer(config) for _ in range(config.n_layers))
            self.norm = nn.RMSNorm(config.dim, config.norm_eps)
            self.output = nn.Linear(config.dim, config.vocab_size, bias=False)
        self.to_empty(device="cpu")
        if config.tie_embeddings:
            self.output.weight = self.tok_embeddings.weight
        table_length = config.original_max_length or config.max_length
        cos, sin = rotation_table(table_length, config.head_dim, config.rope_base)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self._initialise(torch.Generator().manual_seed(seed))

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator) -> None:
        residual_std = INITIAL_STD / (2 * self.config.n_layers) ** 0.5
        for name, parameter in self.named_parameters():
            if parameter.ndim == 1:
                parameter.fill_(1.0)
            else:
                std = residual_std if name.endswith(("wo.weight", "w2.weight")) else INITIAL_STD
                parameter.normal_(0.0, std, generator=generator)

    def compile_parts(self) -> None:
        """Compiles what surrounds attention in every layer: one compilation serves all, since they have one shape.

        Attention to packed documents has other shapes in every batch. Needs a C++ compiler on a CPU.
        """
        for layer in self.layers:
            assert isinstance(layer, Layer)
            layer.before_attention = torch.compile(layer.before_attention)  # type: ignore[method-assign]
            layer.after_attention = torch.compile(layer.after_attention)  # type: ignore[method-assign]

    def _rotation(self, length: int, positions: Tensor | None, document_ids: Tensor | None) -> tuple[Tensor, Tensor]:
        cos, sin = self.get_buffer("cos"), self.get_buffer("sin")
        if length <= len(cos):
            if positions is None:
                return cos[None, :length], sin[None, :length]
            return cos[positions], sin[positions]
        # Only with rope_scaling. transformers stretches a whole batch by its longest row; here each document has its
        # own base, so that its logits depend neither on its row's nor on its batch's other documents.
        if positions is None:
            positions = torch.arange(length, device=cos.device)[None]
            positions = positions if document_ids is None else positions.expand_as(document_ids)
        factor, original = self.config.rope_factor, len(cos)
        lengths = document_lengths(positions, document_ids)
        turned = dynamic_rotation(positions, lengths, self.config.head_dim, self.config.rope_base, factor, original)
        return turned[0].to(cos.dtype), turned[1].to(cos.dtype)

    def hidden_states(
        self, tokens: Tensor, positions: Tensor | None = None, document_ids: Tensor | None = None
    ) -> Tensor:
        """The normalised states [B, T, dim] that the output projection reads; arguments as in `forward`."""
        length = tokens.shape[1]
        if length > self.config.max_length:
            raise ValueError(
                f"{length} tokens exceed the model's max_length of {self.config.max_length}; cut the sequence"
            )
        cos, sin = self._rotation(length, positions, document_ids)
        cos, sin = cos[:, :, None, None], sin[:, :, None, None]
        hidden = self.tok_embeddings(tokens)
        layout = None if document_ids is None else document_layout(document_ids, hidden.dtype)
        for layer in self.layers:
            hidden = layer(hidden, cos, sin, layout)
        normalised: Tensor = self.norm(hidden)
        return normalised

    def forward(self, tokens: Tensor, positions: Tensor | None = None, document_ids: Tensor | None = None) -> Tensor:
        """Next-token logits [B, T, vocab_size] of int64 tokens [B, T].

        `positions` [B, T] default to 0..T-1. With `document_ids` [B, T] attention stays inside a document
        (block diagonal); without them each row is one document. Raises ValueError beyond `max_length`.
        """
        logits: Tensor = self.output(self.hidden_states(tokens, positions, document_ids))
        return logits

"""The shape of a decoder: every number that determines its tensors."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of an InternLM2 decoder (arXiv 2403.17297, section 2.2 and Table 3).

    `rope_base` is the paper's value for phases up to 4,096 tokens (section 3.3); `norm_eps` and
    `tie_embeddings` are those of the published weights. With `rope_scaling` "dynamic_ntk" documents longer than
    `original_max_length` turn more slowly, by `rope_factor` (see `dynamic_rotation`); the published weights use it
    with a factor of 2 beyond 32,768 tokens. Raises ValueError for shapes that cannot be built.
    """

    vocab_size: int
    dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    ffn_dim: int
    max_length: int
    rope_base: float = 50_000.0
    norm_eps: float = 1e-5
    tie_embeddings: bool = False
    rope_scaling: Literal["none", "dynamic_ntk"] = "none"
    rope_factor: float = 1.0
    original_max_length: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name not in ("tie_embeddings", "rope_scaling", "original_max_length") and not value > 0:
                raise ValueError(f"{name} must be positive, not {value}")
        if self.dim % self.n_heads:
            raise ValueError(f"dim {self.dim} must be a multiple of n_heads {self.n_heads}")
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"n_heads {self.n_heads} must be a multiple of n_kv_heads {self.n_kv_heads}")
        if self.head_dim % 2:
            raise ValueError(
                f"the head size dim / n_heads = {self.head_dim} must be even: RoPE rotates pairs of channels"
            )
        self._check_scaling()

    def _check_scaling(self) -> None:
        if self.rope_scaling == "none":
            if self.rope_factor != 1.0 or self.original_max_length is not None:
                raise ValueError("rope_factor and original_max_length need rope_scaling 'dynamic_ntk'")
        elif self.rope_scaling != "dynamic_ntk":
            raise ValueError(f"rope_scaling must be 'none' or 'dynamic_ntk', not {self.rope_scaling!r}")
        elif self.rope_factor < 1.0:
            raise ValueError(f"rope_factor must be at least 1, not {self.rope_factor}")
        elif self.original_max_length is None or not 0 < self.original_max_length <= self.max_length:
            raise ValueError(
                f"original_max_length must be between 1 and max_length {self.max_length}, "
                f"not {self.original_max_length}"
            )
        elif self.head_dim == 2:
            raise ValueError("rope_scaling 'dynamic_ntk' needs a head size above 2: the only pair's speed is fixed")

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.dim // self.n_heads

    @property
    def queries_per_kv(self) -> int:
        """Query heads that share one key and value head."""
        return self.n_heads // self.n_kv_heads


def count_parameters(config: DecoderConfig) -> int:
    """Trainable numbers of a decoder of this shape, embeddings included (tied ones once)."""
    attention = config.dim * config.head_dim * (2 * config.n_heads + 2 * config.n_kv_heads)
    feed_forward = 3 * config.dim * config.ffn_dim
    layer = attention + feed_forward + 2 * config.dim
    embeddings = config.vocab_size * config.dim * (1 if config.tie_embeddings else 2)
    return config.n_layers * layer + embeddings + config.dim

"""What a training run is to do, and what it reports."""

from dataclasses import asdict, dataclass, fields

DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class TrainingPlan:
    """Every number that determines a run, beside the data and the starting weights.

    Defaults of the optimiser are InternLM2's (arXiv 2403.17297, section 3.3); clipping, seed, checkpoints, dtype and
    threads are ours. Raises ValueError for a plan that cannot be carried out.

    steps: optimiser updates. batch_rows: rows of the global batch. sequence_length: tokens of a row.
    peak_lr, min_lr_fraction, warmup_steps: see `cosine_with_warmup`.
    accumulation: equal micro-batches a global batch is computed in; it must divide batch_rows and bounds memory only.
    weight_decay: of matrices, embeddings included; norm gains never decay.
    clip_norm: largest L2 norm of the whole gradient. seed: of the random state objectives may draw from.
    checkpoint_every: steps between saved trainer states; the last step is always saved.
    dtype: of forward and backward; with bfloat16 the master weights, gradients and optimiser stay float32.
    threads: CPU threads; sums are ordered by it, so exact resumption needs the same number.
    """

    steps: int
    batch_rows: int
    sequence_length: int
    peak_lr: float
    warmup_steps: int
    accumulation: int = 1
    min_lr_fraction: float = 0.1
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    clip_norm: float = 1.0
    seed: int = 0
    checkpoint_every: int = 100
    dtype: str = "float32"
    threads: int = 2

    def __post_init__(self) -> None:
        for name in ("steps", "batch_rows", "sequence_length", "peak_lr", "accumulation", "clip_norm",
                     "checkpoint_every", "threads"):  # fmt: skip
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if self.batch_rows % self.accumulation:
            raise ValueError(f"batch_rows {self.batch_rows} must be a multiple of accumulation {self.accumulation}")
        if not 0 <= self.warmup_steps <= self.steps:
            raise ValueError(f"warmup_steps {self.warmup_steps} must lie in 0 to steps, {self.steps}")
        if not 0 <= self.min_lr_fraction <= 1:
            raise ValueError(f"min_lr_fraction {self.min_lr_fraction} must lie in 0 to 1")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype {self.dtype!r} must be one of {', '.join(DTYPES)}")

    @property
    def tokens(self) -> int:
        """Tokens the run reads: steps * batch_rows * sequence_length."""
        return self.steps * self.batch_rows * self.sequence_length

    def identity(self) -> dict[str, object]:
        """The fields that determine the result; how often it is saved does not."""
        values = asdict(self) | {"betas": list(self.betas)}
        return {f.name: values[f.name] for f in fields(self) if f.name != "checkpoint_every"}


@dataclass(frozen=True)
class StepRecord:
    """One finished step: loss in nats per trained token, gradient norm before clipping, speed of this step."""

    step: int
    loss: float
    learning_rate: float
    grad_norm: float
    tokens_seen: int
    tokens_per_second: float


@dataclass(frozen=True)
class TrainingReport:
    """A finished run. Counts, losses and seconds include the steps before a resume.

    `losses` has one entry per step; `resumed_from` is the number of steps found done, None for a fresh start.
    """

    steps: int
    tokens_seen: int
    trained_tokens: int
    losses: list[float]
    weights_changed: bool
    seconds: float
    resumed_from: int | None


class TrainingFailed(RuntimeError):
    """The run did not do what was planned: a loss was not finite, steps or tokens are missing, nothing changed."""

"""What a training run is to do, and what it reports."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from models.training.schedule import SCHEDULES

DTYPES = ("float32", "bfloat16")
# What decides how often a run is saved, not what it computes.
HOUSEKEEPING = ("checkpoint_every", "keep_last", "keep_every")


@dataclass(frozen=True)
class TrainingPlan:
    """Every number that determines a run, beside the data and the starting weights.

    Defaults of the optimiser are InternLM2's (arXiv 2403.17297, section 3.3); clipping, seed, checkpoints, dtype and
    threads are ours. Raises ValueError for a plan that cannot be carried out.

    steps: optimiser updates. batch_rows: rows of the global batch. sequence_length: tokens of a row.
    peak_lr, min_lr_fraction, warmup_steps, schedule, decay_share: see `models.training.schedule`.
    accumulation: equal micro-batches a global batch is computed in; it must divide batch_rows and bounds memory only.
    weight_decay: of matrices, embeddings included; norm gains never decay.
    clip_norm: largest L2 norm of the whole gradient. seed: of the random state objectives may draw from.
    checkpoint_every: steps between saved trainer states; the last step is always saved.
    keep_last, keep_every: the newest states that stay, and those at multiples of so many steps (None: no others).
    max_loss_rise: a loss above this multiple of the mean of the last 20 stops the run (None: any finite loss goes on).
    compile: compile the decoder's layers; costs half a minute at the start and needs a C++ compiler.
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
    schedule: str = "cosine"
    decay_share: float = 0.1
    keep_last: int = 2
    keep_every: int | None = None
    max_loss_rise: float | None = None
    compile: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "batch_rows", "sequence_length", "peak_lr", "accumulation", "clip_norm",
                     "checkpoint_every", "threads", "keep_last", "decay_share"):  # fmt: skip
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if self.batch_rows % self.accumulation:
            raise ValueError(f"batch_rows {self.batch_rows} must be a multiple of accumulation {self.accumulation}")
        if not 0 <= self.warmup_steps <= self.steps:
            raise ValueError(f"warmup_steps {self.warmup_steps} must lie in 0 to steps, {self.steps}")
        if not 0 <= self.min_lr_fraction <= 1:
            raise ValueError(f"min_lr_fraction {self.min_lr_fraction} must lie in 0 to 1")
        for name, value, allowed in (("dtype", self.dtype, DTYPES), ("schedule", self.schedule, tuple(SCHEDULES))):
            if value not in allowed:
                raise ValueError(f"{name} {value!r} must be one of {', '.join(allowed)}")
        if self.keep_every is not None and self.keep_every < 1:
            raise ValueError(f"keep_every must be positive or None, not {self.keep_every}")
        if self.max_loss_rise is not None and self.max_loss_rise <= 1:
            raise ValueError(f"max_loss_rise must be above 1 or None, not {self.max_loss_rise}")

    @property
    def tokens(self) -> int:
        """Tokens the run reads: steps * batch_rows * sequence_length."""
        return self.steps * self.batch_rows * self.sequence_length

    def identity(self) -> dict[str, object]:
        """The fields that determine the result; how often it is saved does not."""
        values = asdict(self) | {"betas": list(self.betas)}
        return {f.name: values[f.name] for f in fields(self) if f.name not in HOUSEKEEPING}

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        shape = SCHEDULES[self.schedule](step, self.steps, self.warmup_steps, self.min_lr_fraction, self.decay_share)
        return self.peak_lr * shape


@dataclass(frozen=True)
class StepRecord:
    """One finished step: the loss, its gradient's norm before clipping, every mean of the objective, the speed.

    `peak_memory_bytes` is the most memory held so far; before the first step the run's heaviest batch was tried, so
    the first record tells what the run needs.
    """

    step: int
    loss: float
    learning_rate: float
    grad_norm: float
    tokens_seen: int
    tokens_per_second: float
    means: Mapping[str, float]
    peak_memory_bytes: int


@dataclass(frozen=True)
class TrainingReport:
    """A finished run. Counts, losses and seconds include the steps before a resume.

    `losses` has one entry per step; `counts` what the objective's means were divided by, summed over the run;
    `resumed_from` is the number of steps found done, None for a fresh start; `peak_memory_bytes` the most memory
    this process held (on a GPU: allocated there).
    """

    steps: int
    tokens_seen: int
    counts: dict[str, int]
    losses: list[float]
    weights_changed: bool
    seconds: float
    resumed_from: int | None
    peak_memory_bytes: int


class TrainingFailed(RuntimeError):
    """The run did not do what was planned: a loss was not finite, steps or tokens are missing, nothing changed."""


class TrainingStopped(RuntimeError):
    """The process was asked to end (SIGTERM or SIGINT); the state was saved, and the same call goes on from it."""

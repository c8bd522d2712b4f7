"""Training as a whole."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.training import loop
from models.training.backend import TorchBackend, parameter_groups
from models.training.checkpoint import ResumeRefused, weights_digest
from models.training.loop import train
from models.training.objectives import PRETRAIN
from models.training.packing import PackedStream, StreamTooShort
from models.training.plan import StepRecord, TrainingFailed, TrainingPlan, TrainingStopped

Corpus = tuple[NDArray[np.uint32], NDArray[np.int64]]
PLAN = TrainingPlan(
    steps=20, batch_rows=4, sequence_length=32, peak_lr=3e-3, warmup_steps=3, checkpoint_every=5, threads=1
)


def stream_of(corpus: Corpus, order_seed: int = 1, length: int = 32, rows: int = 4) -> PackedStream:
    tokens, offsets = corpus
    return PackedStream(tokens, offsets, np.random.default_rng(order_seed).permutation(300), length, rows)


class Killed(BaseException):
    """Stands for a kill between two steps."""


def die_after(step: int) -> object:
    def on_step(record: StepRecord) -> None:
        if record.step + 1 == step:
            raise Killed

    return on_step


def test_it_learns(config: DecoderConfig, corpus: Corpus, tmp_path: Path) -> None:
    """Documents that count upwards are learnt: a loop that trains nothing, or on shifted targets, cannot pass."""
    plan = replace(PLAN, steps=60, peak_lr=2e-2)
    report = train(Decoder(config), stream_of(corpus), plan, tmp_path, "data")
    assert report.losses[0] == pytest.approx(np.log(97), rel=0.05)
    assert report.losses[-1] < 0.5 * report.losses[0]


def test_report_and_records_add_up(config: DecoderConfig, corpus: Corpus, tmp_path: Path) -> None:
    """Counts in the report are those of the plan and the data, and a record comes for every step."""
    records: list[StepRecord] = []
    stream = stream_of(corpus)
    report = train(Decoder(config), stream, PLAN, tmp_path, "data", records.append)
    assert (report.steps, report.tokens_seen, report.resumed_from) == (20, 20 * 4 * 32, None)
    assert report.counts["loss"] == sum(stream.batch(step).trained_tokens for step in range(20))
    assert report.weights_changed
    assert report.seconds > 0
    assert [record.step for record in records] == list(range(20))
    assert [record.loss for record in records] == report.losses
    assert records[-1].tokens_seen == report.tokens_seen
    assert records[2].learning_rate == PLAN.peak_lr
    assert records[-1].learning_rate == pytest.approx(0.1 * PLAN.peak_lr)
    assert all(record.grad_norm > 0 and record.tokens_per_second > 0 for record in records)
    assert 0 < records[0].peak_memory_bytes <= records[-1].peak_memory_bytes <= report.peak_memory_bytes


@pytest.mark.parametrize("accumulation", [2, 4, 8])
def test_accumulation_changes_no_gradient(model: Decoder, corpus: Corpus, accumulation: int) -> None:
    """One batch of 8 rows and micro-batches of ragged documents give the same loss and gradient."""
    batch = stream_of(corpus, rows=8).batch(2)
    trained = [part.trained_tokens for part in batch.split(8)]
    assert len(set(trained)) > 1
    backend, counts = TorchBackend(model, PLAN), PRETRAIN.counts(batch)
    loss = backend.accumulate(PRETRAIN, [batch], counts)["loss"]
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    parts = batch.split(accumulation)
    assert backend.accumulate(PRETRAIN, parts, counts)["loss"] == pytest.approx(loss, rel=1e-6)
    for (name, parameter), wanted in zip(model.named_parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, wanted, atol=1e-6, rtol=1e-4, msg=name)


def test_accumulation_changes_no_run(config: DecoderConfig, corpus: Corpus, tmp_path: Path) -> None:
    """A run in micro-batches of one row follows the run in whole batches, clipping included."""
    plan = replace(PLAN, batch_rows=8, steps=10, clip_norm=0.3)
    whole, parts = Decoder(config), Decoder(config)
    losses = [
        train(decoder, stream_of(corpus, rows=8), replace(plan, accumulation=n), tmp_path / str(n), "data").losses
        for decoder, n in ((whole, 1), (parts, 8))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("killed_after", [11, 13])
def test_resumed_run_is_bit_equal(
    config: DecoderConfig, corpus: Corpus, tmp_path: Path, killed_after: int, dtype: str
) -> None:
    """Train 20 = train 10, die, resume: weights and every loss bit for bit, also when steps are lost to the kill."""
    plan = replace(PLAN, dtype=dtype)
    whole, resumed = Decoder(config), Decoder(config)
    expected = train(whole, stream_of(corpus), plan, tmp_path / "whole", "data")
    with pytest.raises(Killed):
        train(resumed, stream_of(corpus), plan, tmp_path / "resumed", "data", die_after(killed_after))
    resumed = Decoder(config)
    report = train(resumed, stream_of(corpus), plan, tmp_path / "resumed", "data")
    assert report.resumed_from == 10
    assert report.losses == expected.losses
    assert weights_digest(resumed) == weights_digest(whole)
    assert (report.tokens_seen, report.counts) == (expected.tokens_seen, expected.counts)


KILLED_RUN = """
import os, signal, sys
from pathlib import Path
import numpy as np
from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.training.loop import train
from models.training.packing import PackedStream
from models.training.plan import TrainingPlan
folder = Path(sys.argv[1])
data = np.load(folder / "corpus.npz")
config = DecoderConfig(vocab_size=97, dim=48, n_layers=2, n_heads=6, n_kv_heads=2, ffn_dim=80, max_length=64)
plan = TrainingPlan(
    steps=20, batch_rows=4, sequence_length=32, peak_lr=3e-3, warmup_steps=3, checkpoint_every=5, threads=1
)
stream = PackedStream(data["tokens"], data["offsets"], np.random.default_rng(1).permutation(300), 32, 4)
def on_step(record):
    if record.step == 12:
        os.kill(os.getpid(), signal.SIGKILL)
train(Decoder(config), stream, plan, folder / "state", "data", on_step)
"""


def test_sigkilled_process_resumes_bit_equal(config: DecoderConfig, corpus: Corpus, tmp_path: Path) -> None:
    """What a process killed by SIGKILL left behind is enough for another process to end as if nothing happened."""
    np.savez(tmp_path / "corpus.npz", tokens=corpus[0], offsets=corpus[1])
    root = Path(loop.__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", KILLED_RUN, str(tmp_path)], cwd=root, check=False)
    assert killed.returncode == -9
    whole, resumed = Decoder(config), Decoder(config)
    expected = train(whole, stream_of(corpus), PLAN, tmp_path / "whole", "data")
    report = train(resumed, stream_of(corpus), PLAN, tmp_path / "state", "data")
    assert (report.resumed_from, report.losses) == (10, expected.losses)
    assert weights_digest(resumed) == weights_digest(whole)


def test_finished_run_is_not_done_again(config: DecoderConfig, corpus: Corpus, tmp_path: Path) -> None:
    """Asked again, a finished run takes no step and gives the same weights and report."""
    first, second = Decoder(config), Decoder(config)
    done = train(first, stream_of(corpus), PLAN, tmp_path, "data")
    records: list[StepRecord] = []
    again = train(second, stream_of(corpus), PLAN, tmp_path, "data", records.append)
    assert records == []
    assert again == replace(done, resumed_from=20, peak_memory_bytes=again.peak_memory_bytes)
    assert weights_digest(second) == weights_digest(first)


@pytest.mark.parametrize("what", ["data_digest", "plan.peak_lr", "model.norm_eps", "starting_weights"])
def test_resume_on_anything_else_is_refused(config: DecoderConfig, corpus: Corpus, tmp_path: Path, what: str) -> None:
    """Other data, plan, shape or starting weights: refused by name; how often states are saved may change."""
    with pytest.raises(Killed):
        train(Decoder(config), stream_of(corpus), PLAN, tmp_path, "data", die_after(10))
    changed = Decoder(replace(config, norm_eps=1e-6) if what == "model.norm_eps" else config, seed=int(what[0] == "s"))
    plan = replace(PLAN, peak_lr=1e-3) if what == "plan.peak_lr" else PLAN
    data = "other" if what == "data_digest" else "data"
    with pytest.raises(ResumeRefused, match=f"\\({what}: saved"):
        train(changed, stream_of(corpus), plan, tmp_path, data)
    train(Decoder(config), stream_of(corpus), replace(PLAN, checkpoint_every=7), tmp_path, "data")


def test_infinite_loss_stops_the_run(config: DecoderConfig, corpus: Corpus, tmp_path: Path) -> None:
    """A run that has diverged fails at that step, with its loss, and saves no state of it."""
    decoder = Decoder(config)
    with torch.no_grad():
        decoder.norm.weight[0] = float("inf")
    with pytest.raises(TrainingFailed, match=r"step 0: loss (nan|inf).*not finite.*failed-batch.json"):
        train(decoder, stream_of(corpus), replace(PLAN, checkpoint_every=1), tmp_path, "data")
    evidence = json.loads((tmp_path / "failed-batch.json").read_text())
    assert [path.name for path in tmp_path.iterdir()] == ["failed-batch.json"]
    tokens_of_rows = [int(np.diff(corpus[1])[int(row)]) for row in evidence["rows"]]
    assert sum(tokens_of_rows) >= 4 * 32
    assert evidence["step"] == 0


def test_unchanged_weights_are_a_failure(config: DecoderConfig, corpus: Corpus, tmp_path: Path) -> None:
    """A run whose updates vanish in rounding has trained nothing, and says so instead of ending well."""
    plan = replace(PLAN, peak_lr=1e-30, weight_decay=0.0)
    with pytest.raises(TrainingFailed, match="no weight changed"):
        train(Decoder(config), stream_of(corpus), plan, tmp_path, "data")


def test_missing_steps_are_a_failure(
    config: DecoderConfig, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that ends early without an error is caught by the counts."""
    take = loop._take_steps
    monkeypatch.setattr(loop, "_take_steps", lambda run, *rest: take(replace(run, last_step=15), *rest))
    with pytest.raises(TrainingFailed, match=r"15 steps were done of 20 planned; 1920 tokens were seen of 2560"):
        train(Decoder(config), stream_of(corpus), PLAN, tmp_path, "data")


def test_batch_without_targets_is_a_failure(config: DecoderConfig, tmp_path: Path) -> None:
    """Documents of one token train nothing: no loss of 0.0 goes by as success."""
    tokens = np.ones(5000, dtype=np.uint32)
    stream = PackedStream(tokens, np.arange(5001), np.arange(5000), 32, 4)
    with pytest.raises(TrainingFailed, match="nothing to train"):
        train(Decoder(config), stream, PLAN, tmp_path, "data")


def test_what_does_not_fit_is_refused_before_training(config: DecoderConfig, corpus: Corpus, tmp_path: Path) -> None:
    """Mismatched shapes, a short stream and a bfloat16 start are errors of the call, not of step 900."""
    stream = stream_of(corpus)
    with pytest.raises(ValueError, match="make them equal"):
        train(Decoder(config), stream, replace(PLAN, batch_rows=8), tmp_path, "data")
    with pytest.raises(StreamTooShort):
        train(Decoder(config), stream, replace(PLAN, steps=10_000), tmp_path, "data")
    with pytest.raises(ValueError, match="max_length of 16"):
        train(Decoder(replace(config, max_length=16)), stream, PLAN, tmp_path, "data")
    with pytest.raises(ValueError, match="must be float32"):
        train(Decoder(config).bfloat16(), stream, PLAN, tmp_path, "data")


def test_bfloat16_keeps_float32_master_weights(config: DecoderConfig, corpus: Corpus, tmp_path: Path) -> None:
    """In bfloat16 the loss falls as in float32 and the weights that come back are not rounded."""
    plan = replace(PLAN, steps=40, peak_lr=1e-2, accumulation=2)
    losses = {}
    for dtype in ("float32", "bfloat16"):
        decoder = Decoder(config)
        losses[dtype] = train(decoder, stream_of(corpus), replace(plan, dtype=dtype), tmp_path / dtype, "data").losses
    weight = decoder.tok_embeddings.weight
    assert weight.dtype == torch.float32
    assert not torch.equal(weight, weight.bfloat16().float())
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)


def test_callers_settings_come_back(config: DecoderConfig, corpus: Corpus, tmp_path: Path) -> None:
    """Threads, random state and kernel choice are the caller's again, also after a failure."""
    torch.manual_seed(5)
    settings = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state().tolist())
    with pytest.raises(Killed):
        train(Decoder(config), stream_of(corpus), replace(PLAN, threads=2), tmp_path, "data", die_after(2))
    assert settings == (
        torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state().tolist()
    )  # fmt: skip


def test_matrices_decay_and_gains_do_not(config: DecoderConfig) -> None:
    """Every parameter is in one group; those with decay are the matrices."""
    decoder = Decoder(config)
    decayed, kept = parameter_groups(decoder, weight_decay=0.1)
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    assert all(parameter.ndim == 2 for parameter in decayed["params"])
    assert len(kept["params"]) == 2 * config.n_layers + 1
    assert len(decayed["params"]) + len(kept["params"]) == len(list(decoder.parameters()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be positive"),
        ({"accumulation": 3}, "multiple of accumulation"),
        ({"warmup_steps": 21}, "warmup_steps 21"),
        ({"dtype": "float16"}, "must be one of float32, bfloat16"),
        ({"min_lr_fraction": 1.5}, "min_lr_fraction"),
    ],
)
def test_impossible_plans_are_refused(change: dict[str, int], message: str) -> None:
    """A plan that cannot be carried out is refused where it is written."""
    with pytest.raises(ValueError, match=message):
        replace(PLAN, **change)


def spiking(corpus: Corpus, at: int) -> PackedStream:
    """A stream whose batch `at` is random tokens: nothing in it can be foreseen."""
    stream = stream_of(corpus)
    size = 4 * 32
    noise = np.random.default_rng(9).integers(0, 97, size=10_000).astype(np.uint32)
    calm, batch = stream.batch, PackedStream(noise, np.array([0, len(noise)]), np.array([0]), 32, 4).batch(0)
    stream.batch = lambda step, model=None: batch if step == at else calm(step)  # type: ignore[method-assign]
    assert batch.n_tokens == size
    return stream


def test_a_spike_stops_the_run(config: DecoderConfig, corpus: Corpus, tmp_path: Path) -> None:
    """A loss beyond the configured bound stops at that step and names the rows; without a bound it goes on."""
    plan = replace(PLAN, steps=60, peak_lr=2e-2, max_loss_rise=1.5, checkpoint_every=10)
    first = str(np.random.default_rng(1).permutation(300)[0])
    with pytest.raises(TrainingFailed, match=r"step 44: .* above 1.5 times the mean of the last 20"):
        train(Decoder(config), spiking(corpus, 44), plan, tmp_path / "bounded", "data")
    assert json.loads((tmp_path / "bounded" / "failed-batch.json").read_text())["rows"] == [first]
    assert (tmp_path / "bounded" / "step-00000040").is_dir()
    train(Decoder(config), spiking(corpus, 44), replace(plan, max_loss_rise=None), tmp_path / "free", "data")


def test_sigterm_saves_and_ends(config: DecoderConfig, corpus: Corpus, tmp_path: Path) -> None:
    """Asked to end at step 7, the run saves step 7 though none was due, and goes on from there bit for bit."""

    def terminate(record: StepRecord) -> None:
        if record.step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    handler = signal.getsignal(signal.SIGTERM)
    whole, resumed = Decoder(config), Decoder(config)
    expected = train(whole, stream_of(corpus), PLAN, tmp_path / "whole", "data")
    with pytest.raises(TrainingStopped, match=r"saved after step 7 of 20.*start it again"):
        train(resumed, stream_of(corpus), PLAN, tmp_path / "stopped", "data", terminate)
    assert signal.getsignal(signal.SIGTERM) == handler
    resumed = Decoder(config)
    report = train(resumed, stream_of(corpus), PLAN, tmp_path / "stopped", "data")
    assert (report.resumed_from, report.losses) == (7, expected.losses)
    assert weights_digest(resumed) == weights_digest(whole)


def test_the_largest_batch_is_tried_first(config: DecoderConfig, corpus: Corpus, tmp_path: Path) -> None:
    """A run that cannot hold its largest batch ends before its first step, and the trial changes nothing."""
    stream, asked = stream_of(corpus), []
    batch = stream.batch
    stream.heaviest_batch = lambda steps, model: stream.batch(13)  # type: ignore[method-assign, assignment]
    stream.batch = lambda step, model=None: (asked.append(step), batch(step))[1]  # type: ignore[method-assign]
    report = train(Decoder(config), stream, PLAN, tmp_path / "tried", "data")
    assert asked == [13, *range(20)]
    assert report.losses == train(Decoder(config), stream_of(corpus), PLAN, tmp_path / "not", "data").losses
    assert report.peak_memory_bytes > 10 * 2**20

    def too_large(step: int, model: object = None) -> object:
        raise MemoryError("no room")

    stream.batch = too_large  # type: ignore[method-assign, assignment]
    with pytest.raises(MemoryError):
        train(Decoder(config), stream, PLAN, tmp_path / "large", "data")
    assert not (tmp_path / "large").exists()

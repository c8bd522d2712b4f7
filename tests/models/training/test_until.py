"""A run that is taken in parts, each with its own trajectories."""

import subprocess
import sys
from pathlib import Path

import pytest

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.training import loop
from models.training.checkpoint import ResumeRefused, weights_digest
from models.training.loop import train
from models.training.outcome_objective import outcome_objective
from models.training.plan import StepRecord, TrainingReport
from tests.models.training.answers import PLAN, part


def take(config: DecoderConfig, folder: Path, first: int, until: int | None) -> tuple[Decoder, TrainingReport]:
    """Steps up to `until`, from the trajectories of `first` on."""
    model = Decoder(config)
    objective = outcome_objective(Decoder(config))
    source = part(first, until or PLAN.steps)
    return model, train(model, source, PLAN, folder, "run", objective=objective, until=until)


ONE_PART = """
import sys
from pathlib import Path
from models.architecture.config import DecoderConfig
from tests.models.training.test_until import take
config = DecoderConfig(vocab_size=97, dim=48, n_layers=2, n_heads=6, n_kv_heads=2, ffn_dim=80, max_length=64)
take(config, Path(sys.argv[1]), 0, 2)
"""


def test_parts_are_one_run(config: DecoderConfig, tmp_path: Path) -> None:
    """Until 2 in another process, then 3 and 6 here: weights, losses and counts are those of 6 steps at once."""
    whole, expected = take(config, tmp_path / "whole", 0, None)
    root = Path(loop.__file__).parents[2]
    subprocess.run([sys.executable, "-c", ONE_PART, str(tmp_path / "parts")], cwd=root, check=True)
    model, report = take(config, tmp_path / "parts", 2, 3)
    assert (report.steps, report.resumed_from, report.losses) == (3, 2, expected.losses[:3])
    model, report = take(config, tmp_path / "parts", 3, 6)
    assert (report.steps, report.resumed_from, report.losses) == (6, 3, expected.losses)
    assert (report.tokens_seen, report.counts) == (expected.tokens_seen, expected.counts)
    assert weights_digest(model) == weights_digest(whole)


def test_a_part_is_not_done_again(config: DecoderConfig, tmp_path: Path) -> None:
    """Asked again, it takes no step and gives the same weights."""
    first, report = take(config, tmp_path, 0, 4)
    again, second = take(config, tmp_path, 0, 4)
    assert (second.resumed_from, second.losses) == (4, report.losses)
    assert weights_digest(again) == weights_digest(first)


def test_a_killed_part_goes_on(config: DecoderConfig, tmp_path: Path) -> None:
    """What died inside a part ends as if nothing happened."""
    expected, _ = take(config, tmp_path / "whole", 0, 4)
    take(config, tmp_path / "killed", 0, 2)

    def die(record: StepRecord) -> None:
        if record.step == 2:
            raise KeyboardInterrupt

    objective = outcome_objective(Decoder(config))
    with pytest.raises(KeyboardInterrupt):
        train(Decoder(config), part(2, 4), PLAN, tmp_path / "killed", "run", die, objective, until=4)
    model, report = take(config, tmp_path / "killed", 2, 4)
    assert report.resumed_from == 2
    assert weights_digest(model) == weights_digest(expected)


def test_parts_out_of_order_are_refused(config: DecoderConfig, tmp_path: Path) -> None:
    """Going back, leaving steps out, and ends that the plan or the trajectories do not have."""
    take(config, tmp_path, 0, 4)
    with pytest.raises(ResumeRefused, match="has done 4 steps, more than the 3 asked for"):
        take(config, tmp_path, 0, 3)
    with pytest.raises(ValueError, match="step 4 is asked for"):
        take(config, tmp_path, 5, 6)
    for until in (-1, 7):
        with pytest.raises(ValueError, match=f"from 1 to the plan's 6, not {until}"):
            train(Decoder(config), part(0, 6), PLAN, tmp_path / "new", "run", until=until)
    with pytest.raises(ValueError, match="too few for 5 steps"):
        train(Decoder(config), part(0, 2), PLAN, tmp_path / "new", "run", until=5)


def test_the_heaviest_batch_is_tried_once(
    config: DecoderConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later parts of a run spend nothing on it."""
    tried: list[int] = []
    preflight = loop.preflight
    monkeypatch.setattr(loop, "preflight", lambda *args: (tried.append(1), preflight(*args))[1])
    for first, until in ((0, 2), (2, 3), (3, 6)):
        take(config, tmp_path, first, until)
    assert tried == [1]

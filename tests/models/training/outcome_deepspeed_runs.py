"""Started by torchrun on two processes: trains on judged answers, in two parts, on every ZeRO stage.

Usage: outcome_deepspeed_runs.py FOLDER; answers FOLDER/results.json, written by rank 0.
"""

import json
import sys
from pathlib import Path

import torch.distributed as dist

from models.architecture.decoder import Decoder
from models.architecture.heads import token_reward_from_decoder
from models.training.deepspeed_backend import DeepSpeedSettings, with_deepspeed
from models.training.loop import train
from models.training.outcome_objective import outcome_objective
from models.training.token_reward import token_reward_objective
from tests.models.training.answers import PLAN, part
from tests.models.training.deepspeed_runs import CONFIG

STAGES = (0, 1, 2, 3)


def main(folder: Path) -> None:
    results: dict[str, list[float]] = {}
    for stage in STAGES:
        backend = with_deepspeed(DeepSpeedSettings(stage))
        for first, until in ((0, 3), (3, 6)):
            policy, objective = Decoder(CONFIG), outcome_objective(Decoder(CONFIG))
            report = train(
                policy, part(first, until), PLAN, folder / f"outcome{stage}", "run", None, objective, backend, until
            )  # fmt: skip
            results[f"outcome{stage}"] = report.losses
            scorer = token_reward_from_decoder(Decoder(CONFIG))
            report = train(
                scorer, part(first, until), PLAN, folder / f"scorer{stage}", "run", None, token_reward_objective(),
                backend, until,
            )  # fmt: skip
            results[f"scorer{stage}"] = report.losses
    if dist.get_rank() == 0:
        (folder / "results.json").write_text(json.dumps(results))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""One training of the benchmark in a process of its own: ours, transformers' Trainer, or TRL's SFTTrainer.

`python -m tests.benchmarks.training_contenders FOLDER '{"trainer": "ours", ...}'` prints one line of JSON: tokens per
second after the first steps, held-out loss, peak memory.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from models.architecture.huggingface import load_folder
from models.training.backend import parameter_groups
from models.training.memory import peak_memory
from models.training.schedule import cosine

ROWS, LENGTH = 16, 256
SKIPPED_STEPS = 4
SHARED: dict[str, Any] = {"peak_lr": 2e-3, "warmup_steps": 4, "weight_decay": 0.1, "clip_norm": 1.0}


def load_documents(folder: Path, name: str) -> list[list[int]]:
    documents: list[list[int]] = json.loads((folder / f"{name}.json").read_text())
    return documents


def train_ours(folder: Path, setting: dict[str, Any]) -> tuple[list[float], list[int], Path]:
    """Seconds and tokens of each step, and the folder of the trained model."""
    from models.architecture.huggingface import save_folder
    from models.training.loop import train
    from models.training.packing import PackedStream
    from models.training.plan import StepRecord, TrainingPlan

    documents = load_documents(folder, "train")
    offsets = np.concatenate(([0], np.cumsum([len(document) for document in documents])))
    order = np.random.default_rng(0).permutation(len(documents))  # the peers shuffle too
    stream = PackedStream(np.concatenate(documents).astype(np.uint32), offsets, order, LENGTH, ROWS)
    plan = TrainingPlan(
        steps=setting["steps"], batch_rows=ROWS, sequence_length=LENGTH, dtype=setting["dtype"], **SHARED,
        threads=torch.get_num_threads(), compile=setting["compile"], checkpoint_every=10**6,
    )  # fmt: skip
    ends: list[float] = []

    def on_step(record: StepRecord) -> None:
        ends.append(time.perf_counter())

    decoder = load_folder(folder / "model")
    train(decoder, stream, plan, Path(tempfile.mkdtemp()), "benchmark", on_step)
    trained = Path(tempfile.mkdtemp())
    save_folder(decoder, trained, None)
    return list(np.diff(ends)), [ROWS * LENGTH] * (len(ends) - 1), trained


def packed_rows(documents: list[list[int]], masks: bool) -> list[dict[str, list[int]]]:
    """Documents end to end in rows of equal length, as transformers' language modelling examples do."""
    flat = [token for document in documents for token in document]
    places = [place for document in documents for place in range(len(document))]
    rows = []
    for begin in range(0, len(flat) - LENGTH + 1, LENGTH):
        row = {"input_ids": flat[begin : begin + LENGTH], "labels": flat[begin : begin + LENGTH]}
        if masks:  # positions that begin anew tell transformers where documents do
            row["position_ids"] = places[begin : begin + LENGTH]
        rows.append(row)
    return rows


def train_peer(folder: Path, setting: dict[str, Any]) -> tuple[list[float], list[int], Path]:
    """The same with Trainer or SFTTrainer: same weights, documents, tokens a step, optimizer and schedule."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from transformers.utils import logging

    logging.set_verbosity_error()
    documents = load_documents(folder, "train")
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    if setting["dtype"] == "bfloat16":
        model = model.to(torch.bfloat16)
    mean_length = sum(map(len, documents)) / len(documents)
    rows = ROWS if setting["packing"] != "padded" else round(ROWS * LENGTH / mean_length)
    ends: list[float] = []
    tokens: list[int] = []

    class Watch(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            ends.append(time.perf_counter())

    arguments: dict[str, Any] = {
        "output_dir": tempfile.mkdtemp(), "use_cpu": True, "max_steps": setting["steps"],
        "per_device_train_batch_size": rows, "max_grad_norm": SHARED["clip_norm"],
        "bf16": setting["dtype"] == "autocast", "torch_compile": setting["compile"],
        "logging_strategy": "no", "save_strategy": "no", "report_to": "none", "disable_tqdm": True, "seed": 0,
    }  # fmt: skip

    # Their own schedules take the first step at a rate of 0; with ours all train alike.
    optimizer = torch.optim.AdamW(
        parameter_groups(model, SHARED["weight_decay"]), lr=SHARED["peak_lr"], betas=(0.9, 0.95), fused=True
    )
    shape = partial(cosine, steps=setting["steps"], warmup_steps=int(SHARED["warmup_steps"]), min_fraction=0.1)
    optimizers = (optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, shape))

    def counted(collate: Any) -> Any:
        def collate_and_count(features: list[dict[str, Any]]) -> Any:
            batch = collate(features)
            tokens.append(int((batch["labels"] != -100).sum()))
            return batch

        return collate_and_count

    if setting["trainer"] == "Trainer":
        from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments, default_data_collator

        if setting["packing"] == "padded":
            dataset = Dataset.from_list([{"input_ids": document, "length": len(document)} for document in documents])
            arguments |= {"train_sampling_strategy": "group_by_length"}
            tokenizer.pad_token = tokenizer.unk_token
            collate: Any = DataCollatorForLanguageModeling(tokenizer, mlm=False)
        else:
            dataset = Dataset.from_list(packed_rows(documents, setting["packing"] == "packed with masks"))
            collate = default_data_collator
        trainer: Any = Trainer(
            model=model, args=TrainingArguments(**arguments), train_dataset=dataset,
            data_collator=counted(collate), callbacks=[Watch()], optimizers=optimizers,
        )  # fmt: skip
    else:
        from trl import SFTConfig, SFTTrainer

        strategy = {"packed": "wrapped", "packed with masks": "bfd"}[setting["packing"]]
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(
                **arguments, packing=True, packing_strategy=strategy, max_length=LENGTH, gradient_checkpointing=False,
                dataset_kwargs={"skip_prepare_dataset": False},
            ),
            train_dataset=Dataset.from_list([{"input_ids": document} for document in documents]),
            processing_class=tokenizer, callbacks=[Watch()], optimizers=optimizers,
        )  # fmt: skip
        trainer.data_collator = counted(trainer.data_collator)
    trainer.train()
    trained = Path(tempfile.mkdtemp())
    trainer.model.float().save_pretrained(trained)
    return list(np.diff(ends)), tokens[1 : len(ends)], trained


@torch.no_grad()
def heldout_loss(folder: Path, trained: Path) -> float:
    """Nats per token of held-out documents, each alone, in float32: the same code for all."""
    model = load_folder(trained)
    total, count = 0.0, 0
    for document in load_documents(folder, "heldout"):
        tokens = torch.tensor([document])
        logprobs = model(tokens)[0, :-1].log_softmax(-1)
        total -= logprobs.gather(1, tokens[0, 1:, None]).sum().item()
        count += len(document) - 1
    return total / count


def main() -> None:
    folder, setting = Path(sys.argv[1]), json.loads(sys.argv[2])
    run = train_ours if setting["trainer"] == "ours" else train_peer
    seconds, tokens, trained = run(folder, setting)
    memory = peak_memory(torch.device("cpu"))
    steady = list(zip(seconds, tokens, strict=True))[SKIPPED_STEPS:]
    result = {
        "tokens_per_second": median(count / taken for taken, count in steady),
        "heldout": heldout_loss(folder, trained),
        "memory": memory,
        "seconds": sum(seconds),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

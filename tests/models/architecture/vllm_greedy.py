"""Greedy answers by vLLM, run by `test_vllm.py` with the Python of .venv-vllm: JSON on stdin, JSON into a file."""

import json
import sys
from pathlib import Path

from vllm import LLM, SamplingParams


def main() -> None:
    """Reads {folder, prompts, max_tokens, answers}; writes each prompt's token ids and text to the file `answers`."""
    task = json.load(sys.stdin)
    model = LLM(task["folder"], dtype="auto", max_model_len=64, enforce_eager=True)
    sampling = SamplingParams(temperature=0.0, max_tokens=task["max_tokens"])
    outputs = [output.outputs[0] for output in model.generate(task["prompts"], sampling)]
    answers = [{"tokens": list(output.token_ids), "text": output.text} for output in outputs]
    Path(task["answers"]).write_text(json.dumps(answers))


if __name__ == "__main__":
    main()

"""Generates with vLLM when it is told to: run by generation.py in vLLM's own environment."""

import json
import sys
import time

from vllm import LLM, SamplingParams


def main() -> None:
    start = json.loads(sys.stdin.readline())
    model = LLM(
        start["folder"],
        dtype="bfloat16",
        max_num_seqs=256,
        max_model_len=512,
        max_num_batched_tokens=8192,
        enforce_eager=start["eager"],
        enable_prefix_caching=False,
        disable_log_stats=True,
    )
    prompts = [{"prompt_token_ids": tokens} for tokens in start["prompts"]]
    print("seconds 0", flush=True)
    for line in sys.stdin:
        new_tokens = json.loads(line)["new_tokens"]
        sampling = SamplingParams(temperature=1.0, max_tokens=new_tokens, ignore_eos=True)
        started = time.perf_counter()
        answers = model.generate(prompts, sampling, use_tqdm=False)
        seconds = time.perf_counter() - started
        assert sum(len(answer.outputs[0].token_ids) for answer in answers) == len(prompts) * new_tokens
        print(f"seconds {seconds}", flush=True)


if __name__ == "__main__":
    main()

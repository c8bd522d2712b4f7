"""The peer's half of `tests.benchmarks.synthesis`, in an environment of its own (`make peers`).

`python -m tests.benchmarks.synthesis_distilabel <base_url> <rows> <requests at a time>` prints the seconds of the
pipeline's run and the number of answers. Imports and construction of the pipeline are not counted.
"""

from __future__ import annotations

import sys
import time

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration


def main(base_url: str, rows: int, at_once: int) -> None:
    with Pipeline("synthesis") as pipeline:
        load = LoadDataFromDicts(data=[{"instruction": f"question {row}"} for row in range(rows)], batch_size=at_once)
        model = OpenAILLM(
            model="tiny",
            base_url=base_url,
            api_key="none",
            generation_kwargs={"max_new_tokens": 64},  # type: ignore[arg-type]
        )
        load >> TextGeneration(llm=model, input_batch_size=at_once)
    started = time.perf_counter()
    found = pipeline.run(use_cache=False)["default"]["train"]
    print(time.perf_counter() - started, sum(answer is not None for answer in found["generation"]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

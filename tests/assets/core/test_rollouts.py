"""Rollouts of a policy: order, seeds, failures, verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from assets.core.errors import AthanorError
from assets.core.policy_engine import PolicyEngineResource
from assets.core.rollouts import GRADED, ROLLOUTS, grade_rollouts, prompt_ids, right_matrix, roll_out
from assets.core.verifier.verifier import Verifier
from assets.internlm2.config import DecoderSize
from assets.internlm2.decoder import new_decoder
from assets.worlds.chain_arith.tokenizer import save_tokenizer
from models.architecture.huggingface import save_folder
from models.inference.engine import Completion, Engine, Failed, Request, Sample, Sampling, Usage
from models.training.chat import load_chat_tokenizer

SAMPLING = Sampling(max_new_tokens=6)
NAMES = ["a", "b", "c", "a"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy with random weights."""
    home = tmp_path_factory.mktemp("policy")
    save_tokenizer(home / "words")
    size = DecoderSize(dim=16, n_layers=1, n_heads=2, n_kv_heads=1, ffn_dim=32, max_length=64, rope_base=1e4)
    vocabulary = len(load_chat_tokenizer(home / "words"))
    save_folder(new_decoder(size, vocabulary, 0), home / "policy", home / "words")
    return home / "policy"


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Engine]:
    with PolicyEngineResource().open(folder, folder / "logs") as opened:
        yield opened


def draw(engine: Engine, folder: Path, names: list[str], seeds: list[int], n: int = 3) -> pl.DataFrame:
    """The prompt of a problem is its place in the alphabet."""
    prompts = prompt_ids(load_chat_tokenizer(folder), [f"{ord(name) - ord('a')}+1=?" for name in names])
    return roll_out(engine, names, prompts, SAMPLING, n=n, seeds=seeds)


def test_a_prompt_is_a_conversation_that_waits_for_its_answer(folder: Path) -> None:
    """Protects from another prompt in sampling than in training: the chat template's, with nothing added."""
    tokenizer = load_chat_tokenizer(folder)
    (ids,) = prompt_ids(tokenizer, ["1+2=?"])
    assert tokenizer.decode(ids) == "<s>1+2=?\n"


def test_rows_are_in_the_order_of_the_prompts(engine: Engine, folder: Path) -> None:
    """Whatever is finished first; each response has its number, ids, a logprob a token and its own id, also where a
    problem comes twice."""
    rows = draw(engine, folder, NAMES, [1, 2, 3, 4])
    assert rows.schema == ROLLOUTS
    assert rows["problem_id"].to_list() == [name for name in NAMES for _ in range(3)]
    assert rows["k"].to_list() == [0, 1, 2] * 4
    assert rows["id"].n_unique() == 12
    assert rows["parents"].to_list() == [[name] for name in rows["problem_id"]]
    lengths = rows["token_ids"].list.len().to_list()
    assert lengths == rows["logprobs"].list.len().to_list() == rows["tokens"].to_list()
    assert all(value <= 0 for row in rows["logprobs"] for value in row)


def test_an_answer_depends_on_its_prompt_and_seed_alone(engine: Engine, folder: Path) -> None:
    """Protects resumed and re-ordered iterations: neighbours change no bit, another seed changes the answer."""
    together = draw(engine, folder, NAMES, [1, 2, 3, 4])
    for place, (name, seed) in enumerate(zip(NAMES, [1, 2, 3, 4], strict=True)):
        alone = draw(engine, folder, [name], [seed])
        assert alone.equals(together.slice(3 * place, 3))
    first, last = together.head(3), together.tail(3)
    assert not first["token_ids"].equals(last["token_ids"])


class Refuses:
    """Answers in reverse order, all but one request."""

    def __init__(self, refused: int) -> None:
        self.refused = refused

    def identity(self) -> dict[str, object]:
        return {}

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Completion | Failed]]:
        for place, request in reversed(list(enumerate(requests))):
            if place == self.refused:
                yield place, Failed("refused", "too long")
            else:
                sample = Sample(str(place), "stop", (place, 4), (-1.0, -0.5))
                yield place, Completion((sample,) * request.n, Usage(1, 2), 0.0)

    def close(self) -> None: ...


def test_one_failure_ends_the_batch(folder: Path) -> None:
    """Protects from a batch with holes; the message names the problem and says what to change."""
    assert draw(Refuses(9), folder, NAMES, [0] * 4, n=1)["text"].to_list() == ["0", "1", "2", "3"]
    with pytest.raises(AthanorError, match=r"problem c: refused: too long\n.*max_length"):
        draw(Refuses(2), folder, NAMES, [0] * 4)


def test_verdicts_stay_with_their_rows() -> None:
    """Also where problems repeat and their table has another order and other rules; what was cut off is wrong."""
    problems = pl.DataFrame(
        {
            "id": ["b", "a"], "question": ["?", "?"], "gold_answer": ["2", "1"], "verifier": ["math", "exact"],
        }
    )  # fmt: skip
    texts = [("a", "#### 1", True), ("b", r"\boxed{4/2}", True), ("a", "#### 1", False), ("a", "#### 2", True)]
    texts += [("b", "#### 1", True), ("a", "1", True)]
    rows = pl.DataFrame(
        [
            {"id": str(n), "parents": [name], "problem_id": name, "k": 0, "text": text, "token_ids": [1],
             "logprobs": [0.0], "ended": ended, "tokens": 1}
            for n, (name, text, ended) in enumerate(texts)
        ],
        schema=ROLLOUTS,
    )  # fmt: skip
    with Verifier() as verifier:
        graded = grade_rollouts(verifier, rows, problems)
    assert graded.schema == GRADED
    assert graded.select(ROLLOUTS.names()).equals(rows)
    assert graded["outcome"].to_list() == ["right", "right", "wrong", "wrong", "wrong", "unparsable"]
    assert graded["reward"].to_list() == [1.0, 1.0, -1.0, -1.0, -1.0, -1.0]
    assert right_matrix(graded, 2).tolist() == np.array([[1, 1], [0, 0], [0, 0]], dtype=bool).tolist()


def test_the_engine_leaves_threads_as_they_were(folder: Path) -> None:
    """Protects what runs after sampling in the same process, also when sampling fails."""
    before = torch.get_num_threads()

    def fail() -> None:
        with PolicyEngineResource(threads=before + 1).open(folder, folder):
            assert torch.get_num_threads() == before + 1
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.get_num_threads() == before

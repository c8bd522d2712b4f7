"""Arms: what is trained in each, how each is asked, and how often a program is seen."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from assets.case2code.arms import (
    FENCE,
    chat_examples,
    chat_question,
    epochs_needed,
    epochs_of,
    few_shot_prompt,
    plain_examples,
    question,
    sampling_of,
    tokenizer_text,
)
from assets.case2code.evaluate import extract_code
from assets.case2code.grammar import mini_functions, recorded_cases
from assets.case2code.render import STYLES, Sample, render_sample
from assets.internlm2.tokenizer import save_tokenizer, train_tokenizer
from models.inference.engine import Message
from models.training.chat import generation_prompt, load_chat_tokenizer
from models.training.examples import PackedExamples

SEQUENCE, ROWS = 512, 2


@pytest.fixture(scope="module")
def samples() -> list[tuple[str, Sample]]:
    found = []
    for place, function in enumerate(islice(mini_functions(0), 60)):
        cases = recorded_cases(function, str(place), 5, random.Random(place))
        sample = render_sample(cases, STYLES["diverse"], random.Random(place))
        assert sample is not None
        found.append((cases.id, sample))
    return found


@pytest.fixture(scope="module")
def tokenizer(samples: list[tuple[str, Sample]], tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    texts = [sample.prompt + sample.output for _, sample in samples]
    save_tokenizer(train_tokenizer(texts, vocab_size=400, min_frequency=2), folder, max_length=SEQUENCE)
    return load_chat_tokenizer(folder)


def test_only_the_answer_is_trained(samples: list[tuple[str, Sample]], tokenizer: PreTrainedTokenizerFast) -> None:
    """In the arms with cases the loss is on the answer and its stop token; `everything` trains the prompt too."""
    examples = chat_examples(samples, tokenizer, trains_prompts=False)
    first = slice(0, examples.offsets[1])
    trained = examples.tokens[first][examples.trained[first]]
    assert tokenizer.decode(trained.tolist()) == samples[0][1].output + "<|im_end|>"
    whole = chat_examples(samples, tokenizer, trains_prompts=True)
    assert np.array_equal(whole.tokens, examples.tokens)
    assert whole.trained.all()


def test_plain_code_shows_no_cases(samples: list[tuple[str, Sample]], tokenizer: PreTrainedTokenizerFast) -> None:
    """The control reads the same programs in the form of an answer, all of it trained, and nothing else."""
    examples = plain_examples([(name, "def f(x):\n    return x") for name, _ in samples], tokenizer)
    text = tokenizer.decode(examples.tokens[: examples.offsets[1]].tolist())
    assert text == f"<s>{FENCE}def f(x):\n    return x\n```</s>"
    assert examples.trained.all()


def test_arms_read_equally_many_tokens(samples: list[tuple[str, Sample]], tokenizer: PreTrainedTokenizerFast) -> None:
    """Steps and batches are equal; the shorter texts of the control are gone through more often, as is recorded."""
    steps = 20
    plain = plain_examples([(name, "def f(x):\n    return x") for name, _ in samples], tokenizer)
    chats = chat_examples(samples, tokenizer, trains_prompts=False)
    for examples in (plain, chats):
        epochs = epochs_needed(examples, steps * SEQUENCE * ROWS)
        source = PackedExamples(examples, SEQUENCE, ROWS, epochs=epochs)
        source.require(steps)
    assert epochs_of(plain, steps * SEQUENCE * ROWS) > 2 * epochs_of(chats, steps * SEQUENCE * ROWS)


def test_few_shot_answers_begin_inside_the_fence(samples: list[tuple[str, Sample]]) -> None:
    """An untrained arm sees solved examples and goes on with code; what it writes up to the fence is the program."""
    prompt = few_shot_prompt([sample for _, sample in samples[:2]], samples[2][1].prompt)
    assert isinstance(prompt, str)
    assert prompt.count("```python") == 3
    assert prompt.endswith(FENCE)
    assert samples[2][1].output not in prompt
    written = "def f(x):\n    return x\n```\n\nAnother"
    assert extract_code(written, "f").text == "def f(x):\n    return x\n"
    assert sampling_of("few_shot", max_new_tokens=8, temperature=0, top_p=1).stop == ("```",)
    assert sampling_of("diverse", max_new_tokens=8, temperature=0, top_p=1).stop == ()


def test_a_question_is_asked_as_it_was_trained(
    samples: list[tuple[str, Sample]], tokenizer: PreTrainedTokenizerFast
) -> None:
    """The tokens before the answer are those of the training conversation."""
    name, sample = samples[0]
    examples = chat_examples([(name, sample)], tokenizer, trains_prompts=False)
    (message,) = chat_question(sample.prompt)
    assert isinstance(message, Message)
    asked = generation_prompt(tokenizer, [message._asdict()])
    assert examples.tokens[: len(asked)].tolist() == asked


def test_hidden_cases_are_never_shown() -> None:
    """A question shows only of the first cases, at least three of them, in any style."""
    cases = recorded_cases(next(mini_functions(0)), "a", 12, random.Random(0))
    for style in STYLES:
        for seed in range(10):
            sample = question(cases, style, seed, max_shown=4)
            assert sample is not None
            assert 3 <= len(sample.shown) <= 4
            assert set(sample.shown) <= set(range(4))
    assert question(cases, "diverse", 0, max_shown=4) != question(cases, "diverse", 1, max_shown=4)


def test_letters_of_cases_stay_apart(tmp_path: Path) -> None:
    """A tokenizer trained on texts without their words cuts a constant alike wherever it stands, but merges code."""
    texts = [f"return x + '{a}{b}'  # 'b{a}f{b}k' -> 'b{a}f{b}k{a}{b}'" for a in "bfkpz" for b in "bfkpz"] * 4
    apart = train_tokenizer(map(tokenizer_text, texts), vocab_size=400, min_frequency=2)
    merged = train_tokenizer(texts, vocab_size=400, min_frequency=2)
    assert {"b", "f", "k"} <= set(apart.encode("'bfk'").tokens)
    assert apart.encode("return").tokens == ["return"]
    assert len(merged.encode("'bfkbk'").tokens) < len(apart.encode("'bfkbk'").tokens)

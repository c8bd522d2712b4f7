"""Query bootstrapping: rounds, feedback and repetitions, by rules and by a scripted model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pytest

from assets.core.errors import InputError
from assets.knowledge_pile.bootstrap import Query, Written, bootstrap, normalised
from assets.knowledge_pile.prompts import parse_questions, parse_thought
from assets.knowledge_pile.seeds import Seed, built_in_seeds, seeds_of
from assets.knowledge_pile.templates import TEMPLATES, TemplateBootstrapper, best_sentences, keyphrases
from assets.knowledge_pile.writer import LLMBootstrapper
from models.inference.engine import Completion, Failed, Message, Request, Sample, Usage

SEEDS = [Seed("s1", "d", "keyword", "linear regression"), Seed("s2", "d", "category", "statistics")]


class Counting:
    """Two questions per seed, one of which is always the same; a thought names its question."""

    name = "counting"
    temperature = 0.5
    thought_temperature = None

    def __init__(self) -> None:
        self.asked: list[str] = []

    def extend(self, seeds: Sequence[Query]) -> list[Written]:
        self.asked += [seed.text for seed in seeds]
        return [Written([f"What of {seed.text}?", "The same for all?"]) for seed in seeds]

    def think(self, questions: Sequence[Query]) -> list[Written]:
        return [Written((), "no_thought") if "same" in q.text else Written([f"Because {q.text}"]) for q in questions]


def test_questions_and_thoughts_of_a_round_are_the_seeds_of_the_next() -> None:
    """The loop of the paper's figure; every query leads back to its seed over its parents."""
    writer = Counting()
    found = bootstrap(SEEDS, writer, n_rounds=2, n_feedback=100, sample_seed=0)
    first = {query.text for query in found.queries if query.depth == 1}
    assert {"What of statistics?", "Because What of statistics?", "The same for all?"} <= first
    assert set(writer.asked) == {seed.text for seed in SEEDS} | first
    by_id = {query.id: query for query in found.queries}
    for query in found.queries:
        at = query
        while at.parent_query_id is not None:
            assert by_id[at.parent_query_id].depth in (at.depth, at.depth - 1)
            at = by_id[at.parent_query_id]
        assert at.id == query.seed_id
    assert {query.kind for query in found.queries} == {"seed", "question", "thought"}


def test_nothing_is_asked_about_twice_and_everything_is_counted() -> None:
    """A question that was there before costs no further call, and failures are kept with what was asked."""
    found = bootstrap(SEEDS, Counting(), n_rounds=1, n_feedback=1, sample_seed=0)
    assert found.duplicates == 1
    assert [(query.text, problem) for query, problem in found.failures] == [("The same for all?", "no_thought")]
    assert len({normalised(query.text) for query in found.queries}) == len(found.queries) == 2 + 3 + 2


def test_feedback_is_bounded_and_chosen_by_the_seed() -> None:
    """Without a bound the number of calls grows by a power with every round."""
    asked = []
    for sample_seed in (0, 0, 1):
        writer = Counting()
        bootstrap(SEEDS, writer, n_rounds=2, n_feedback=2, sample_seed=sample_seed)
        asked.append(writer.asked[len(SEEDS) :])
    assert len(asked[0]) == 2
    assert asked[0] == asked[1] != asked[2]


def template(sample_seed: int = 0) -> TemplateBootstrapper:
    passages = ["The slope of a linear regression is estimated by least squares. Nothing else is said here of it."]
    return TemplateBootstrapper(
        lambda questions: [passages for _ in questions], n_questions=3, n_sentences=1, sample_seed=sample_seed
    )


def test_templates_are_deterministic_and_name_their_subject() -> None:
    """Equal seeds give equal queries; thoughts are sentences of the collection."""
    run = [bootstrap(SEEDS, template(), n_rounds=2, n_feedback=4, sample_seed=0).queries for _ in range(2)]
    assert run[0] == run[1]
    first = [query for query in run[0] if query.kind == "question" and query.depth == 1 and query.seed_id == "s1"]
    assert len(first) == 3
    assert all("linear regression" in query.text for query in first)
    assert {q.text for q in run[0] if q.kind == "thought"} == {
        "The slope of a linear regression is estimated by least squares."
    }
    other = bootstrap(SEEDS, template(1), n_rounds=1, n_feedback=4, sample_seed=1).queries
    assert {q.text for q in other} != {q.text for q in run[0] if q.depth <= 1}


def test_keyphrases_leave_out_stop_words_and_the_words_of_templates() -> None:
    """Else the templates' own words would come back as subjects in the next round."""
    assert keyphrases("What is the variance of a random variable?")[0] == "random variable"
    assert keyphrases(TEMPLATES[0].format("it")) == []
    assert all(keyphrases(form.format("the median")) == ["median"] for form in TEMPLATES)


def test_the_best_sentences_share_rare_words_with_the_question() -> None:
    """Pseudo-relevance feedback takes what answers, not what is long; without a shared word there is none."""
    passages = [
        "The mean is large and it is here. The median of a sample splits it in halves.",
        "Some other words stand here.",
    ]
    assert best_sentences("What is the median?", passages, 2) == ["The median of a sample splits it in halves."]
    assert best_sentences("What is entropy?", passages, 2) == []


class Scripted:
    """Answers in reverse order, refuses one prompt, and numbers its questions."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def identity(self) -> dict[str, object]:
        return {"engine": "scripted"}

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Completion | Failed]]:
        for place, request in reversed(list(enumerate(requests))):
            self.requests.append(request)
            message = request.prompt[0]
            assert isinstance(message, Message)
            if "refuse" in message.content:
                yield place, Failed("refused", "not that")
            elif "Question:" in message.content:
                yield place, Completion((Sample("First this,\nthen that follows.", "stop"),), Usage(1, 1), 0.1)
            else:
                word = message.content.split("\n")[2]
                texts = [f"1. What is {word} of sample {n}?\n2) no question" for n in range(request.n)]
                yield place, Completion(tuple(Sample(text, "stop") for text in texts), Usage(1, 1), 0.1)

    def close(self) -> None: ...


def test_a_model_writes_in_the_order_of_what_it_was_asked() -> None:
    """Whatever the order of its answers; repeated samples are breadth, temperatures and noise are those configured."""
    engine = Scripted()
    writer = LLMBootstrapper(
        engine, "tiny", domain="d", n_questions=4, n_samples=2, temperature=1.0, thought_temperature=0.5,
        max_new_tokens=64, sample_seed=7,
    )  # fmt: skip
    seeds = [*SEEDS, Seed("s3", "d", "keyword", "refuse")]
    found = bootstrap(seeds, writer, n_rounds=1, n_feedback=1, sample_seed=7)
    questions = [query for query in found.queries if query.kind == "question"]
    assert [query.text for query in questions][:2] == [f"What is linear regression of sample {n}?" for n in (0, 1)]
    assert [(query.text, problem) for query, problem in found.failures] == [("refuse", "refused: not that")]
    assert {(query.llm, query.temperature) for query in questions} == {("tiny", 1.0)}
    thoughts = [query for query in found.queries if query.kind == "thought"]
    assert {(query.text, query.temperature) for query in thoughts} == {("First this, then that follows.", 0.5)}
    assert {request.seed for request in engine.requests} == {7}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1. What is a mean?\n- How does it differ?\n\nThat is all.", ["What is a mean?", "How does it differ?"]),
        ("What is a mean?\nWhat is a mean?", ["What is a mean?"]),
        ("Why?\nand then the answer was cut", []),
    ],
)
def test_questions_are_the_lines_that_ask(text: str, expected: list[str]) -> None:
    """A chatty or cut-off answer must not become a query."""
    assert parse_questions(text) == expected


def test_a_thought_is_one_line_and_not_empty() -> None:
    """It is searched for as it is."""
    assert parse_thought("It  is\nso.") == "It is so."
    assert parse_thought(" no ") == ""


def test_seeds_of_ones_own_are_checked() -> None:
    """A wrong kind or an empty text is told with its row; a domain without built-in seeds needs a file."""
    assert [seed.kind for seed in seeds_of([{"kind": "keyword", "text": " tcp "}], "networking")] == ["keyword"]
    for rows in ([{"kind": "word", "text": "tcp"}], [{"kind": "keyword", "text": " "}], []):
        with pytest.raises(InputError):
            seeds_of(rows, "networking")
    with pytest.raises(InputError, match="networking"):
        built_in_seeds("networking")
    assert {seed.kind for seed in built_in_seeds("statistics")} == {"category", "keyword", "question", "textbook"}

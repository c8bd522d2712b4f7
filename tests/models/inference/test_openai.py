"""The engine for OpenAI-compatible endpoints, against a local one."""

import itertools
import logging
import time
import traceback
from collections.abc import Iterable, Iterator

import pytest

from models.inference.engine import Completion, Engine, EngineError, Failed, Message, Request, Sample, Sampling, Usage
from models.inference.openai import OpenAIEngine
from models.inference.openai_settings import OpenAISettings
from tests.servers.openai_server import words
from tests.servers.running import RunningServer

KEY = "sk-never-shown"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer() as running:
        yield running


@pytest.fixture
def engine(server: RunningServer) -> Iterator[Engine]:
    made = OpenAIEngine(OpenAISettings(server.base_url, "tiny", concurrency=8))
    yield made
    made.close()


def all_answers(engine: Engine, requests: Iterable[Request]) -> dict[int, Completion | Failed]:
    """By place; no place may come twice."""
    answers: dict[int, Completion | Failed] = {}
    for place, answer in engine.generate(requests):
        assert place not in answers
        answers[place] = answer
    return answers


def chat(question: str, **fields: object) -> Request:
    return Request((Message("user", question),), **fields)  # type: ignore[arg-type]


def test_each_request_gets_its_own_answers(engine: Engine) -> None:
    """Text, token ids and conversations; n samples in order; length and stop; usage as the endpoint tells it."""
    requests = [
        *(chat(f"question {place}", sampling=Sampling(4), seed=place, n=1 + place % 3) for place in range(30)),
        *(Request(f"text {place}", Sampling(5), n=2) for place in range(10)),
        *(Request((place, 7), Sampling(6)) for place in range(1, 11)),
    ]
    answers = all_answers(engine, requests)
    assert len(answers) == 50
    for place, request in enumerate(requests):
        prompt = request.prompt
        wire = [{"role": "user", "content": prompt[0].content}] if isinstance(prompt[0], Message) else prompt
        expected = [words(wire, request.seed, sample, request.sampling.max_new_tokens) for sample in range(request.n)]
        answer = answers[place]
        assert isinstance(answer, Completion)
        assert answer.samples == tuple(Sample(" ".join(tokens), reason) for tokens, reason in expected)
        assert answer.usage.completion_tokens == sum(len(tokens) for tokens, _ in expected)
        assert answer.usage.prompt_tokens > 0
        assert answer.attempts == 1
        assert 0 < answer.seconds < 60


@pytest.mark.parametrize("request_", [chat("why", logprobs=True), Request("why", logprobs=True)])
def test_vllm_tells_token_ids_and_log_probabilities(server: RunningServer, request_: Request) -> None:
    """In both endpoints, one of each per token."""
    engine = OpenAIEngine(OpenAISettings(server.base_url, "tiny", dialect="vllm"))
    answer = all_answers(engine, [request_])[0]
    engine.close()
    assert isinstance(answer, Completion)
    (sample,) = answer.samples
    assert sample.token_ids is not None
    assert sample.text == " ".join(f"w{token}" for token in sample.token_ids)
    assert sample.logprobs == tuple(-token / 1000 for token in sample.token_ids)


def test_endless_requests_are_taken_as_there_is_room(engine: Engine) -> None:
    """And closing the iterator ends it: the engine serves on."""
    source = itertools.count()
    stream = engine.generate(chat(f"question {place}") for place in source)
    taken = [place for place, _ in itertools.islice(stream, 20)]
    stream.close()  # type: ignore[attr-defined]
    assert len(set(taken)) == 20
    assert next(source) <= 20 + 8
    assert len(all_answers(engine, [chat("another")])) == 1


def test_two_streams_share_one_engine(engine: Engine) -> None:
    """Their answers do not mix."""
    one, two = (engine.generate([chat(f"{name} {place}") for place in range(20)]) for name in ("a", "b"))
    for name, pairs in zip("ab", zip(*zip(one, two, strict=True), strict=True), strict=True):
        for place, answer in pairs:
            assert isinstance(answer, Completion)
            expected, _ = words([{"role": "user", "content": f"{name} {place}"}], 0, 0, 256)
            assert answer.samples[0].text == " ".join(expected)


def test_no_more_requests_at_a_time_than_concurrency() -> None:
    """Also with several streams at once."""
    with RunningServer("--delay", "0.02") as server:
        engine = OpenAIEngine(OpenAISettings(server.base_url, "tiny", concurrency=5))
        streams = [engine.generate([chat(f"{name} {place}") for place in range(20)]) for name in "ab"]
        assert len(list(itertools.chain(*zip(*streams, strict=True)))) == 40
        engine.close()
        assert server.counts()["most_at_once"] == 5


@pytest.mark.parametrize("limit", [{"requests_per_minute": 60.0}, {"tokens_per_minute": 60 * 256.0}])
def test_rates_are_kept(server: RunningServer, limit: dict[str, float]) -> None:
    """After the first minute's worth one a second; tokens are reserved at an answer's longest."""
    engine = OpenAIEngine(OpenAISettings(server.base_url, "tiny", **limit))  # type: ignore[arg-type]
    stream = engine.generate(Request((1,), Sampling(255), seed=place) for place in itertools.count())
    started = time.monotonic()
    assert len(list(itertools.islice(stream, 62))) == 62
    stream.close()  # type: ignore[attr-defined]
    engine.close()
    assert 1.5 < time.monotonic() - started < 30


def test_a_request_above_the_token_rate_is_still_sent(server: RunningServer) -> None:
    """It waits for a whole minute's worth, not for ever."""
    engine = OpenAIEngine(OpenAISettings(server.base_url, "tiny", tokens_per_minute=100))
    assert isinstance(all_answers(engine, [chat("why", sampling=Sampling(1000))])[0], Completion)
    engine.close()


@pytest.mark.parametrize(
    ("model", "path", "key", "words"),
    [
        ("tiny", "/v1", "sk-wrong-key", "→ give the endpoint's API key"),
        ("small", "/v1", KEY, "→ correct base_url"),
        ("tiny", "", KEY, "→ correct base_url"),
    ],
)
def test_what_no_retry_mends_ends_the_run(model: str, path: str, key: str, words: str) -> None:
    """A wrong key, model or address: told at once, with the remedy."""
    with RunningServer("--key", KEY) as server:
        engine = OpenAIEngine(OpenAISettings(server.base_url.removesuffix("/v1") + path, model), api_key=key)
        with pytest.raises(EngineError, match=words) as caught:
            list(engine.generate([chat("why")]))
        engine.close()
        assert not server.counts()["tried"]
    assert key not in "".join(traceback.format_exception(caught.value))


def test_the_key_is_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """Not in what the engine or its settings print, in its identity, in logs, or in a failure that echoes it."""
    with caplog.at_level(logging.DEBUG), RunningServer("--key", KEY, "--faults", '{"500": 0.5}') as server:
        settings = OpenAISettings(server.base_url, "tiny", max_attempts=2, backoff_seconds=0.01)
        engine = OpenAIEngine(settings, api_key=KEY)
        answers = all_answers(engine, [chat(f"question {place}") for place in range(20)])
        engine.close()
    assert {type(answer) for answer in answers.values()} == {Completion, Failed}
    for shown in (engine, settings, engine.identity(), vars(engine), answers, caplog.text):
        assert KEY not in repr(shown)


def test_identity_is_the_model_not_its_address() -> None:
    """A known revision gives the same answers anywhere; a bare name may be another model elsewhere."""

    def identity(base_url: str, revision: str | None) -> dict[str, object]:
        engine = OpenAIEngine(OpenAISettings(base_url, "tiny", model_revision=revision))
        engine.close()
        return engine.identity()

    assert identity("http://a/v1", "1f") == identity("http://b/v1", "1f")
    assert identity("http://a/v1", "1f") != identity("http://a/v1", "2e")
    assert identity("http://a/v1", None) != identity("http://b/v1", None)
    assert identity("http://a/v1", "1f")["deterministic"] is False


@pytest.mark.parametrize(
    "base_url", ["localhost:80", "ftp://a", "http://a/v1/", "http://me:hidden@a/v1", "http://a?k=hidden"]
)
def test_addresses_that_cannot_be_used_or_shown_are_refused(base_url: str) -> None:
    """Without showing them: they may hold a secret."""
    with pytest.raises(ValueError, match="base_url") as caught:
        OpenAISettings(base_url, "tiny")
    assert "hidden" not in str(caught.value)


def test_usage_is_what_the_endpoint_counts(engine: Engine) -> None:
    """The prompt counts once, whatever n."""
    answer = all_answers(engine, [chat("a b c", n=4, sampling=Sampling(2))])[0]
    assert isinstance(answer, Completion)
    assert answer.usage == Usage(6, 8)

"""An endpoint that misbehaves: no request is lost, answered twice or given another's answer, and a failure says why."""

import email.utils
import json
import socket
import threading
import time
from dataclasses import replace

import pytest

from models.inference.engine import Completion, EngineError, Failed, Message, Request, Sampling
from models.inference.http_client import retry_after
from models.inference.openai import OpenAIEngine
from models.inference.openai_settings import OpenAISettings
from tests.servers.openai_server import words
from tests.servers.running import RunningServer

SETTINGS = OpenAISettings("http://set.later", "tiny", concurrency=16, max_attempts=3, backoff_seconds=0.01)
RETRIED = {
    "500": ("unavailable", "answers 500: internal error"),
    "hang": ("timeout", "no answer within"),
    "reset": ("unavailable", "the connection ended"),
    "cut": ("unavailable", "the connection ended"),
    "garbage": ("malformed", "not JSON"),
    "wrong_shape": ("malformed", "choices"),
    "one_short": ("malformed", "0 choices, where 1"),
    "empty": ("empty", "the answer is empty"),
    "no_usage": ("malformed", "usage"),
    "unfinished": ("malformed", "finish_reason"),
}


def questions(count: int) -> list[Request]:
    return [Request((Message("user", f"question {place}"),), Sampling(8), seed=place) for place in range(count)]


def answered_by(server: RunningServer, settings: OpenAISettings, requests: list[Request]) -> list[Completion | Failed]:
    """In the order of the requests, each exactly once and, where answered, with its own answer."""
    engine = OpenAIEngine(replace(settings, base_url=server.base_url))
    try:
        pairs = sorted(engine.generate(requests), key=lambda pair: pair[0])
    finally:
        engine.close()
    assert [place for place, _ in pairs] == list(range(len(requests)))
    for place, answer in pairs:
        if isinstance(answer, Completion):
            request = requests[place]
            (turn,) = request.prompt
            tokens, _ = words([{"role": "user", "content": turn.content}], request.seed, 0, 8)  # type: ignore[union-attr]
            assert answer.samples[0].text == " ".join(tokens)
    return [answer for _, answer in pairs]


def is_full(counted: dict[str, int], tries: int, requests: int) -> bool:
    return sorted(counted.values()) == [tries] * requests


@pytest.mark.parametrize("fault", RETRIED)
def test_a_fault_is_retried_up_to_the_limit(fault: str) -> None:
    """Faults of the first tries are outlived, and their tries counted; one that stays is a failure that says why."""
    settings = replace(SETTINGS, request_seconds=0.3 if fault == "hang" else 60)
    with RunningServer("--faults", json.dumps({fault: 1})) as server:
        for answer in answered_by(server, settings, questions(5)):
            assert isinstance(answer, Failed)
            assert answer.reason == RETRIED[fault][0]
            assert RETRIED[fault][1] in answer.message
            assert answer.attempts == 3
        assert is_full(server.counts()["tried"], 3, 5)
        server.kill()
        server.start("--faulty-tries", "2")
        for answer in answered_by(server, settings, questions(5)):
            assert isinstance(answer, Completion)
            assert answer.attempts == 3
        assert is_full(server.counts()["answered"], 1, 5)


@pytest.mark.parametrize("fault", ["429", "429_date", "429_bare", "503"])
def test_an_overloaded_endpoint_burns_no_attempts(fault: str) -> None:
    """It is asked again after the time that it names, as often as needed; patience limits that."""
    settings = replace(SETTINGS, max_attempts=1)
    options = ("--faults", json.dumps({fault: 1}), "--retry-after", "0.05")
    with RunningServer(*options, "--faulty-tries", "6") as server:
        (answer,) = answered_by(server, settings, questions(1))
        assert isinstance(answer, Completion)
        assert answer.attempts == 1
        assert is_full(server.counts()["tried"], 7, 1)
        server.kill()
        server.start("--faulty-tries", "1000000")
        with pytest.raises(EngineError, match=rf"answers {fault[:3]}: slow down, for \d+ s now\n  → wait"):
            answered_by(server, replace(settings, patience_seconds=0.5), questions(5))


def test_a_wait_beyond_patience_is_told_at_once() -> None:
    """A daily limit must not look like a hang."""
    with RunningServer("--faults", '{"429": 1}', "--retry-after", "3600") as server:
        started = time.monotonic()
        with pytest.raises(EngineError, match="asks to wait 3600 s"):
            answered_by(server, SETTINGS, questions(5))
        assert time.monotonic() - started < 10


def test_a_storm_slows_the_whole_client() -> None:
    """All requests pause together: in a storm of half a second the endpoint hears few of them, and none fails."""
    with RunningServer("--storm-every", "100", "--storm-seconds", "0.5", "--retry-after", "0.5") as server:
        answers = answered_by(server, replace(SETTINGS, max_attempts=1), questions(250))
        assert all(isinstance(answer, Completion) and answer.attempts == 1 for answer in answers)
        counts = server.counts()
        assert is_full(counts["answered"], 1, 250)
        # Two storms at least; of each round at most the window of 16 is turned away.
        assert counts["arrived"] <= 250 + 6 * 16


def test_a_request_that_alone_finds_no_room_is_given_up() -> None:
    """503 to one request while others are answered would otherwise go on for ever: patience limits that too."""
    settings = replace(SETTINGS, patience_seconds=0.5)
    with RunningServer("--overload", "question 7", "--retry-after", "0.01", "--delay", "0.1") as server:
        answers = answered_by(server, settings, questions(200))
    assert [place for place, answer in enumerate(answers) if isinstance(answer, Failed)] == [7, *range(70, 80)]
    assert all(answer.reason == "unavailable" for answer in answers if isinstance(answer, Failed))


def test_a_refused_prompt_fails_at_once() -> None:
    """400 is this request's fault: it is not retried, and the others go on."""
    with RunningServer("--refuse", "question 3") as server:
        answers = answered_by(server, SETTINGS, questions(10))
        assert is_full(server.counts()["answered"], 1, 9)
    assert answers[3] == Failed("refused", f"{server.base_url} answers 400: this prompt is not answered here", 1)
    assert sum(isinstance(answer, Completion) for answer in answers) == 9


def test_answers_in_another_order_are_not_swapped() -> None:
    """Each takes up to 50 ms, drawn by request."""
    with RunningServer("--delay", "0.05") as server:
        engine = OpenAIEngine(replace(SETTINGS, base_url=server.base_url))
        order = [place for place, _ in engine.generate(questions(100))]
        engine.close()
        assert order != sorted(order)
        assert all(isinstance(answer, Completion) for answer in answered_by(server, SETTINGS, questions(100)))


def test_everything_at_once() -> None:
    """A third of all tries is faulty in some way: every request ends, with its own answer or a reason."""
    rates = dict.fromkeys(RETRIED, 0.02) | dict.fromkeys(("429", "429_date", "429_bare", "503"), 0.03)
    options = ("--faults", json.dumps(rates), "--retry-after", "0.01", "--delay", "0.005", "--refuse", "question 77")
    settings = replace(SETTINGS, max_attempts=12, request_seconds=0.5)
    with RunningServer(*options) as server:
        answers = answered_by(server, settings, questions(300))
        counts = server.counts()
    assert [place for place, answer in enumerate(answers) if isinstance(answer, Failed)] == [77]
    assert is_full(counts["answered"], 1, 299)
    assert sum(counts["tried"].values()) > 350


def test_an_endpoint_that_is_killed_and_comes_back(tmp_path: object) -> None:
    """What was answered before is not asked again; the rest waits for its return."""
    with RunningServer("--delay", "0.05", "--log", f"{tmp_path}/calls.jsonl") as server:
        engine = OpenAIEngine(replace(SETTINGS, base_url=server.base_url))
        answers: dict[int, Completion | Failed] = {}
        for place, answer in engine.generate(questions(200)):
            assert place not in answers
            answers[place] = answer
            if len(answers) == 60:
                server.kill()
                threading.Timer(0.7, server.start).start()
        engine.close()
        assert len(answers) == 200
        assert all(isinstance(answer, Completion) for answer in answers.values())
        counts = server.counts()
    assert len(counts["tried"]) == 200
    # Only what was on its way when the server died is asked for again.
    assert sum(counts["tried"].values()) <= 200 + 16


def test_an_unreachable_endpoint_is_told_after_patience() -> None:
    """With the remedy, and not before."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        engine = OpenAIEngine(replace(SETTINGS, base_url=url, patience_seconds=0.5))
        started = time.monotonic()
        with pytest.raises(EngineError, match=r"is not reachable .*\n  → start the endpoint, or correct base_url"):
            list(engine.generate(questions(50)))
        assert 0.5 < time.monotonic() - started < 10
        engine.close()


def test_retry_after_is_read_as_the_standard_writes_it() -> None:
    """Seconds or an HTTP date (RFC 9110, section 10.2.3), and anything else passed over."""
    assert retry_after("3") == 3
    assert retry_after("-3") == 0
    assert retry_after(email.utils.formatdate(time.time() + 60, usegmt=True)) == pytest.approx(60, abs=2)
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after("soon") is None
    assert retry_after(None) is None

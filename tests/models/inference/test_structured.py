"""Objects from an engine's answers."""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from models.inference.engine import Completion, Failed, Message, Request, Sample, Usage
from models.inference.openai import OpenAIEngine
from models.inference.openai_settings import OpenAISettings
from models.inference.structured import Parsed, ask_objects, canonical_schema, parse
from tests.servers.running import RunningServer


class Point(BaseModel):
    x: int
    label: str = "none"


class Shape(BaseModel):
    points: list[Point]
    weights: dict[str, float] = {}


class ScriptedEngine:
    """Answers by a function, three at a time and the last first."""

    def __init__(self, answer: Callable[[Request], str | Failed]) -> None:
        self.answer = answer
        self.asked: list[Request] = []

    def identity(self) -> dict[str, object]:
        return {"engine": "scripted"}

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Completion | Failed]]:
        numbered = enumerate(requests)
        while batch := list(itertools.islice(numbered, 3)):
            for place, request in reversed(batch):
                self.asked.append(request)
                answer = self.answer(request)
                if isinstance(answer, str):
                    yield place, Completion((Sample(answer, "stop"),), Usage(1, 1), 0.1)
                else:
                    yield place, answer

    def close(self) -> None:
        pass


def first_words(request: Request) -> str:
    assert isinstance(request.prompt[0], Message)
    return request.prompt[0].content


def test_every_request_gets_its_own_object() -> None:
    """Streaming, in any order, with the schema in each request; a failure of the engine is passed on."""
    refused = Failed("refused", "no")
    engine = ScriptedEngine(
        lambda request: refused if first_words(request) == "4" else json.dumps({"x": int(first_words(request))})
    )
    requests = [Request((Message("user", str(place)),)) for place in range(10)]
    answers = dict(ask_objects(engine, requests, Point))
    assert answers.pop(4) == refused
    assert {place: answer.object for place, answer in answers.items() if isinstance(answer, Parsed)} == {
        place: Point(x=place) for place in range(10) if place != 4
    }
    assert {request.json_schema for request in engine.asked} == {canonical_schema(Point)}


def test_a_conversation_is_told_what_is_wrong() -> None:
    """The second try has the first answer and the error as turns, and its repair is counted."""
    engine = ScriptedEngine(lambda request: '{"x": "three"}' if len(request.prompt) == 1 else '{"x": 3}')
    ((_, answer),) = ask_objects(engine, [Request((Message("user", "three?"),), seed=5)], Point)
    assert isinstance(answer, Parsed)
    assert (answer.object, answer.repairs) == (Point(x=3), 1)
    _, second = engine.asked
    assert second.seed == 5
    assert second.prompt[:2] == (Message("user", "three?"), Message("assistant", '{"x": "three"}'))
    objection = second.prompt[2]
    assert isinstance(objection, Message)
    assert objection.role == "user"
    assert "x: Input should be a valid integer" in objection.content


@pytest.mark.parametrize("prompt", ["three?", (1, 2)])
def test_text_is_asked_again_with_another_seed(prompt: str | tuple[int, ...]) -> None:
    """There is nobody to talk to; what stays malformed says why, with the tries counted."""
    engine = ScriptedEngine(lambda request: "no JSON")
    ((place, answer),) = ask_objects(engine, [Request(prompt, seed=5)], Point, repairs=3)
    assert place == 0
    assert isinstance(answer, Failed)
    assert (answer.reason, answer.attempts) == ("malformed", 4)
    assert "Invalid JSON" in answer.message
    assert "no JSON" in answer.message
    assert len({request.seed for request in engine.asked}) == 4
    assert {request.prompt for request in engine.asked} == {prompt}


@settings(deadline=None)
@given(bad=st.dictionaries(st.integers(0, 30), st.integers(1, 4)), count=st.integers(0, 30))
def test_no_object_is_lost_or_swapped(bad: dict[int, int], count: int) -> None:
    """Whatever requests need repairs and however many."""

    def answer(request: Request) -> str:
        place, repairs = int(first_words(request)), len(request.prompt) // 2
        return "no" if repairs < bad.get(place, 0) else json.dumps({"x": place})

    requests = [Request((Message("user", str(place)),)) for place in range(count)]
    pairs = list(ask_objects(ScriptedEngine(answer), requests, Point, repairs=2))
    assert sorted(place for place, _ in pairs) == list(range(count))
    for place, got in pairs:
        if bad.get(place, 0) > 2:
            assert isinstance(got, Failed)
        else:
            assert isinstance(got, Parsed)
            assert (got.object.x, got.repairs) == (place, bad.get(place, 0))


def test_repairs_do_not_wait_for_the_end_of_the_requests() -> None:
    """Which may never come."""
    engine = ScriptedEngine(lambda request: "no" if len(request.prompt) == 1 else '{"x": 1}')
    endless = (Request((Message("user", str(place)),)) for place in itertools.count())
    stream = ask_objects(engine, endless, Point)
    assert [answer.repairs for _, answer in itertools.islice(stream, 20) if isinstance(answer, Parsed)] == [1] * 20


@pytest.mark.parametrize("text", ['{"x": 1}', ' {"x": 1}\n', '```json\n{"x": 1}\n```', '\n```json\n{\n"x": 1}\n``` '])
def test_json_alone_or_in_one_block_is_read(text: str) -> None:
    """And nothing else is tolerated."""
    assert parse(text, Point) == Point(x=1)


@pytest.mark.parametrize(
    "text", ['Sure: {"x": 1}', '```\n{"x": 1}\n```', '{"x": "1"}', '{"x": 1.0}x', "", '{"x": 1', "[]"]
)
def test_anything_else_is_malformed(text: str) -> None:
    """Prose, other fences, values of another type."""
    with pytest.raises(ValidationError):
        parse(text, Point)


def test_the_schema_is_closed_and_canonical() -> None:
    """What OpenAI's strict mode asks for, down to nested models; maps stay open."""
    schema = json.loads(canonical_schema(Shape))
    assert schema["$defs"]["Point"]["required"] == ["label", "x"]
    assert schema["$defs"]["Point"]["additionalProperties"] is False
    assert schema["required"] == ["points", "weights"]
    assert schema["properties"]["weights"]["additionalProperties"] == {"type": "number"}
    assert canonical_schema(Shape) == json.dumps(schema, sort_keys=True, separators=(",", ":"))
    jsonschema.validate({"points": [{"x": 1, "label": "a"}], "weights": {"a": 0.5}}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"points": [{"x": 1, "label": "a", "y": 2}], "weights": {}}, schema)


def test_several_samples_are_refused() -> None:
    """There is one object to a request."""
    with pytest.raises(ValueError, match="one sample"):
        list(ask_objects(ScriptedEngine(lambda request: "{}"), [Request("a", n=2)], Point))


def test_objects_come_through_an_endpoint() -> None:
    """The schema goes over the wire, and the answer comes back as an object."""
    with RunningServer() as server:
        engine = OpenAIEngine(OpenAISettings(server.base_url, "tiny"))
        requests = [Request((Message("user", f"point {place}"),)) for place in range(20)]
        answers = dict(ask_objects(engine, requests, Point))
        engine.close()
    assert len(answers) == 20
    assert all(isinstance(answer, Parsed) and answer.object.label.startswith("w") for answer in answers.values())

"""Objects of a pydantic model instead of text, from any engine."""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from models.inference.engine import Completion, Engine, Failed, Message, Request
from models.inference.wire import is_conversation

Object = TypeVar("Object", bound=BaseModel)

FENCED = re.compile(r"```json\s*\n(.*)\n\s*```", re.DOTALL)


@dataclass(frozen=True)
class Parsed(Generic[Object]):
    """An object, the completion it was read from, and how often it had to be asked for again."""

    object: Object
    completion: Completion
    repairs: int


@dataclass(frozen=True)
class _Asked:
    place: int
    request: Request
    repairs: int = 0


def canonical_schema(model: type[BaseModel]) -> str:
    """The model's JSON schema as canonical text, for `Request.json_schema`.

    Objects are closed and all their properties required, defaults or not: OpenAI takes no other schema, and a grammar
    made from it leads a model through every field.
    """
    return json.dumps(_closed(model.model_json_schema()), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def parse(text: str, model: type[Object]) -> Object:
    """The object that an answer is, as JSON alone or in one ```json block. Raises pydantic's ValidationError."""
    fenced = FENCED.fullmatch(text.strip())
    return model.model_validate_json(fenced[1] if fenced else text, strict=True)


def ask_objects(
    engine: Engine, requests: Iterable[Request], model: type[Object], repairs: int = 2
) -> Iterator[tuple[int, Parsed[Object] | Failed]]:
    """Each request's place and object, as soon as it is there; `requests` may be endless.

    An answer that is no such object is asked for again, up to `repairs` times: in a conversation with the answer and
    what is wrong with it as further turns, else with another seed. Raises EngineError, and ValueError for a request of
    several samples.
    """
    schema = canonical_schema(model)
    fresh = (_Asked(place, _with_schema(request, schema)) for place, request in enumerate(requests))
    again: deque[_Asked] = deque()
    while True:
        sent: dict[int, _Asked] = {}
        for index, answer in engine.generate(_taken(fresh, again, sent)):
            asked = sent.pop(index)
            if isinstance(answer, Failed):
                yield asked.place, answer
                continue
            try:
                yield asked.place, Parsed(parse(answer.samples[0].text, model), answer, asked.repairs)
            except ValidationError as error:
                wrong = _what_is_wrong(answer, error)
                if asked.repairs < repairs:
                    again.append(_repaired(asked, answer, wrong))
                else:
                    yield asked.place, Failed("malformed", f"{wrong}: {answer.samples[0].text[:200]}", repairs + 1)
        if not again:
            return


def _taken(fresh: Iterator[_Asked], again: deque[_Asked], sent: dict[int, _Asked]) -> Iterator[Request]:
    """What is to be asked next, repairs first; `sent` gets its index in this call of the engine.

    It ends when there is nothing left but what may still come back: the next call takes that.
    """
    index = 0
    while (asked := again.popleft() if again else next(fresh, None)) is not None:
        sent[index] = asked
        index += 1
        yield asked.request


def _with_schema(request: Request, schema: str) -> Request:
    if request.n != 1:
        raise ValueError(f"a request for an object has one sample, not {request.n}: ask once for each")
    return replace(request, json_schema=schema)


def _repaired(asked: _Asked, answer: Completion, wrong: str) -> _Asked:
    request, repairs = asked.request, asked.repairs + 1
    if is_conversation(request.prompt):
        objection = f"That is not the JSON object that was asked for: {wrong}. Answer with the corrected object alone."
        turns = (Message("assistant", answer.samples[0].text), Message("user", objection))
        return _Asked(asked.place, replace(request, prompt=(*request.prompt, *turns)), repairs)  # type: ignore[arg-type]
    # Neighbouring seeds may be those of other requests.
    seed = int.from_bytes(hashlib.sha256(f"{request.seed}".encode()).digest()[:7], "big")
    return _Asked(asked.place, replace(request, seed=seed), repairs)


def _what_is_wrong(answer: Completion, error: ValidationError) -> str:
    found = "; ".join(
        ": ".join(filter(None, [".".join(map(str, one["loc"])), one["msg"]])) for one in error.errors(include_url=False)
    )
    return f"{found} (it was cut at its token limit)" if answer.samples[0].finish_reason == "length" else found


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(part) for key, part in schema.items()}
    if isinstance(closed.get("properties"), dict) and closed.get("type") == "object":
        closed |= {"required": sorted(closed["properties"]), "additionalProperties": False}
    return closed

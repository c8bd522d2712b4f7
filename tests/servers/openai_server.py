"""An endpoint in OpenAI's wire format that answers at once and misbehaves on demand.

    python -m tests.servers.openai_server --port 0 --log calls.jsonl --faults '{"500": 0.1, "cut": 0.05}'

The first line on stdout is the address. An answer is a function of prompt, seed and sample (`words`); a fault is one of
request, try and `--fault-seed`, so that runs repeat. Every try and every answer sent in full is counted (`GET /counts`)
and appended to the log, from which a server that was killed goes on counting.
"""

from __future__ import annotations

import argparse
import asyncio
import email.utils
import hashlib
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

FAULTS = {
    "429": "too many requests, with Retry-After",
    "429_date": "the same, Retry-After as an HTTP date",
    "429_bare": "the same, without Retry-After",
    "503": "overloaded, with Retry-After",
    "500": "an error of the server",
    "hang": "no answer for --hang-seconds",
    "reset": "the connection ends before the answer",
    "cut": "the connection ends within the answer",
    "garbage": "200, and no JSON",
    "wrong_shape": "200, and JSON of another shape",
    "one_short": "a choice too few",
    "empty": "choices without text",
    "no_usage": "no usage",
    "unfinished": "no finish reason",
}
VOCABULARY = 1000


def words(prompt: object, seed: int, sample: int, max_tokens: int) -> tuple[list[str], str]:
    """The tokens of an answer (w0 to w999) and its finish reason; `prompt` as in the request's JSON."""
    digest = hashlib.blake2b(orjson.dumps([prompt, seed, sample])).digest()
    length = 3 + digest[0] % 6
    tokens = [
        f"w{int.from_bytes(digest[2 * place + 1 : 2 * place + 3], 'big') % VOCABULARY}" for place in range(length)
    ]
    return tokens[:max_tokens], "length" if length > max_tokens else "stop"


def filled(schema: Mapping[str, Any], tokens: list[str]) -> object:
    """An object of scalars that obeys the schema."""
    match schema.get("type"):
        case "object":
            return {name: filled(part, tokens) for name, part in schema.get("properties", {}).items()}
        case "integer" | "number":
            return int(tokens[0][1:])
        case "boolean":
            return len(tokens) % 2 == 0
        case _:
            return " ".join(tokens)


class Server:
    """Counts, and the handler of both endpoints."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.tried: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.storm_ends = 0.0
        self.arrived = self.going = self.most_at_once = 0
        self.log: int | None = None
        if options.log is not None:
            if options.log.exists():
                for line in options.log.read_bytes().splitlines():
                    for event, key in orjson.loads(line).items():
                        getattr(self, event)[key] += 1
            self.log = os.open(options.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def count(self, event: str, key: str) -> None:
        getattr(self, event)[key] += 1
        if self.log is not None:
            os.write(self.log, orjson.dumps({event: key}) + b"\n")

    def fault(self, key: str) -> str | None:
        """The fault of this try, by the rates; none after --faulty-tries."""
        attempt = self.tried[key]
        if attempt > self.options.faulty_tries:
            return None
        drawn = random.Random(f"{self.options.fault_seed} {attempt} {key}").random()
        for name, rate in self.options.faults.items():
            if drawn < rate:
                return name
            drawn -= rate
        return None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        if self.options.key and request.headers.get("Authorization") != f"Bearer {self.options.key}":
            return failure(401, f"wrong key: {request.headers.get('Authorization')}")
        body = orjson.loads(raw)
        key = orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode()
        self.arrived += 1
        if self.options.storm_every and self.arrived % self.options.storm_every == 0:
            self.storm_ends = time.monotonic() + self.options.storm_seconds
        if time.monotonic() < self.storm_ends:
            return self.too_many("429")
        if body["model"] != self.options.model:
            return failure(404, f"the model {body['model']!r} does not exist")
        if self.options.refuse and self.options.refuse in key:
            return failure(400, "this prompt is not answered here")
        if self.options.overload and self.options.overload in key:
            return self.too_many("503")
        self.count("tried", key)
        self.going += 1
        self.most_at_once = max(self.most_at_once, self.going)
        try:
            return await self.answer(request, body, key)
        finally:
            self.going -= 1

    async def answer(self, request: web.Request, body: dict[str, Any], key: str) -> web.StreamResponse:
        fault = self.fault(key)
        if fault in ("429", "429_date", "429_bare", "503"):
            return self.too_many(fault)
        if fault == "500":
            return failure(500, "internal error")
        if self.options.delay:
            await asyncio.sleep(self.options.delay * random.Random(key).random())
        if fault == "hang":
            await asyncio.sleep(self.options.hang_seconds)
        connection = request.transport
        if connection is None:
            return failure(500, "the client has left")
        if fault == "reset":
            connection.abort()
            return failure(500, "reset")
        sent = spoilt(fault, completion(body, "chat" in request.path))
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(sent))})
        await response.prepare(request)
        if fault == "cut":
            await response.write(sent[: len(sent) // 2])
            connection.close()
            return response
        await response.write_eof(sent)
        if fault is None:
            self.count("answered", key)
        return response

    def too_many(self, fault: str) -> web.Response:
        after = {
            "429": str(self.options.retry_after),
            "503": str(self.options.retry_after),
            "429_date": email.utils.formatdate(time.time() + self.options.retry_after, usegmt=True),
        }
        return failure(int(fault[:3]), "slow down", {"Retry-After": after[fault]} if fault in after else {})

    async def counts(self, _: web.Request) -> web.Response:
        facts = {"tried": self.tried, "answered": self.answered}
        facts |= {"arrived": self.arrived, "most_at_once": self.most_at_once}
        return web.Response(body=orjson.dumps(facts), content_type="application/json")


def failure(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": {"message": message, "type": "error"}}, status=status, headers=headers)


def completion(body: dict[str, Any], chat: bool) -> dict[str, Any]:
    """A chat completion or a text completion, as JSON."""
    prompt = body["messages"] if chat else body["prompt"]
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    choices, total = [], 0
    for sample in range(body.get("n", 1)):
        tokens, reason = words(prompt, body.get("seed", 0), sample, limit)
        total += len(tokens)
        text = " ".join(tokens)
        if body.get("response_format", {}).get("type") == "json_schema":
            text = orjson.dumps(filled(body["response_format"]["json_schema"]["schema"], tokens)).decode()
        choice: dict[str, Any] = {"index": sample, "finish_reason": reason}
        choice |= {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        logprobs = [-int(token[1:]) / VOCABULARY for token in tokens]
        if chat and body.get("logprobs"):
            pairs = zip(tokens, logprobs, strict=True)
            choice["logprobs"] = {"content": [{"token": token, "logprob": logprob} for token, logprob in pairs]}
        elif not chat and body.get("logprobs") is not None:
            choice["logprobs"] = {"tokens": tokens, "token_logprobs": logprobs}
        if body.get("return_token_ids"):
            choice["token_ids"] = [int(token[1:]) for token in tokens]
        choices.append(choice)
    # The last sample comes first: only `index` tells which is which.
    usage = {"prompt_tokens": len(str(prompt).split()), "completion_tokens": total}
    return {"id": "x", "model": body["model"], "choices": choices[::-1], "usage": usage}


def spoilt(fault: str | None, answer: dict[str, Any]) -> bytes:
    """The bytes to send, with what the fault does to them."""
    match fault:
        case "garbage":
            return b"<html>Bad gateway</html>"
        case "wrong_shape":
            return b'{"choices": {"text": 3}}'
        case "one_short":
            answer["choices"].pop()
        case "no_usage":
            del answer["usage"]
        case "unfinished":
            answer["choices"][0]["finish_reason"] = None
        case "empty":
            for choice in answer["choices"]:
                choice |= {"message": {"role": "assistant", "content": ""}} if "message" in choice else {"text": ""}
                choice.pop("token_ids", None)
    return orjson.dumps(answer)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--key", help="the API key that requests must carry")
    parser.add_argument("--log", type=Path, help="where tries and answers are appended, one JSON object a line")
    parser.add_argument("--faults", type=orjson.loads, default={}, help=f"rates as JSON, of: {', '.join(FAULTS)}")
    parser.add_argument("--fault-seed", type=int, default=0)
    parser.add_argument("--faulty-tries", type=int, default=sys.maxsize, help="tries of a request that can be faulty")
    parser.add_argument("--retry-after", type=float, default=1, help="seconds that 429 and 503 ask for")
    parser.add_argument("--storm-every", type=int, default=0, help="requests after which a storm of 429 begins")
    parser.add_argument("--storm-seconds", type=float, default=1)
    parser.add_argument("--hang-seconds", type=float, default=3600)
    parser.add_argument("--delay", type=float, default=0, help="seconds that an answer takes at most")
    parser.add_argument("--refuse", help="a text whose prompts are answered by 400")
    parser.add_argument("--overload", help="a text whose prompts are answered by 503")
    options = parser.parse_args(arguments)
    if unknown := options.faults.keys() - FAULTS:
        parser.error(f"unknown faults {sorted(unknown)}: choose from {', '.join(FAULTS)}")
    return options


async def serve(options: argparse.Namespace) -> None:
    server = Server(options)
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/chat/completions", server.handle)
    app.router.add_post("/v1/completions", server.handle)
    app.router.add_get("/counts", server.counts)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", options.port).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(parse()))

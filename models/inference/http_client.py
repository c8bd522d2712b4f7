"""One request to an endpoint until it is answered or given up: limits, tries, and what each outcome means."""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import aiohttp
from aiolimiter import AsyncLimiter
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from models.inference.engine import Completion, EngineError, Failed, FailureReason, Request
from models.inference.openai_settings import OpenAISettings
from models.inference.outage import Outage, backoff
from models.inference.wire import Unusable, decode, encode, error_words, estimated_tokens

REFUSED = (400, 413, 422)
TRIED_AND_FAILED = (408, 409, 500, 502, 504)
TOO_MANY, OVERLOADED = 429, 503
# OpenAI's code within a 429 that no waiting mends.
NO_QUOTA = b"insufficient_quota"
REMEDIES = {
    401: "give the endpoint's API key",
    403: "use an API key that may use this model",
    404: "correct base_url (most end in /v1) or model",
}


class Again(Exception):
    """A try without an answer, which may be repeated; `counts` where the endpoint tried."""

    def __init__(self, reason: FailureReason, message: str, counts: bool = True) -> None:
        super().__init__(message)
        self.reason: FailureReason = reason
        self.counts = counts


@dataclass
class Call:
    """A request as it is sent, when it was first, its tries that count, and the failure that is to be handled."""

    request: Request
    path: str
    body: bytes
    began: float | None = None
    attempts: int = 0
    failure: Again | None = None


class Reply(NamedTuple):
    """A response that came whole."""

    status: int
    body: bytes
    retry_after: float | None


class HTTPClient:
    """Asks one endpoint; belongs to the running event loop.

    `socket` is the endpoint's Unix socket where it has one, and `revive` is awaited after each failure that may mean
    that the endpoint has died; it may raise EngineError.
    """

    def __init__(
        self,
        settings: OpenAISettings,
        api_key: str | None = None,
        socket: Path | None = None,
        revive: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._settings = settings
        self._api_key = api_key
        self._revive = revive
        self._outage = Outage(settings.backoff_seconds, settings.patience_seconds)
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._requests = AsyncLimiter(settings.requests_per_minute) if settings.requests_per_minute else None
        self._tokens = AsyncLimiter(settings.tokens_per_minute) if settings.tokens_per_minute else None
        self._retrying = AsyncRetrying(
            retry=retry_if_exception_type(Again), stop=self._is_last, wait=self._wait, reraise=True
        )
        key = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._session = aiohttp.ClientSession(
            headers={"Content-Type": "application/json", **key},
            # The slots limit the connections.
            connector=aiohttp.TCPConnector(limit=0) if socket is None else aiohttp.UnixConnector(str(socket), limit=0),
            timeout=aiohttp.ClientTimeout(total=settings.request_seconds, sock_connect=settings.connect_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def answer(self, request: Request) -> Completion | Failed:
        """The endpoint's answer after as many tries as the settings allow. Raises EngineError."""
        settings = self._settings
        call = Call(
            request,
            *encode(request, settings.model, settings.dialect, settings.logprobs_mode, settings.token_limit_field),
        )
        # Tenacity takes a fifth of the time of a fast request: only those that fail go through it.
        try:
            return await self._try(call)
        except Again as error:
            call.failure = error
        try:
            return await self._retrying(self._go_on, call)
        except Again as error:
            return Failed(error.reason, str(error), call.attempts)

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()

    async def _go_on(self, call: Call) -> Completion | Failed:
        if call.failure is not None:
            failure, call.failure = call.failure, None
            raise failure
        return await self._try(call)

    async def _try(self, call: Call) -> Completion | Failed:
        async with self._slots:
            await self._outage.over()
            if self._requests is not None:
                await self._requests.acquire()
            if self._tokens is not None:
                await self._tokens.acquire(min(estimated_tokens(call.request), self._tokens.max_rate))
            started = time.monotonic()
            call.began = started if call.began is None else call.began
            call.attempts += 1
            try:
                return self._outcome(call, await self._post(call), started)
            except Again as error:
                # One request that is turned away while others are answered would go on for ever. Were none answered,
                # the outage would have ended the run by then.
                if not error.counts and started - call.began < 2 * self._settings.patience_seconds:
                    call.attempts -= 1
                if error.reason == "unavailable" and self._revive is not None:
                    await self._revive()
                raise

    async def _post(self, call: Call) -> Reply:
        settings = self._settings
        try:
            async with self._session.post(settings.base_url + call.path, data=call.body, allow_redirects=False) as got:
                return Reply(got.status, await got.read(), retry_after(got.headers.get("Retry-After")))
        except aiohttp.ClientSSLError as error:
            raise EngineError(f"{settings.base_url}: {error}", "correct base_url or the certificate") from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            what = f"{settings.base_url} is not reachable ({error})"
            self._outage.refused(what, "start the endpoint, or correct base_url", None)
            raise Again("unavailable", what, counts=False) from error
        except TimeoutError as error:
            raise Again("timeout", f"no answer within {settings.request_seconds:g} s") from error
        except aiohttp.ClientError as error:
            raise Again("unavailable", f"the connection ended before the answer: {error!r}") from error

    def _outcome(self, call: Call, reply: Reply, started: float) -> Completion | Failed:
        if reply.status in (TOO_MANY, OVERLOADED) and NO_QUOTA not in reply.body:
            what = self._says(reply)
            self._outage.refused(what, "wait, ask for higher limits, or set lower ones here", reply.retry_after)
            raise Again("unavailable", what, counts=False)
        self._outage.answered()
        if reply.status in TRIED_AND_FAILED:
            raise Again("unavailable", self._says(reply))
        if reply.status in REFUSED:
            return Failed("refused", self._says(reply), call.attempts)
        if reply.status != 200:
            raise EngineError(self._says(reply), REMEDIES.get(reply.status, "see what the endpoint says"))
        try:
            samples, usage = decode(reply.body, call.request, self._settings.dialect)
        except Unusable as error:
            if error.reason == "refused":
                return Failed("refused", self._without_key(str(error)), call.attempts)
            raise Again(error.reason, self._without_key(str(error))) from None
        return Completion(samples, usage, time.monotonic() - started, call.attempts)

    def _says(self, reply: Reply) -> str:
        return self._without_key(f"{self._settings.base_url} answers {reply.status}: {error_words(reply.body)}")

    def _without_key(self, text: str) -> str:
        return text if self._api_key is None else text.replace(self._api_key, "[API key]")

    def _is_last(self, state: RetryCallState) -> bool:
        return state.args[0].attempts >= self._settings.max_attempts

    def _wait(self, state: RetryCallState) -> float:
        attempts = state.args[0].attempts
        error = state.outcome.exception() if state.outcome is not None else None
        # What does not count waits for the end of the shared pause.
        return backoff(self._settings.backoff_seconds, attempts) if isinstance(error, Again) and error.counts else 0.0


def retry_after(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, given as seconds or as an HTTP date; None where it says neither."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None

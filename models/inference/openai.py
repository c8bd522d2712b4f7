"""Any endpoint in OpenAI's wire format as an engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from models.inference.background_loop import BackgroundLoop
from models.inference.engine import Completion, Failed, Request
from models.inference.http_client import HTTPClient
from models.inference.openai_settings import OpenAISettings


class OpenAIEngine:
    """Sends up to `concurrency` requests at a time from a thread of its own; see `OpenAISettings`.

    The API key is sent with each request, and shown nowhere.
    """

    def __init__(self, settings: OpenAISettings, api_key: str | None = None) -> None:
        self._settings = settings
        self._loop = BackgroundLoop("openai-engine")
        self._client = self._loop.run(self._connect(api_key))

    def identity(self) -> dict[str, object]:
        """Model and revision. The address counts only where no revision is given: the same model gives the same
        answers anywhere, but models of one name at two endpoints may be two."""
        settings = self._settings
        known: dict[str, object] = {"model_revision": settings.model_revision}
        return {
            "engine": "openai",
            "model": settings.model,
            **(known if settings.model_revision is not None else {"base_url": settings.base_url}),
            "dialect": settings.dialect,
            "logprobs_mode": settings.logprobs_mode,
            "deterministic": False,
        }

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Completion | Failed]]:
        """Answers as they come; see `Engine.generate`.

        Raises EngineError for a wrong key, address or model, for requests that the dialect cannot express, and when
        the endpoint has been unreachable or overloaded for longer than `patience_seconds`.
        """
        return self._loop.stream(requests, self._client.answer, self._settings.concurrency)

    def close(self) -> None:
        """Closes the connections, and ends the thread."""
        self._loop.close(self._client.close)

    async def _connect(self, api_key: str | None) -> HTTPClient:
        return HTTPClient(self._settings, api_key)

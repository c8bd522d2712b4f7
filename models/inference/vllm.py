"""A managed `vllm serve` as an engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from models.inference.background_loop import BackgroundLoop
from models.inference.checkpoint_folder import folder_digest, tensor_shapes
from models.inference.engine import Completion, EngineError, Failed, Request
from models.inference.http_client import HTTPClient
from models.inference.openai_settings import OpenAISettings
from models.inference.vllm_server import MODEL, VLLMServer, VLLMSettings, vllm_version


class VLLMEngine:
    """Serves a checkpoint folder with vLLM and answers from it, in token ids and log probabilities; see `VLLMSettings`.

    The server starts with the first request, so that an engine whose answers are all known costs nothing. Where it
    dies it is started again, once in each `generate`, and asked what it has not answered; it does not outlive us.
    """

    def __init__(self, settings: VLLMSettings) -> None:
        self._settings = settings
        self._server = VLLMServer(settings)
        self._digest = folder_digest(settings.folder)
        self._loop = BackgroundLoop("vllm-engine")
        self._client = self._loop.run(self._connect())

    def identity(self) -> dict[str, object]:
        """The folder's digest and what computes with it. GPUs and copies are not part of it: they change rounding
        only, and equal requests may differ by that on one machine too."""
        settings = self._settings
        return {
            "engine": "vllm",
            "version": self._version,
            "folder": self._digest,
            "dtype": settings.dtype,
            "max_length": settings.max_length,
            "logprobs_mode": settings.logprobs_mode,
            "flags": list(settings.flags),
            "deterministic": False,
        }

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Completion | Failed]]:
        """Answers as they come; see `Engine.generate`.

        Raises EngineError, with the end of the server's log, when it does not start or has died twice.
        """
        self._loop.run(self._server.begin())
        return self._loop.stream(requests, self._client.answer, self._settings.concurrency)

    def load_weights(self, folder: Path) -> None:
        """Takes the weights of `folder`, in place where the server runs: what is under way is finished before.

        Raises EngineError when they are of another shape (vLLM would keep the old ones with no more than a warning),
        or the server does not take them; it is stopped then.
        """
        if tensor_shapes(folder) != tensor_shapes(self._server.folder):
            raise EngineError(
                f"the weights in {folder} have other names or shapes than those in {self._server.folder}",
                "give a checkpoint of the same architecture, or make another engine",
            )
        if self._server.is_started:
            self._loop.run(self._reload(folder))
        self._server.folder = folder
        self._digest = folder_digest(folder)

    def close(self) -> None:
        """Ends the server."""
        self._loop.close(self._client.close)
        self._server.close()

    @cached_property
    def _version(self) -> str:
        return vllm_version(self._settings)

    async def _connect(self) -> HTTPClient:
        settings = self._settings
        endpoint = OpenAISettings(
            base_url="http://vllm/v1",
            model=MODEL,
            dialect="vllm",
            logprobs_mode=settings.logprobs_mode,
            concurrency=settings.concurrency,
            patience_seconds=settings.startup_seconds,
            request_seconds=settings.request_seconds,
        )
        return HTTPClient(endpoint, socket=self._server.socket, revive=self._server.ready)

    async def _reload(self, folder: Path) -> None:
        """vLLM's own transfer of weights (/start_weight_update) is between GPU processes: it knows no folder."""
        await self._server.ready()
        await self._server.post("/pause?mode=wait")
        await self._server.post(
            "/collective_rpc", method="reload_weights", kwargs={"weights_path": str(folder.resolve())}
        )
        # It holds keys and values of the old weights.
        await self._server.post("/reset_prefix_cache")
        await self._server.post("/resume")

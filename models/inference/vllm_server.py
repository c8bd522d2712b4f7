"""`vllm serve` as a process of ours: started, watched, started again once, and ended with us."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import aiohttp

from models.inference.engine import EngineError
from models.inference.leash import GRACE_SECONDS
from models.inference.wire import LogprobsMode

MODEL = "served"
LOG_LINES, LOG_BYTES = 30, 2**16
# What a binding library prints at every exit, and would hide the cause.
NOISE = re.compile(r"nanobind|^ - leaked|^ - \.\.\. skipped")
LEASH = Path(__file__).with_name("leash.py")
COMMAND = Path(__file__).with_name("vllm_command.py")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VLLMSettings:
    """A model to serve, and the machine's share it gets."""

    folder: Path
    """The checkpoint folder, as `transformers` loads it."""
    log: Path
    """The file to which the server's output is appended."""
    python: str = sys.executable
    """The Python of the environment in which vLLM is installed; it may differ from ours."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of weights and activations; auto: that of the folder."""
    tensor_parallel: int = 1
    """GPUs that one copy of the model is spread over."""
    data_parallel: int = 1
    """Copies of the model."""
    max_length: int | None = None
    """Tokens of prompt and answer; None: what the folder's settings say."""
    logprobs_mode: LogprobsMode = "raw_logprobs"
    """raw_logprobs: those of temperature 1, whatever top-p and top-k, for sampling at temperature 1 or 0.
    processed_logprobs: those of any temperature, for sampling without top-p and top-k."""
    flags: tuple[str, ...] = ()
    """Further flags of `vllm serve`; they count in the identity. Secrets have no place here: others see them."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables beside our own ones, such as VLLM_CPU_KVCACHE_SPACE (GiB)."""
    concurrency: int = 256
    """Requests sent at a time."""
    startup_seconds: float = 1200.0
    """How long loading and compiling may take."""
    request_seconds: float = 3600.0
    """Limit of one request, from sending to its last token."""


class VLLMServer:
    """One server on a Unix socket in a folder that only this user can open: its endpoints for new weights would
    otherwise be any local user's."""

    def __init__(self, settings: VLLMSettings) -> None:
        self.folder = settings.folder
        self._settings = settings
        self._private = Path(tempfile.mkdtemp(prefix="vllm-"))
        self.socket = self._private / "socket"
        self._process: subprocess.Popen[bytes] | None = None
        self._was_ready = self._restarted = False
        self._lock = asyncio.Lock()

    @property
    def is_started(self) -> bool:
        return self._process is not None

    async def begin(self) -> None:
        """As `ready`, after which one more death is forgiven."""
        self._restarted = False
        await self.ready()
        self._restarted = False

    async def ready(self) -> None:
        """Returns when the server answers: starts it at first, and again when it has died since; but not twice.

        Raises EngineError, with the end of its log.
        """
        async with self._lock:
            deadline = time.monotonic() + self._settings.startup_seconds
            while True:
                if self._process is None:
                    self._process = self._start()
                elif self._process.poll() is not None:
                    if not self._was_ready or self._restarted:
                        raise self._failure("vLLM ended" + (" again" if self._restarted else " while it was starting"))
                    logger.warning("vLLM ended; it is started again (%s)", self._settings.log)
                    self._restarted, self._was_ready = True, False
                    self._process = self._start()
                elif await self._is_healthy():
                    self._was_ready = True
                    return
                elif time.monotonic() > deadline:
                    raise self._failure(f"vLLM is not ready after {self._settings.startup_seconds:g} s")
                await asyncio.sleep(0.2)

    async def post(self, path: str, **body: Any) -> None:
        """Calls one of the endpoints for new weights. Where it fails the server is stopped, and EngineError raised."""
        try:
            async with self._session() as session, session.post(f"http://vllm{path}", json=body) as response:
                failed = await response.text() if response.status != 200 else None
        except aiohttp.ClientError as error:
            failed = repr(error)
        if failed is not None:
            raise self._failure(f"vLLM's {path} failed: {failed[:500]}")

    def stop(self) -> None:
        """Ends the server and its workers; `ready` starts another."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(GRACE_SECONDS + 10)
        self._process, self._was_ready = None, False

    def close(self) -> None:
        """Ends the server for good."""
        self.stop()
        shutil.rmtree(self._private, ignore_errors=True)

    def _start(self) -> subprocess.Popen[bytes]:
        self.socket.unlink(missing_ok=True)
        settings = self._settings
        command = [settings.python, "-P", str(COMMAND), "serve", str(self.folder), "--uds", str(self.socket)]
        command += ["--served-model-name", MODEL, "--dtype", settings.dtype, "--logprobs-mode", settings.logprobs_mode]
        command += ["--tensor-parallel-size", str(settings.tensor_parallel)]
        command += ["--data-parallel-size", str(settings.data_parallel), "--disable-uvicorn-access-log"]
        command += ["--max-model-len", str(settings.max_length)] if settings.max_length is not None else []
        settings.log.parent.mkdir(parents=True, exist_ok=True)
        with settings.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-P", str(LEASH), *command, *settings.flags],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "VLLM_NO_USAGE_STATS": "1", **settings.environment, "VLLM_SERVER_DEV_MODE": "1"},
                start_new_session=True,
            )

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self.socket)))

    async def _is_healthy(self) -> bool:
        try:
            async with self._session() as session, session.get("http://vllm/health") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    def _failure(self, what: str) -> EngineError:
        """Ends what is left of the server, so that a later call starts afresh."""
        self.stop()
        log = self._settings.log
        lines = [line for line in _last_lines(log) if not NOISE.search(line)][-LOG_LINES:]
        return EngineError("\n    ".join([f"{what}; its last lines:", *lines]), f"see {log}, and correct the settings")


def _last_lines(log: Path) -> list[str]:
    """Of a log that may be long: a dying server writes a stack trace for each request."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_BYTES))
        return file.read().decode(errors="replace").splitlines()


def vllm_version(settings: VLLMSettings) -> str:
    """The version of the vLLM that would serve. Raises EngineError when there is none."""
    command = [settings.python, "-P", str(COMMAND), "--version"]
    remedy = "install athanor[gpu], or set python to that of the environment with vLLM"
    try:
        done = subprocess.run(
            command, env={**os.environ, **settings.environment}, capture_output=True, text=True, timeout=60
        )
    except OSError as error:
        raise EngineError(str(error), remedy) from error
    if done.returncode:
        raise EngineError(f"{settings.python} has no vLLM", remedy)
    return done.stdout.strip()

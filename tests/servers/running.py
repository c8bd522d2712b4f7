"""Starts, kills and asks a server process."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

ROOT = Path(__file__).parents[2]


class RunningServer:
    """`tests.servers.openai_server` as a process, from `with` to its end.

    `options` are its command line; `kill` and `start` put another process on the same port.
    """

    def __init__(self, *options: str) -> None:
        self.options = options
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self, *options: str) -> None:
        """Returns when it accepts connections; `options` come after those given at first."""
        command = [
            sys.executable,
            "-m",
            "tests.servers.openai_server",
            *self.options,
            *options,
            "--port",
            f"{self.port}",
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
        assert self.process.stdout is not None
        address = self.process.stdout.readline().decode().strip()
        assert address.startswith("http://"), f"the server did not start: {command}"
        self.port = int(address.removesuffix("/v1").rpartition(":")[2])

    def kill(self) -> None:
        """As by kill -9."""
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def counts(self) -> dict[str, Any]:
        """`tried` and `answered` by request (its JSON, keys sorted); `arrived` and `most_at_once` in number."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/counts", timeout=10) as response:
            return orjson.loads(response.read())

    def __enter__(self) -> RunningServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

"""What a launched training process says while it works, read from a file that both sides see.

Dagster's own file reader takes a line that is half written for a whole one, and keeps custom messages until the
process has ended; this one waits for the end of the line and hands steps on at once.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

POLL_SECONDS = 0.1
# On a network volume the last lines may be seen after the process has ended.
LATE_SECONDS = 5.0


class StepMessages(dg.PipesMessageReader):
    """Reads Pipes messages from `path`, and gives the payload of custom ones to `on_payload`, in a thread of its own.

    What `on_payload` raises ends the hand-over, not the reading, and is kept in `failure`.
    """

    def __init__(self, path: Path, on_payload: Callable[[Mapping[str, Any]], None]) -> None:
        self._path = path
        self._on_payload = on_payload
        self.failure: Exception | None = None

    @contextmanager
    def read_messages(self, handler: dg.PipesMessageHandler) -> Iterator[dict[str, Any]]:
        self._path.write_bytes(b"")
        ended = threading.Event()
        thread = threading.Thread(target=self._follow, args=(handler, ended), daemon=True)
        thread.start()
        try:
            yield {"path": str(self._path)}
        finally:
            ended.set()
            thread.join()
            self._path.unlink(missing_ok=True)

    def no_messages_debug_text(self) -> str:
        return f"Nothing came in {self._path}: does the training process see that folder under the same path?"

    def _follow(self, handler: dg.PipesMessageHandler, ended: threading.Event) -> None:
        held, deadline = b"", None
        with self._path.open("rb") as file:
            while True:
                *lines, held = (held + file.read()).split(b"\n")
                for line in lines:
                    self._take(handler, json.loads(line))
                if ended.is_set():
                    now = time.monotonic()
                    deadline = deadline or now + LATE_SECONDS
                    # One that never began, or was killed, has nothing more to say.
                    if handler.received_closed_message or not handler.received_opened_message or now > deadline:
                        return
                ended.wait(POLL_SECONDS) if not ended.is_set() else time.sleep(POLL_SECONDS)

    def _take(self, handler: dg.PipesMessageHandler, message: Mapping[str, Any]) -> None:
        try:
            if message["method"] != "report_custom_message":
                handler.handle_message(message)  # type: ignore[arg-type]
            elif self.failure is None:
                self._on_payload(message["params"]["payload"])
        except Exception as error:
            self.failure = self.failure or error

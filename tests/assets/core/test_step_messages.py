"""Messages of a launched process arrive whole and at once."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from assets.core.step_messages import StepMessages


class Handler:
    """What Dagster's handler is to a reader."""

    def __init__(self) -> None:
        self.messages: list[Mapping[str, Any]] = []
        self.received_opened_message = False
        self.received_closed_message = False

    def handle_message(self, message: Mapping[str, Any]) -> None:
        self.messages.append(message)
        self.received_opened_message |= message["method"] == "opened"
        self.received_closed_message |= message["method"] == "closed"


def line(method: str, **params: Any) -> str:
    return json.dumps({"method": method, "params": params}) + "\n"


def until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_steps_come_while_the_process_runs(tmp_path: Path) -> None:
    """A custom message is handed on before the session ends, others go to Dagster, and half a line waits."""
    path, handler, payloads = tmp_path / "messages", Handler(), []
    with StepMessages(path, payloads.append).read_messages(handler) as params:  # type: ignore[arg-type]
        assert params == {"path": str(path)}
        with path.open("a") as file:
            file.write(line("opened") + line("report_custom_message", payload={"step": 1}))
            half = line("report_custom_message", payload={"step": "é" * 5000})
            file.write(half[:100])
            file.flush()
            until(lambda: payloads)
            assert payloads == [{"step": 1}]
            file.write(half[100:] + line("closed"))
    assert payloads == [{"step": 1}, {"step": "é" * 5000}]
    assert [message["method"] for message in handler.messages] == ["opened", "closed"]
    assert not path.exists()


def test_a_failing_listener_does_not_end_the_reading(tmp_path: Path) -> None:
    """The first failure is kept for the asset to raise; Dagster still hears that the process has ended."""

    def fail(payload: Mapping[str, Any]) -> None:
        raise RuntimeError(str(payload))

    path, handler = tmp_path / "messages", Handler()
    messages = StepMessages(path, fail)
    with messages.read_messages(handler):  # type: ignore[arg-type]
        steps = "".join(line("report_custom_message", payload=step) for step in (1, 2))
        path.write_text(line("opened") + steps + line("closed"))
    with pytest.raises(RuntimeError, match=r"^1$"):
        raise messages.failure or AssertionError
    assert handler.received_closed_message

"""Messages over a stream socket: a four-byte length and JSON. JSON, because reading it can build nothing but data."""

from __future__ import annotations

import json
import socket

MAX_MESSAGE = 64 << 20


class ProtocolError(Exception):
    """The other side sent what no honest one sends."""


def send(channel: socket.socket, message: object) -> None:
    """Send one message; raises OSError when the other side is gone, ProtocolError when the message is too large."""
    payload = json.dumps(message, separators=(",", ":")).encode()
    if len(payload) > MAX_MESSAGE:
        raise ProtocolError(f"a message of {len(payload)} bytes, {MAX_MESSAGE} allowed")
    channel.sendall(len(payload).to_bytes(4, "big") + payload)


def receive(channel: socket.socket, limit: int = MAX_MESSAGE) -> object:
    """The next message; raises EOFError at the end, ProtocolError when it is malformed or above `limit` bytes."""
    size = int.from_bytes(_exactly(channel, 4), "big")
    if size > limit:
        raise ProtocolError(f"a message of {size} bytes, {limit} allowed")
    try:
        return json.loads(_exactly(channel, size))
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not a message: {error}") from None


def _exactly(channel: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = channel.recv(min(size, 1 << 20))
        if not part:
            raise EOFError("the other side is gone")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)

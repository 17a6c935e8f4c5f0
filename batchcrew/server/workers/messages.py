"""Messages between the server and a worker: a length in four bytes, then JSON."""

import asyncio
import json
import os
import threading
from typing import Any, TypeAlias

Message: TypeAlias = dict[str, Any]
MAX_MESSAGE = 8 * 2**20
"""Largest message, in bytes: a crew's output is one."""
_LENGTH = 4


class MessageTooLarge(Exception):
    """A message is over MAX_MESSAGE."""


def encode(message: Message) -> bytes:
    """The message's frame.

    Raises:
        MessageTooLarge: it is.
    """
    body = plain_json(message).encode()
    if len(body) > MAX_MESSAGE:
        raise MessageTooLarge(f"{len(body)} bytes; {MAX_MESSAGE} may be sent")
    return len(body).to_bytes(_LENGTH) + body


def plain_json(value: Any) -> str:
    """JSON of whatever a crew has put into an output: what JSON has no form for is its text, NaN is null.

    Raises:
        ValueError: it holds itself.
        RecursionError: it is nested too deep.
    """
    try:
        return json.dumps(value, default=str, allow_nan=False)
    except (ValueError, TypeError):  # NaN, or keys that are no text
        text = json.dumps(value, default=str, skipkeys=True)
        return json.dumps(json.loads(text, parse_constant=lambda _: None))


async def receive(reader: asyncio.StreamReader) -> Message | None:
    """The next message of a worker; None when it has gone."""
    try:
        length = int.from_bytes(await reader.readexactly(_LENGTH))
        if length > MAX_MESSAGE:
            return None
        message: Message = json.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, OSError):
        return None
    return message


class Line:
    """The worker's end: two file descriptors, used from many threads."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._sending = threading.Lock()

    def send(self, message: Message) -> None:
        """Send; the server reads all the time, so this waits for it at most a moment.

        Raises:
            MessageTooLarge: the message is.
        """
        frame = memoryview(encode(message))
        with self._sending:
            while frame:
                frame = frame[os.write(self._write, frame) :]

    def receive(self) -> Message | None:
        """The next message; None when the server has gone."""
        head = self._exactly(_LENGTH)
        body = None if head is None else self._exactly(int.from_bytes(head))
        if body is None:
            return None
        message: Message = json.loads(body)
        return message

    def _exactly(self, count: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < count:
            part = os.read(self._read, count - len(parts))
            if not part:
                return None
            parts += part
        return bytes(parts)

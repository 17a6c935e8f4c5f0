"""Send messages through a worker's pipes: a length in four bytes, then the message."""

import asyncio
import os
import threading

from batchcrew.server.workers.messages import (
    FromWorker,
    MalformedMessage,
    Message,
    ToWorker,
    decode_from_worker,
    decode_to_worker,
    encode,
)

MAX_MESSAGE = 8 * 2**20
"""Largest message, in bytes. A crew's output is part of one."""
_LENGTH = 4


class MessageTooLarge(Exception):
    """A message is larger than MAX_MESSAGE."""


def frame(message: Message) -> bytes:
    """Return the message with its length.

    Raises:
        MessageTooLarge: it is larger than MAX_MESSAGE.
        ValueError: a value contains itself.
        RecursionError: a value is nested too deeply.
    """
    body = encode(message)
    if len(body) > MAX_MESSAGE:
        raise MessageTooLarge(f"{len(body)} bytes; {MAX_MESSAGE} may be sent")
    return len(body).to_bytes(_LENGTH, "big") + body


async def receive(reader: asyncio.StreamReader) -> FromWorker | None:
    """Wait for a worker's next message; None when the worker has closed its pipe.

    Raises:
        MalformedMessage: the worker sent something else.
    """
    try:
        length = int.from_bytes(await reader.readexactly(_LENGTH), "big")
        if length > MAX_MESSAGE:
            raise MalformedMessage(f"it is larger than {MAX_MESSAGE} bytes")
        body = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, OSError):
        return None
    return decode_from_worker(body)


class Line:
    """The worker's end of the pipes: two file descriptors, used from many threads."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._sending = threading.Lock()

    def send(self, message: Message) -> None:
        """Send a message. The server reads continuously, so this does not wait for long.

        Raises:
            MessageTooLarge: the message is too large.
            ValueError: a value contains itself.
            RecursionError: a value is nested too deeply.
        """
        rest = memoryview(frame(message))
        with self._sending:
            while rest:
                rest = rest[os.write(self._write, rest) :]

    def receive(self) -> ToWorker | None:
        """Wait for the server's next message; None when the server has ended.

        Raises:
            MalformedMessage: the server sent something else.
        """
        body = self._body()
        return None if body is None else decode_to_worker(body)

    def _body(self) -> bytes | None:
        head = self._exactly(_LENGTH)
        return None if head is None else self._exactly(int.from_bytes(head, "big"))

    def _exactly(self, count: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < count:
            part = os.read(self._read, count - len(parts))
            if not part:
                return None
            parts += part
        return bytes(parts)

"""Run the command of `on_end:` at the end of a run."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress

from batchcrew.base.text import clean_text

COMMAND_SECONDS = 60.0
MOST_OUTPUT = 64 * 1024
"""Bytes of output that are shown; the rest is read and discarded."""
_LINE_COLUMNS = 500


async def run_at_end(command: Sequence[str], summary: bytes, show: Callable[[str], None]) -> str | None:
    """Run the command without a shell; return why it failed, or None.

    Args:
        summary: its standard input.
        show: receives each line that it prints, made harmless.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # so that all of its processes can be ended
        )
    except (OSError, ValueError) as error:
        return f"it cannot be started: {getattr(error, 'strerror', None) or 'invalid command'}"
    output = bytearray()
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            await asyncio.gather(_feed(process, summary), _read(process, output))
            code = await process.wait()
    except TimeoutError:
        return f"it did not end within {COMMAND_SECONDS:g} s"
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        for line in output.decode(errors="replace").splitlines():
            if shown := clean_text(line, limit=_LINE_COLUMNS):
                show(shown)
    return None if code == 0 else f"exit {code}"


async def _feed(process: asyncio.subprocess.Process, summary: bytes) -> None:
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    with suppress(ConnectionError, OSError):  # it need not read its input
        process.stdin.write(summary)
        await process.stdin.drain()
        process.stdin.close()


async def _read(process: asyncio.subprocess.Process, output: bytearray) -> None:
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    while piece := await process.stdout.read(8192):
        output += piece[: max(0, MOST_OUTPUT - len(output))]

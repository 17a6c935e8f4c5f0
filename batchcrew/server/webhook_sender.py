"""Sending webhooks: what the demo crew's and the real crews' have in common."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from yarl import URL

MAX_DELIVERIES = 16
"""Deliveries on the wire at once."""
TIMEOUT = aiohttp.ClientTimeout(total=10)


async def wait_for_change(
    changed: asyncio.Event, seconds: float | None, sleep: Callable[[float], Awaitable[None]]
) -> None:
    """Wait until there is a change, or `seconds` have passed (None: no time alone ends it)."""
    waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(changed.wait())]
    if seconds is not None:
        waits.append(asyncio.ensure_future(sleep(seconds)))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def post(session: aiohttp.ClientSession, url: str, body: bytes, authorization: str | None = None) -> str | None:
    """What was wrong; None when it was taken. Redirects are not followed: they could lead anywhere."""
    headers = {"Content-Type": "application/json", **({"Authorization": authorization} if authorization else {})}
    try:
        async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            return None if answer.status < 300 else f"HTTP {answer.status}"
    except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
        return str(error) or type(error).__name__


def redact_url(url: str) -> str:
    """The URL without what may be a secret in it."""
    return str(URL(url).with_user(None).with_query(None).with_fragment(None))

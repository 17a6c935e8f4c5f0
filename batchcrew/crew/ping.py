"""Notifies a monitor (healthchecks.io or a similar service) that a run started, succeeded or failed."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import aiohttp

Moment: TypeAlias = Literal["start", "success", "failure"]
_SUFFIX: dict[Moment, str] = {"start": "/start", "success": "", "failure": "/fail"}
_TIMEOUT = aiohttp.ClientTimeout(total=10)
_TRIES = 2


async def ping(url: str, moment: Moment, *, warn: Callable[[str], None]) -> None:
    """Call `url`, `url/start` or `url/fail`. If the monitor does not answer, the run only warns."""
    problem = ""
    async with aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True) as session:
        for _ in range(_TRIES):
            try:
                async with session.get(url.rstrip("/") + _SUFFIX[moment]) as answer:
                    if answer.status < 400:
                        return
                    problem = f"HTTP {answer.status}"
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                problem = type(error).__name__
    # the URL itself may be a secret: it is not repeated
    warn(f"could not notify the monitor of --ping of the {moment}: {problem}")

"""Notifies a monitor (healthchecks.io or a similar service) that a run started, succeeded or failed."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import aiohttp

from batchcrew.base.text import clean_text

Moment: TypeAlias = Literal["start", "success", "failure"]
_SUFFIX: dict[Moment, str] = {"start": "/start", "success": "", "failure": "/fail"}
_TIMEOUT = aiohttp.ClientTimeout(total=10)
_TRIES = 2
_NO_POST = {404, 405, 501}
"""Answers of monitors that know only GET."""
_MOST_REASON = 2000


async def ping(url: str, moment: Moment, *, reason: str = "", warn: Callable[[str], None]) -> None:
    """Send `reason` to `url`, `url/start` or `url/fail`. If the monitor does not answer, the run only warns."""
    problem, method, body = "", "POST", clean_text(reason, limit=_MOST_REASON).encode(errors="replace")
    async with aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True) as session:
        for _ in range(_TRIES):
            try:
                address = url.rstrip("/") + _SUFFIX[moment]
                async with session.request(method, address, data=body if method == "POST" else None) as answer:
                    if answer.status < 400:
                        return
                    problem = f"HTTP {answer.status}"
                    if answer.status in _NO_POST:
                        method = "GET"
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                problem = type(error).__name__
    # the URL itself may be a secret: it is not repeated
    warn(f"could not notify the monitor of --ping of the {moment}: {problem}")

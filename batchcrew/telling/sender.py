"""Send notifications through apprise, the only module that imports it.

Each receiver has a thread of its own that ends with the process: one that does not answer delays nobody, and neither
the event loop nor the end of the run waits for it longer than `SEND_SECONDS`.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import SecretStr

SEND_SECONDS = 10.0
MOST_ATTACHED = 20 * 2**20
"""Largest attachment, in bytes; a larger file is only named in the text."""


def unusable(url: SecretStr) -> bool:
    """Return whether apprise does not understand a URL. Blocks: it imports apprise."""
    return not _apprise(url)


async def send(url: SecretStr, title: str, text: str, attached: tuple[Path, ...] = ()) -> str | None:
    """Send one notification; return why it was not sent, without any part of the URL, or None."""
    try:
        return await asyncio.wait_for(_in_thread(lambda: _send(url, title, text, attached)), SEND_SECONDS)
    except TimeoutError:
        return f"no answer within {SEND_SECONDS:g} s"


def _send(url: SecretStr, title: str, text: str, attached: tuple[Path, ...]) -> str | None:
    service = _apprise(url)
    if not service:
        return "apprise does not understand the URL"
    from apprise import NotifyFormat  # noqa: PLC0415 - few runs need it

    files = [str(path) for path in attached if path.is_file() and path.stat().st_size <= MOST_ATTACHED]
    sent = service.notify(body=text, title=title, body_format=NotifyFormat.TEXT, attach=files or None)
    return None if sent else "the receiver could not be reached, or refused it"


def _apprise(url: SecretStr) -> Any:
    import apprise  # noqa: PLC0415 - heavy, and an extra

    log = logging.getLogger("apprise")
    log.propagate = False  # its lines hold URLs
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    service = apprise.Apprise()
    with suppress(Exception):  # what is wrong with the URL may be in the exception's text
        service.add(url.get_secret_value())
    return service


async def _in_thread(call: Callable[[], str | None]) -> str | None:
    """Run a blocking call in a thread that nobody waits for once this is cancelled."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[str | None] = loop.create_future()

    def settle(value: str | None) -> None:
        if not future.done():
            future.set_result(value)

    def work() -> None:
        try:
            value = call()
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; its text may hold the URL
            value = type(error).__name__
        with suppress(RuntimeError):  # the loop has been closed
            loop.call_soon_threadsafe(settle, value)

    threading.Thread(target=work, name="notify", daemon=True).start()
    return await future

"""Send notifications through apprise, the only module that imports it.

Each receiver has a separate thread, which ends with the process: so a receiver that does not answer does not delay the
others, and neither the event loop nor the end of the run waits for it longer than `SEND_SECONDS`.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from batchcrew.jobfile.notify import Receiver

SEND_SECONDS = 10.0
MOST_ATTACHED = 20 * 2**20
"""Largest attachment, in bytes; a larger file is only named in the text."""


def unusable_receivers(receivers: Sequence[Receiver]) -> list[str]:
    """Return a warning for each receiver whose URL apprise does not understand. Blocks: it imports apprise."""
    return [
        f"receiver {number} of notify: apprise does not understand the URL"
        for number, receiver in enumerate(receivers, start=1)
        if not _apprise(receiver.url)
    ]


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
    with suppress(Exception):  # its text may hold the URL
        service.add(url.get_secret_value())
    return service


async def _in_thread(call: Callable[[], str | None]) -> str | None:
    """Run a blocking call in a thread, which is abandoned if this is cancelled."""
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

"""Webhooks that go wrong on purpose: dropped, doubled, delayed (and so reordered) and forged."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

from batchcrew.server.options import ServeOptions

MOST_DELAY_SECONDS = 2.0
_FORGED_WORDS = ("completed", "error", "running")


@dataclass(frozen=True, slots=True)
class Extra:
    """A webhook that is sent once, at another moment than its own or in addition to it."""

    url: str
    body: bytes
    delay: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """The faults of one webhook."""

    sent: bool = True
    """False: it is not sent at its own moment."""
    extras: tuple[Extra, ...] = ()


class WebhookFaults:
    """Random faults at the rates of the options."""

    def __init__(self, options: ServeOptions, rng: random.Random) -> None:
        self._options = options
        self._rng = rng

    def next(self, url: str, body: bytes) -> Disturbance:
        """Return what happens to the next webhook."""
        options, rng = self._options, self._rng
        extras = list(self._forged(url, body)) if rng.random() < options.webhook_forge_rate else []
        if rng.random() < options.webhook_drop_rate:
            return Disturbance(sent=False, extras=tuple(extras))
        if rng.random() < options.webhook_double_rate:
            extras.append(Extra(url, body, rng.uniform(0, MOST_DELAY_SECONDS)))
        if rng.random() < options.webhook_delay_rate:
            extras.append(Extra(url, body, rng.uniform(0, MOST_DELAY_SECONDS)))
            return Disturbance(sent=False, extras=tuple(extras))
        return Disturbance(extras=tuple(extras))

    def _forged(self, url: str, body: bytes) -> Iterator[Extra]:
        """Yield a webhook with a wrong token, one with the right token and a false content, and one that is cut off."""
        yield Extra(f"{url.rsplit('/', 2)[0]}/{self._rng.getrandbits(128):032x}/crew", body, 0.0)
        lie = json.loads(body) | {"kickoff_id": "forged", "status": self._rng.choice(_FORGED_WORDS), "result": "forged"}
        yield Extra(url, json.dumps(lie).encode(), 0.0)
        yield Extra(url, body[: len(body) // 2], 0.0)

"""The figures of the report on the live page: money, time, durations.

They are read from all attempts of the batch, which takes seconds for a large one. So the page loads them last, reads
one report at a time, and reads it again only after ten times the seconds that this took.
"""

import asyncio
from dataclasses import dataclass, field

from aiohttp import web

from batchcrew.app.report import read_report
from batchcrew.ledger import change_stamp
from batchcrew.model.report import Report
from batchcrew.web.pages import frame
from batchcrew.web.site import SITE, Site, batch_of, page

AGE_FACTOR = 10.0
"""Maximum age of figures, as a multiple of the time that it took to read them."""
MOST_STORED = 4
"""Batches whose figures are stored."""


@dataclass(frozen=True, slots=True)
class _Stored:
    report: Report
    stamp: object
    """Version of the ledger when they were read."""
    until: float
    """When they are too old, by the monotonic clock."""


@dataclass(slots=True)
class Figures:
    """The figures of some batches."""

    _stored: dict[str, _Stored] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def of(self, request: web.Request, site: Site) -> Report:
        """Return the figures of the batch that the query names.

        Raises:
            LedgerError: they cannot be read.
        """
        name = request.query.get("batch", "")
        async with self._lock:
            stamp = await asyncio.to_thread(change_stamp, site.ledger)
            stored = self._stored.get(name)
            began = site.clock.monotonic()
            if stored is not None and (stored.stamp == stamp or began < stored.until):
                return stored.report
            async with site.read() as ledger:
                report = await read_report(ledger, await batch_of(request, ledger), program=site.program)
            now = site.clock.monotonic()
            self._stored.pop(name, None)
            while len(self._stored) >= MOST_STORED:
                self._stored.pop(next(iter(self._stored)))
            self._stored[name] = _Stored(report, stamp, now + AGE_FACTOR * (now - began))
            return report


FIGURES: web.AppKey[Figures] = web.AppKey("figures", Figures)


async def figures(request: web.Request) -> web.Response:
    """Show the figures of a batch."""
    site = request.app[SITE]
    report = await request.app[FIGURES].of(request, site)
    async with site.read() as ledger:
        around = await frame(ledger, await batch_of(request, ledger), "batch")
    return await page(request, "figures.html", report=report, **around)

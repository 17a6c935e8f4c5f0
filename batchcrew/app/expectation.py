"""Forecast the rest of a batch from the ended jobs of its crews."""

import asyncio
import random
from collections.abc import Mapping

from batchcrew.app.consent import attempts_of
from batchcrew.config.crews import CrewSettings
from batchcrew.config.settings import RunSettings
from batchcrew.crew import crew_address
from batchcrew.engine.batch_forecast import CrewPart, forecast
from batchcrew.engine.context import RunContext
from batchcrew.ledger import Reading, ToStart
from batchcrew.model.events import Expected
from batchcrew.model.forecast import Forecast, PastJob
from batchcrew.reports.forecast import forecast_lines


async def report_rest(run: RunContext, crews: Mapping[str, CrewSettings]) -> None:
    """Report the expected cost, failures and duration of the rest of a batch, once its canary has passed."""
    starts = {name: ToStart(pending=number) for name, number in (await run.ledger.pending_crews(run.batch)).items()}
    history = await histories(run.ledger, crews)
    found = await asyncio.to_thread(expect, starts, history, crews, run.settings, random.Random(run.rng.random()))
    for line in forecast_lines(found, run.clock.now()):
        run.observe(Expected(line))


async def histories(ledger: Reading, crews: Mapping[str, CrewSettings]) -> dict[str, list[PastJob]]:
    """Return the ended jobs of each crew, over all batches of the ledger."""
    return {name: await ledger.past_jobs(crew_address(crew)) for name, crew in crews.items()}


def expect(
    starts: Mapping[str, ToStart],
    history: Mapping[str, list[PastJob]],
    crews: Mapping[str, CrewSettings],
    settings: RunSettings,
    rng: random.Random,
) -> Forecast:
    """Return the forecast of the jobs that a run would start, and of those in progress."""
    most = None if settings.adaptive else settings.most_in_progress
    parts = [
        CrewPart(
            name=name,
            to_start=starts[name].pending - starts[name].missing,
            in_progress=starts[name].open,
            history=history.get(name, []),
            prices=crew.price_list,
            attempts=attempts_of(settings),
            slots=None if most is None else min(crew.concurrency or most, most),
        )
        for name, crew in crews.items()
        if name in starts
    ]
    rates = [each.interval_seconds for each in (settings.rate,) if each is not None]
    if len(crews) == 1:
        rates += [crew.rate.interval_seconds for crew in crews.values() if crew.rate is not None]
    return forecast(parts, slots=most, interval=max(rates, default=0.0), rng=rng)

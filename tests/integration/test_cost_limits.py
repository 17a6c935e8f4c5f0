"""`max_cost` of a run, a batch and a month, with the kickoffs that the server counts."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from engine_bench import Bench, bench, jobs, serving

from batchcrew.base.clock import SystemClock
from batchcrew.config.limits import MaxCost
from batchcrew.engine import Stop
from batchcrew.ledger import Ledger
from batchcrew.model.events import Warned
from batchcrew.model.run import StopReason
from batchcrew.server import CrewServer, Faults

PER_KICKOFF = {"per_kickoff": "0.50", "currency": "USD"}
WITH_TOKENS = {"per_kickoff": "0.10", "per_1k_prompt_tokens": "1", "per_1k_completion_tokens": "2", "currency": "USD"}


def limited(path: Path, server: CrewServer, limit: dict[str, str], prices: dict[str, str], **settings: Any) -> Bench:
    made = bench(path, server, max_cost=MaxCost.model_validate(limit), concurrency=3, **settings)
    return priced(made, prices)


def priced(made: Bench, prices: dict[str, str], **crew: Any) -> Bench:
    made.crews = {
        name: type(given).model_validate({**dict(given), "prices": prices, **crew})
        for name, given in made.crews.items()
    }
    return made


async def spent(made: Bench) -> Decimal:
    """What the batch has cost."""
    async with Ledger(made.path, clock=made.clock) as ledger:
        key = await ledger.batch(made.batch)
        assert key is not None
        amounts = (await ledger.spending(key)).spent.amounts
    return amounts["USD"][1]


async def again(made: Bench, **change: Any) -> None:
    made.stop = Stop()
    made.settings = made.settings.model_copy(update=change)
    await made.run()


async def test_a_run_and_a_batch_stop_before_the_kickoff_that_does_not_fit(tmp_path: Path) -> None:
    async with CrewServer(serving(), faults=Faults(kickoff=[429])) as server:
        made = limited(tmp_path, server, {"run": "1.70 USD", "batch": "2.60 USD"}, PER_KICKOFF)
        await made.take_in(jobs(9))
        found = []
        for _ in range(3):
            await again(made)
            found.append((server.stats["kickoffs"], made.stop.reason))
        assert found == [(3, StopReason.LIMIT), (5, StopReason.BUDGET), (5, StopReason.BUDGET)]
        for words in ("max_cost of the batch (2.60 USD)", "2.50 USD are spent", "0.50 USD", "raise max_cost"):
            assert words in made.stop.detail
        await again(made, max_cost=None)
        assert (server.stats["kickoffs"], made.stop.reason) == (9, None)


async def test_ticks_share_the_limit_of_the_batch(tmp_path: Path) -> None:
    async with CrewServer(serving()) as server:
        made = limited(tmp_path, server, {"batch": "2 USD"}, PER_KICKOFF)
        await made.take_in(jobs(9))
        await made.tick_to_the_end()
        assert (server.stats["kickoffs"], made.stop.reason) == (4, StopReason.BUDGET)


async def test_what_tokens_cost_is_learned_and_kept_within_the_limit(tmp_path: Path) -> None:
    async with CrewServer(serving(dialect="live")) as server:
        made = limited(tmp_path, server, {"run": "1000 USD", "batch": "1000 USD"}, WITH_TOKENS)
        await made.take_in(jobs(40))
        await again(made, max_cost=MaxCost.model_validate({"run": "5 USD"}), concurrency=1)
        first = server.stats["kickoffs"]
        each = await spent(made) / first
        assert each > Decimal("0.2")  # most of it is tokens
        assert Decimal(5) - 2 * each < await spent(made) <= Decimal(5) + each
        assert any("not known yet" in event.message for event in made.of(Warned))
        # a later run knows what executions cost: it starts no more than fit
        await again(made, max_cost=MaxCost.model_validate({"batch": str(await spent(made) + each * Decimal("2.5"))}))
        assert server.stats["kickoffs"] == first + 2
        assert made.stop.reason is StopReason.BUDGET
        assert not any("not known yet" in event.message for event in made.of(Warned))


async def test_executions_in_progress_count_with_what_they_are_expected_to_cost(tmp_path: Path) -> None:
    async with CrewServer(serving(dialect="live")) as server:
        made = limited(tmp_path, server, {"run": "1000 USD"}, WITH_TOKENS)
        await made.take_in(jobs(30))
        await made.run(limit=5)
        each = await spent(made) / 5
        limit = {"batch": str(await spent(made) + each * Decimal("4.5"))}
        await again(made, max_cost=MaxCost.model_validate(limit), concurrency=10)
        assert server.stats["kickoffs"] == 9  # not ten at once
        assert await spent(made) <= Decimal(limit["batch"])


async def test_a_month_counts_all_batches_and_deleted_ones(tmp_path: Path) -> None:
    async with CrewServer(serving()) as server:
        first = priced(bench(tmp_path, server), PER_KICKOFF)
        await first.take_in(jobs(3))
        await first.run()
        second = limited(tmp_path, server, {"month": "2.20 USD"}, PER_KICKOFF)
        second.batch = "other"
        await second.take_in(jobs(5))
        async with Ledger(first.path, clock=first.clock) as ledger:
            await ledger.delete("b")
        await second.run()
        assert (server.stats["kickoffs"], second.stop.reason) == (4, StopReason.BUDGET)
        assert "max_cost of the month (2.20 USD)" in second.stop.detail
        async with Ledger(second.path, clock=second.clock) as ledger:
            (line,) = await ledger.months()
        assert line.spending.spent.amounts == {"USD": (Decimal("2.00"), Decimal("2.00"))}
        assert line.month == f"{datetime.now(UTC).astimezone():%Y-%m}"


async def test_kickoffs_of_last_month_do_not_count(tmp_path: Path) -> None:
    async with CrewServer(serving()) as server:
        made = limited(tmp_path, server, {"month": "1 USD"}, PER_KICKOFF)
        await made.take_in(jobs(5))
        await made.run()
        assert server.stats["kickoffs"] == 2
        made.clock = _later(timedelta(days=40))
        await again(made)
        assert server.stats["kickoffs"] == 4
        async with Ledger(made.path, clock=made.clock) as ledger:
            months = await ledger.months()
        assert [line.spending.spent.text for line in months] == ["1.00 USD", "1.00 USD"]


def _later(by: timedelta) -> Any:
    class Later(SystemClock):
        def now(self) -> datetime:
            return super().now() + by

    return Later()


@pytest.mark.parametrize("state", ["failed", "in_doubt"])
async def test_what_failed_counts_as_well(tmp_path: Path, state: str) -> None:
    options = serving(fail_rate=1.0) if state == "failed" else serving(idempotency=False)
    faults = Faults(kickoff=["error_after_accept"] * 20) if state == "in_doubt" else Faults()
    async with CrewServer(options, faults=faults) as server:
        made = limited(
            tmp_path,
            server,
            {"run": "2 USD"},
            PER_KICKOFF,
            stop_after_failures=None,
            delivery="at_most_once",
        )
        made.settings = made.settings.model_copy(update={"concurrency": 1})
        await made.take_in(jobs(9))
        await made.run()
        assert server.stats["kickoffs"] == 4
        assert made.stop.reason is StopReason.LIMIT

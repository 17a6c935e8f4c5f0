"""Forecasts of batches. `benchmarks/forecast.py` measures how often the intervals hold."""

import random
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from batchcrew.base.costs import PriceList
from batchcrew.engine.batch_forecast import LEAST_JOBS, CrewPart, forecast
from batchcrew.model.forecast import Forecast, PastJob
from batchcrew.reports.forecast import forecast_json, forecast_lines

PRICES = PriceList(currency="USD", per_kickoff=Decimal("0.5"), per_1k_prompt_tokens=Decimal("1"))
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def history(number: int, *, failed: int = 0, tokens: bool = True) -> list[PastJob]:
    rng = random.Random(1)
    return [
        PastJob(
            failed=n < failed,
            kickoffs=1,
            seconds=rng.uniform(9, 11),
            prompt=rng.randint(900, 1100),
            tokens_known=tokens,
        )
        for n in range(number)
    ]


def expected(part: CrewPart, *, interval: float = 0.0, slots: int | None = 10) -> Forecast:
    return forecast([part], slots=slots, interval=interval, rng=random.Random(3))


def test_a_steady_crew_has_narrow_intervals_around_what_will_happen() -> None:
    part = CrewPart(name="a", to_start=100, history=history(200, failed=20), prices=PRICES, slots=10)
    found = expected(part)
    assert found == expected(part)  # by the random numbers that are passed in
    low, high = found.costs["USD"]
    assert 140 < low < 150 < high < 160
    assert found.failures is not None
    assert 1 <= found.failures[0] <= 8
    assert 12 <= found.failures[1] <= 22
    assert found.seconds is not None
    assert 95 < found.seconds[0] <= found.seconds[1] < 125
    assert found.learned_from == 200


def test_a_crew_that_never_failed_may_fail() -> None:
    found = expected(CrewPart(name="a", to_start=1000, history=history(20), slots=10))
    assert found.failures is not None
    assert found.failures[0] == 0
    assert found.failures[1] > 20


def test_without_history_the_forecast_says_what_it_cannot_know() -> None:
    found = expected(CrewPart(name="a", to_start=10, history=history(LEAST_JOBS - 1), prices=PRICES))
    assert (found.failures, found.costs, found.seconds) == (None, {}, None)
    assert list(forecast_lines(found, NOW)) == [
        f"no forecast: crew a: only 4 jobs have ended so far (a forecast needs {LEAST_JOBS})"
    ]
    assert forecast_json(found)["failures"] is None


def test_what_is_not_known_is_left_out_and_named() -> None:
    part = CrewPart(name="a", to_start=20, history=history(30, tokens=False), prices=PRICES, slots=None)
    found = expected(part, slots=None)
    assert found.seconds is None
    assert found.costs["USD"] == (10.0, 10.0)  # the kickoffs
    assert len(found.not_known) == 2


def test_a_rate_delays_the_end() -> None:
    found = expected(CrewPart(name="a", to_start=50, history=history(50), slots=100), interval=60.0, slots=100)
    assert found.seconds is not None
    assert 49 * 60 < found.seconds[0] < found.seconds[1] < 49 * 60 + 60


@pytest.mark.crash  # three seconds
def test_a_million_jobs_are_forecast_in_bounded_work() -> None:
    """The work is that of a small batch; only a much slower algorithm would take longer than this."""
    began = time.process_time()
    part = CrewPart(name="a", to_start=1_000_000, history=history(1000, failed=50), prices=PRICES, slots=100)
    found = expected(part, slots=100)
    assert time.process_time() - began < 60
    assert found.seconds is not None
    assert 0.97 * 100_000 < found.seconds[0] < found.seconds[1] < 1.1 * 100_000
    low, high = found.costs["USD"]
    assert 0.98 * 1_500_000 < low < high < 1.05 * 1_500_000


def test_money_of_several_crews_is_kept_apart() -> None:
    euros = PriceList(currency="EUR", per_kickoff=Decimal(2))
    parts = [
        CrewPart(name="a", to_start=10, history=history(20), prices=PRICES, slots=5),
        CrewPart(name="b", to_start=3, history=history(20), prices=euros, slots=5),
    ]
    found = forecast(parts, slots=5, interval=0, rng=random.Random(1))
    assert found.costs["EUR"] == (6.0, 6.0)
    assert set(found.costs) == {"EUR", "USD"}


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (
            Forecast(jobs=9, learned_from=120, failures=(3, 12), costs={"USD": (23.4, 41.2)}, seconds=(7500, 7500)),
            "forecast (90%, from 120 ended jobs): between 23 and 41 USD; 3 to 12 jobs will fail; done at {0}",
        ),
        (
            Forecast(jobs=9, learned_from=10, failures=(1, 1), costs={"": (0.5, 0.5)}, seconds=(60, 3000)),
            "forecast (90%, from 10 ended jobs): 0.5000; 1 job will fail; done between {1} and {2}",
        ),
    ],
)
def test_a_forecast_in_plain_words(found: Forecast, line: str) -> None:
    moments = [f"{(NOW + timedelta(seconds=each)).astimezone():%H:%M}" for each in (7500, 60, 3000)]
    assert list(forecast_lines(found, NOW)) == [line.format(*moments)]

"""Durations, rates, limits and overrides: what you may write, and what it means."""

from decimal import Decimal

import pytest
from pydantic import ValidationError

from batchcrew.base.costs import PriceList
from batchcrew.base.errors import UsageError
from batchcrew.base.quantities import format_duration, parse_duration, parse_size
from batchcrew.config.limits import FailureLimit
from batchcrew.config.money import cost
from batchcrew.config.settings import PollSettings, RetrySettings, RunSettings, with_overrides


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("1h30m", 5400), ("500ms", 0.5), ("2d", 172800), (7, 7), ("1.5", 1.5)],
)
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["fast", "5 parsecs", "-1s", "", True, None, "nan", "inf", "400d", "1m30"])
def test_an_invalid_duration_is_reported(text: object) -> None:
    with pytest.raises(ValueError, match=r"duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0s"), (9.94, "9.9s"), (59.6, "60s"), (200, "3m 20s"), (3720, "1h 02m")]
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_sizes() -> None:
    assert [parse_size(text) for text in ("64MiB", "10 MB", 5)] == [67108864, 10_000_000, 5]
    with pytest.raises(ValueError, match="invalid size"):
        parse_size("big")


@pytest.mark.parametrize(("text", "interval"), [("2/s", 0.5), ("60/m", 1.0), ("500 / hour", 7.2)])
def test_rates(text: str, interval: float) -> None:
    rate = RunSettings.model_validate({"rate": text}).rate
    assert rate is not None
    assert rate.interval_seconds == interval


@pytest.mark.parametrize("text", ["60", "0/m", "fast", "1/day", 5])
def test_an_invalid_rate_is_reported(text: object) -> None:
    with pytest.raises(ValidationError, match="invalid rate"):
        RunSettings.model_validate({"rate": text})


def test_a_share_of_failures_needs_a_sample() -> None:
    limit = FailureLimit(share=Decimal("0.1"))
    assert not limit.reached(failed=2, ended=2)
    assert limit.reached(failed=1, ended=10)
    assert not limit.reached(failed=1, ended=11)
    assert FailureLimit(count=2).reached(failed=2, ended=2)


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        (20, {"count": 20}),
        ("20", {"count": 20}),
        ("10%", {"share": Decimal("0.1")}),
        ({}, {"in_a_row": 10}),
        ({"same": False}, {"in_a_row": 10, "same": False}),
        ({"in_a_row": 5, "share": "20%"}, {"in_a_row": 5, "share": Decimal("0.2")}),
        ({"count": 7}, {"count": 7}),
        ("in_a_row=5, same=false", {"in_a_row": 5, "same": False}),
    ],
)
def test_every_form_of_a_limit_of_failures(given: object, limit: dict[str, object]) -> None:
    settings = RunSettings.model_validate({"stop_after_failures": given})
    assert settings.stop_after_failures == FailureLimit.model_validate(limit)


def test_ten_failures_in_a_row_are_the_default_and_none_turns_it_off() -> None:
    assert RunSettings().stop_after_failures == FailureLimit(in_a_row=10, same=True)
    assert RunSettings.model_validate({"stop_after_failures": "none"}).stop_after_failures is None
    assert with_overrides(RunSettings(), {"stop_after_failures": "none"}).stop_after_failures is None


def test_a_cost_is_a_range_where_more_kickoffs_are_possible() -> None:
    prices = {
        "a": PriceList(per_kickoff=Decimal("0.5"), currency="USD"),
        "b": PriceList(per_kickoff=Decimal(2)),
        "c": None,
    }
    assert cost(prices, {"a": 3, "c": 9}) == "1.50 USD + 0.00"
    assert cost(prices, {"a": 3, "b": 1}, {"a": 4, "b": 1}) == "1.50 to 2.00 USD + 2.00"
    assert cost({"c": None}, {"c": 9}) is None


@pytest.mark.parametrize("text", ["0", "0%", "101%", "-3", "some", True, "in_a_row=x", "in_a_wor=3", "in_a_row=0"])
def test_an_invalid_failure_limit_is_reported(text: object) -> None:
    with pytest.raises(ValidationError, match="failure limit"):
        RunSettings.model_validate({"stop_after_failures": text})


def test_waits_are_ordered() -> None:
    with pytest.raises(ValidationError, match="longer than"):
        RunSettings(retry=RetrySettings(backoff=10, max=5))
    with pytest.raises(ValidationError, match="longer than"):
        RunSettings(poll=PollSettings(initial=10, max=5))


def test_an_option_wins_over_the_file() -> None:
    given = RunSettings(concurrency=3, delivery="at_most_once", retry=RetrySettings(attempts=7))
    options: dict[str, str | int] = {
        "concurrency": 9,
        "rate": "2/s",
        "timeout": "1m",
        "max_runtime": "5m",
        "stop_after_failures": "10%",
        "delivery": "at_least_once",
    }
    settings = with_overrides(given, options)
    assert (settings.concurrency, str(settings.rate), settings.timeout) == (9, "2/s", 60)
    assert (settings.max_runtime, str(settings.stop_after_failures)) == (300, "10%")
    assert (settings.delivery, settings.retry.attempts) == ("at_least_once", 7)
    assert with_overrides(given, {}) == given


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_runtime", "soon"),
        ("timeout", "0"),
        ("concurrency", 0),
        ("rate", "fast"),
        ("delivery", "twice"),
        ("canary", 0),
        ("max_kickoffs", 0),
        *(
            ("stop_after_failures", wrong)
            for wrong in ("some", "0", "110%", "in_a_row=x", "in_a_row=0", "in_a_wor=3", "in_a_row=3,same=perhaps")
        ),
    ],
)
def test_a_wrong_option_is_named_with_its_value_and_what_is_expected(name: str, value: str | int) -> None:
    option = "--" + name.replace("_", "-")
    with pytest.raises(UsageError) as error:
        with_overrides(RunSettings(), {name: value})
    assert str(error.value).startswith(f"invalid {option}: {value!r} (expected ")

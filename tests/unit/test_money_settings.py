"""Prices and limits of money in job files, and amounts as text."""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from batchcrew.base.costs import PriceList, amount_text, sum_of_costs
from batchcrew.base.errors import UsageError
from batchcrew.config.crews import DemoCrew
from batchcrew.config.limits import MaxCost
from batchcrew.config.money import check_max_cost
from batchcrew.config.settings import RunSettings, with_overrides, with_set_values


def crew(**keys: Any) -> DemoCrew:
    return DemoCrew.model_validate({"url": "embedded", **keys})


def test_prices_are_exact_and_the_old_key_still_works() -> None:
    found = crew(prices={"per_kickoff": 0.1, "per_1k_prompt_tokens": 1e-05, "currency": "USD"}).price_list
    assert found == PriceList(currency="USD", per_kickoff=Decimal("0.1"), per_1k_prompt_tokens=Decimal("0.00001"))
    assert found.of_tokens(3, 10**15) == Decimal("0.00000003")
    assert crew(price_per_kickoff="0.50 USD").price_list == PriceList(currency="USD", per_kickoff=Decimal("0.50"))
    assert crew().price_list is None
    assert PriceList.read(*found.texts()) == found


@pytest.mark.parametrize(
    "keys",
    [
        {"prices": {"currency": "USD"}},
        {"prices": {"per_kickoff": -1}},
        {"prices": {"per_kickoff": "1 USD"}},
        {"prices": {"per_kickoff": True}},
        {"prices": {"per_kickoff": float("nan")}},
        {"prices": {"per_kickoff": 1e300}},
        {"prices": {"per_kickoff": 1, "currency": "U S"}},
        {"prices": {"per_kickoff": 1}, "price_per_kickoff": "1 USD"},
    ],
    ids=str,
)
def test_mistakes_in_prices(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        crew(**keys)


def test_max_cost_is_an_amount_of_a_run_or_a_mapping() -> None:
    run = with_overrides(RunSettings(), {"max_cost": "20 USD"}).max_cost
    assert run is not None
    assert run.run is not None
    assert (run.run.amount, run.run.currency, run.batch) == (Decimal(20), "USD", None)
    both = with_set_values(RunSettings(), {"max_cost": {"batch": 5, "month": "7.5"}}).max_cost
    assert both is not None
    assert both.month is not None
    assert (both.run, both.month.amount) == (None, Decimal("7.5"))
    for wrong in ("much", {}, {"week": 3}, -1, True):
        with pytest.raises(UsageError):
            with_overrides(RunSettings(), {"max_cost": wrong})


@pytest.mark.parametrize(
    ("limit", "crews", "valid"),
    [
        ({"run": "1 USD"}, {"a": crew(price_per_kickoff="0.5 USD"), "b": crew()}, True),
        ({"run": "1"}, {"a": crew(price_per_kickoff="0.5 USD")}, True),
        ({"run": "1"}, {"a": crew(price_per_kickoff="0.5 USD"), "b": crew(price_per_kickoff="1 EUR")}, False),
        ({"month": "1 EUR"}, {"a": crew(price_per_kickoff="0.5 USD")}, False),
        ({"batch": "1 USD"}, {"a": crew()}, False),
    ],
)
def test_a_limit_needs_a_price_in_its_currency(limit: dict[str, str], crews: dict[str, DemoCrew], valid: bool) -> None:
    most = MaxCost.model_validate(limit)
    if valid:
        check_max_cost(most, crews)
        return
    with pytest.raises(UsageError, match="max_cost"):
        check_max_cost(most, crews)


@pytest.mark.parametrize(
    ("amount", "text"),
    [("12.5", "12.50 X"), ("0.25", "0.25 X"), ("0.0042", "0.0042 X"), ("0.00001", "0.0000 X"), ("1.239", "1.24 X")],
)
def test_small_amounts_have_more_decimal_places(amount: str, text: str) -> None:
    assert amount_text(Decimal(amount), "X") == text


def test_sums_keep_currencies_apart() -> None:
    assert sum_of_costs(["1.50 USD", "0.0042 EUR + 2.00 to 3.00 USD"]) == "3.50 to 4.50 USD + 0.0042 EUR"

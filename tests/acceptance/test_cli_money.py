"""Tokens and money of a batch, as every command shows them."""

import json
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cli_process import Crew, call, write_trips

JOB_FILE = """
batch: trips
crew:
  url: "{url}"
  token: "${{CREW_TOKEN}}"
  prices: {prices}
run: {{poll: {{initial: 10ms, max: 50ms}}, stop_after_failures: none, retry: {{attempts: 1}}{more}}}
jobs: [{{rows: trips.csv}}]
"""
PRICES = "{per_kickoff: 0.25, per_1k_prompt_tokens: 0.5, per_1k_completion_tokens: 1.25, currency: USD}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_trips(tmp_path, 12)
    return tmp_path


@pytest.fixture
def crew(folder: Path) -> Iterator[Crew]:
    made = Crew(folder, "--dialect", "live", "--execution-time", "10ms")
    yield made
    made.stop()


def write(folder: Path, crew: Crew, prices: str = PRICES, more: str = "") -> None:
    (folder / "jobs.yaml").write_text(JOB_FILE.format(url=crew.url, prices=prices, more=more), encoding="utf-8")


def ran(folder: Path, code: int = 0) -> dict[str, Any]:
    done = call(folder, "run", "jobs.yaml", "--json")
    assert done.returncode == code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1] if done.stdout.startswith('{"') else done.stdout)
    return found


def said(folder: Path, *words: str) -> Any:
    done = call(folder, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(folder / "results/batchcrew.db") as connection:
        found = connection.execute(sql).fetchall()
    connection.close()
    return found


def exact(amounts: list[dict[str, str]]) -> dict[str, Decimal]:
    assert all(each["least"] == each["most"] for each in amounts)
    return {each["currency"]: Decimal(each["least"]) for each in amounts}


def test_the_rest_is_forecast_once_the_canary_has_passed(folder: Path, crew: Crew) -> None:
    write(folder, crew, more=", canary: 6")
    done = call(folder, "run", "jobs.yaml")
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stderr.splitlines() if "forecast (90%, from 6 ended jobs): " in line)
    assert all(words in line for words in ("USD", "will fail", "done "))


def test_every_command_shows_the_same_money_and_a_new_price_changes_no_history(folder: Path, crew: Crew) -> None:
    write(folder, crew)
    first = ran(folder)
    used = [json.loads(text) for (text,) in rows(folder, "SELECT token_usage FROM results")]
    prompt, completion = (sum(each[f"{kind}_tokens"] for each in used) for kind in ("prompt", "completion"))
    cost = Decimal("0.25") * 12 + (Decimal("0.5") * prompt + Decimal("1.25") * completion) / 1000
    assert exact(first["money"]["spent"]) == {"USD": cost}
    assert (first["money"]["prompt_tokens"], first["money"]["completion_tokens"]) == (prompt, completion)
    assert first["cost"] == f"{cost:.2f} USD"

    write(folder, crew, prices="{per_kickoff: 100, currency: EUR}")
    write_trips(folder, 13)
    expected = said(folder, "check", "jobs.yaml")["forecast"]
    assert (expected["jobs"], expected["learned_from"]) == (1, 12)
    assert expected["costs"] == [{"currency": "EUR", "least": 100.0, "most": 100.0}]
    assert expected["failures"]["least"] == 0
    assert 0 <= expected["seconds"]["least"] <= expected["seconds"]["most"]
    assert exact(ran(folder)["money"]["spent"]) == {"EUR": Decimal(100)}
    every = {"USD": cost, "EUR": Decimal(100)}
    assert exact(said(folder, "status", "trips")["totals"]["costs"]) == every
    assert exact(said(folder, "list")[0]["totals"]["costs"]) == every
    assert [exact(run["costs"]) for run in said(folder, "runs")] == [{"EUR": Decimal(100)}, {"USD": cost}]
    (month,) = said(folder, "runs", "trips", "--months")
    assert (exact(month["spent"]), month["kickoffs"]) == (every, 13)
    shown = [said(folder, "show", "trips", f"trip-{n}") for n in range(12)]
    assert sum(Decimal(each["attempts"][0]["cost"]) for each in shown) == cost
    for view in ("results", "attempt_history", "spending"):
        sums = f"SELECT currency, sum(cost), sum(prompt_tokens) FROM {view} GROUP BY 1 ORDER BY 1"  # noqa: S608 - a view
        found = rows(folder, sums)
        assert [each[:2] for each in found] == [("EUR", 100.0), ("USD", pytest.approx(float(cost)))]
        assert found[1][2] == prompt

"""Commands to a running batch: how settings are parsed, how limits follow them, and how they are shown."""

from pathlib import Path
from typing import Any

import pytest
from manual_clock import ManualClock, Middle

from batchcrew.app.control import parse_assignments
from batchcrew.base.errors import UsageError
from batchcrew.config.settings import BreakerSettings, RunSettings, with_set_values
from batchcrew.config.values import Rate
from batchcrew.engine.limits.crew_limits import CrewLimits, CrewLimitSettings
from batchcrew.engine.limits.rate_limiter import RateLimiter
from batchcrew.ledger.spill import SpillFile
from batchcrew.model.control import Control, ControlLine, Given, SetValue
from batchcrew.reports.control import command_text, control_lines

GIVEN = Given(by="ana@ops", at="2026-01-01T00:00:00.000Z", reason="a\x1b[31m\nb")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["concurrency=5", "rate=10/m", "max_kickoffs=200", "timeout=1h"], {"timeout": 3600.0, "concurrency": 5}),
        (["concurrency=auto", "max-concurrency=40"], {"max_concurrency": 40, "adaptive": True}),
        (["rate=none", "max_kickoffs=none"], {"rate": None, "max_kickoffs": None}),
    ],
)
def test_settings_are_parsed_as_in_a_job_file(words: list[str], expected: dict[str, Any]) -> None:
    settings = with_set_values(RunSettings.model_validate({"rate": "1/s", "max_kickoffs": 3}), parse_assignments(words))
    assert {name: getattr(settings, name) for name in expected} == expected


def test_max_kickoffs_is_also_a_mapping() -> None:
    most = with_set_values(RunSettings(), parse_assignments(["max_kickoffs={run: 5, batch: 9}"])).max_kickoffs
    assert most is not None
    assert (most.run, most.batch) == (5, 9)


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("concurrency=0", ["concurrency", "0"]),
        ("concurrency=10001", ["concurrency", "10001"]),
        ("timeout=none", ["timeout", "None"]),
        ("rate=fast", ["rate", "fast"]),
        ("rate", ["rate"]),
        ("=5", ["''"]),
        ("concurency=5", ["concurency", "concurrency"]),
        ("poll=1s", ["poll", "job file"]),
        ("max_kickoffs={run: [", ["max_kickoffs"]),
        ("max_kickoffs={runs: 1}", ["max_kickoffs"]),
    ],
)
def test_mistakes_in_settings_are_named(word: str, names: list[str]) -> None:
    with pytest.raises(UsageError) as wrong:
        parse_assignments(["timeout=5m", word] if not word.startswith("timeout") else [word])
    assert all(name in str(wrong.value) for name in names), wrong.value


def test_a_setting_is_given_once() -> None:
    with pytest.raises(UsageError):
        parse_assignments(["rate=1/s", "rate=2/s"])


def test_a_rate_that_changes_counts_from_the_latest_kickoff() -> None:
    clock = ManualClock(jumps=True)
    limiter = RateLimiter(Rate(count=1, period_seconds=3600), clock)
    limiter.spend(1)
    clock.advance(10)
    limiter.change(Rate(count=1, period_seconds=1))
    assert limiter.available() >= 1
    limiter.spend(1)
    limiter.change(Rate(count=1, period_seconds=60))
    assert limiter.wait_seconds() == pytest.approx(60, abs=1)
    limiter.change(None)
    assert limiter.available() == float("inf")


def test_a_tick_does_not_wait_for_a_former_lower_rate() -> None:
    clock = ManualClock(jumps=True)
    limiter = RateLimiter(Rate(count=60, period_seconds=60), clock, burst=True)
    limiter.restore(3500.0, 0.0)
    assert limiter.wait_seconds() <= 60


def limits(clock: ManualClock, slots: int, *, adaptive: bool = False) -> CrewLimits:
    settings = CrewLimitSettings(slots=slots, breaker=BreakerSettings(), adaptive=adaptive)
    return CrewLimits(settings, clock=clock, rng=Middle())


def test_slots_shrink_below_those_in_use_and_grow_again() -> None:
    made = limits(ManualClock(jumps=True), 6)
    permits = made.acquire(6)
    made.resize(2, adaptive=False, reason="r")
    assert (made.available(), made.slots.available()) == (0, -4)
    for permit in permits[:5]:
        permit.release()
    assert made.available() == 1
    made.resize(9, adaptive=False, reason="r")
    assert made.available() == 8


def test_slots_that_a_refusal_has_cut_grow_slowly_also_after_a_change() -> None:
    made = limits(ManualClock(jumps=True), 6)
    made.acquire(6)
    made.slots.cut()
    cut = made.slots.limit
    made.resize(20, adaptive=False, reason="r")
    assert made.slots.limit == cut < 6


def test_auto_begins_with_what_the_crew_runs_and_a_number_ends_it() -> None:
    made = limits(ManualClock(jumps=True), 30)
    made.acquire(30)
    made.resize(100, adaptive=True, reason="r")
    assert (made.slots.limit, made.adaptive is not None) == (30, True)
    made.resize(25, adaptive=True, reason="r")
    assert made.slots.limit == 25
    made.resize(40, adaptive=False, reason="r")
    assert (made.slots.limit, made.adaptive) == (40, None)


def test_the_spill_file_is_extended(tmp_path: Path) -> None:
    file = SpillFile(tmp_path / "l.db", "b")
    file.reserve(1)
    before = file.path.stat().st_size
    file.grow(1)
    assert file.path.stat().st_size == before
    file.grow(1000)
    assert file.path.stat().st_size > before
    file.close()
    assert not file.path.exists()


def test_what_operators_write_is_shown_as_harmless_lines() -> None:
    control = Control(pause=GIVEN, settings={"rate": SetValue(value="1/s", given=GIVEN)}, letting_go=2)
    now = ManualClock().now()
    shown = [*control_lines(control, "b\x1b", now), command_text(ControlLine(command="pause", given=GIVEN))]
    assert len(shown) == 4
    assert not {"\x1b", "\n"} & set("".join(shown))

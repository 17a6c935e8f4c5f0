"""Reports, exports, `--json` and the ledger's views agree, over random batches that the real `Ledger` writes."""

import asyncio
import io
import json
import math
import sqlite3
import tempfile
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from manual_clock import ManualClock

from batchcrew.app.export import ExportRequest, export_batch
from batchcrew.app.report import read_report
from batchcrew.base.costs import PriceList, cost_by_price
from batchcrew.base.export_columns import MARK
from batchcrew.ledger import BatchKey, Ledger, LedgerReader
from batchcrew.ledger.report_reader import ReportReader
from batchcrew.model.attempt import Attempt, AttemptState, Outcome
from batchcrew.model.execution import Execution, ExecutionState, TaskResult
from batchcrew.model.job import Job, JobState, Location
from batchcrew.model.report import Report
from batchcrew.reports.as_json import status_json
from batchcrew.reports.report.json_report import report_json
from batchcrew.reports.report.markdown_report import markdown_report
from batchcrew.reports.report.text_report import text_report

CREWS = ("planner", "writer")
PRICES = {
    "planner": PriceList(currency="USD", per_kickoff=Decimal("0.50"), per_1k_prompt_tokens=Decimal("0.25")),
    "writer": PriceList(currency="EUR", per_kickoff=Decimal("0.20")),
}
REASONS = ("no luck", "RateLimitError: retry in {n}s", "timed out after {n}s", "\x1b[31m<b>|`{n}`")

endings = st.sampled_from(["succeeded", "failed", "retry", "refused", "throttled", "held", "timed_out", "left"])
steps = st.tuples(st.integers(1, 4), st.lists(endings, min_size=4, max_size=4), st.floats(0, 40), st.booleans())
runs = st.tuples(st.booleans(), st.lists(steps, max_size=4), st.sampled_from(["closed", "killed"]), st.floats(0, 500))
batches = st.tuples(st.integers(1, 12), st.lists(runs, max_size=4), st.booleans())


def succeeded(number: int, seconds: float, *, tokens: bool) -> Outcome:
    return Outcome(
        attempt_state=AttemptState.SUCCEEDED,
        job_state=JobState.SUCCEEDED,
        execution=Execution(
            state=ExecutionState.SUCCEEDED,
            word="completed",
            output=f"answer {number}",
            tasks=(TaskResult(task_id="t", output="o", agent="a", execution_time=seconds),),
            execution_time=seconds if tokens else None,
            token_usage={"prompt_tokens": number, "total_tokens": 2 * number} if tokens else None,
        ),
    )


def outcome(ending: str, number: int, seconds: float, *, tokens: bool) -> Outcome:
    reason = REASONS[number % len(REASONS)].format(n=number)
    states = {
        "failed": (AttemptState.FAILED, JobState.FAILED, reason),
        "retry": (AttemptState.FAILED, JobState.PENDING, reason),
        "refused": (AttemptState.REJECTED, JobState.FAILED, "HTTP 422"),
        "throttled": (AttemptState.REJECTED, JobState.PENDING, "refused for now: HTTP 429"),
        "held": (AttemptState.IN_DOUBT, JobState.HELD, "HTTP 502"),
        "timed_out": (AttemptState.TIMED_OUT, JobState.FAILED, "timed out"),
    }
    if ending == "succeeded":
        return succeeded(number, seconds, tokens=tokens)
    state, job_state, why = states[ending]
    return Outcome(attempt_state=state, job_state=job_state, reason=why)


class Batch:
    """A random batch that is written to a ledger."""

    def __init__(self, path: Path, clock: ManualClock) -> None:
        self.path = path
        self.clock = clock
        self.left: list[Attempt] = []
        self.number = 0

    async def write(self, jobs: int, its_runs: list[Any], *, priced: bool) -> None:
        for at, (adaptive, its_steps, how, gap) in enumerate([(False, [], "closed", 0.0), *its_runs]):
            async with Ledger(self.path, clock=self.clock, uptime=lambda: None) as ledger:
                key = await self.ingest(ledger, jobs) if at == 0 else await known(ledger)
                if at:
                    await self.run(ledger, key, (adaptive, its_steps, how), priced=priced)
            self.clock.advance(gap)

    async def ingest(self, ledger: Ledger, number: int) -> BatchKey:
        jobs = [
            Job(
                job_id=f"j{n}",
                crew=CREWS[n % 2],
                inputs={"n": n},
                meta={},
                row={"id": f"j{n}", "n": str(n)},
                where=Location("jobs.csv", n + 2),
            )
            for n in range(number)
        ]
        staged = await ledger.stage("b", jobs)
        return await ledger.ingest("b", jobfile="jobs.yaml", digest="d", columns=staged.plan.columns)

    async def run(self, ledger: Ledger, key: BatchKey, how: tuple[bool, list[Any], str], *, priced: bool) -> None:
        adaptive, its_steps, end = how
        run_id = await ledger.open_run(
            key.id,
            pid=1,
            host="h",
            version="v",
            urls={crew: f"https://{crew}" for crew in CREWS},
            prices=PRICES if priced else {},
        )
        ledger.slots_allowed(run_id, 4, adaptive=adaptive)
        kickoffs = dict.fromkeys(CREWS, 0)
        # the executions of an earlier run end now
        await asyncio.gather(*(ledger.ended(each, succeeded(self.number, 1.0, tokens=True)) for each in self.left))
        self.left = []
        for wanted, its_endings, seconds, tokens in its_steps:
            for crew in CREWS:
                claimed = await ledger.claim(key, run_id, crew=crew, limit=wanted)
                self.clock.advance(0.2)
                kickoffs[crew] += await self.end(ledger, claimed.attempts, its_endings, seconds, tokens=tokens)
        if end == "closed":
            texts = {crew: price.texts()[0] or "" for crew, price in PRICES.items()}
            cost = cost_by_price({texts[crew]: (number, number) for crew, number in kickoffs.items() if number})
            await ledger.close_run(
                run_id,
                kickoffs=sum(kickoffs.values()),
                stopped=None,
                exit_code=0,
                cost=cost if priced else None,
            )

    async def end(
        self, ledger: Ledger, attempts: list[Attempt], its_endings: list[str], seconds: float, *, tokens: bool
    ) -> int:
        """End attempts, those that are left apart; return how many were kicked off."""
        pairs = list(zip(attempts, its_endings, strict=False))
        accepted = [attempt for attempt, ending in pairs if ending not in {"refused", "throttled", "held"}]
        await asyncio.gather(*(ledger.kicked_off(attempt, f"k-{attempt.attempt_id}") for attempt in accepted))
        self.clock.advance(seconds)
        self.left += [attempt for attempt, ending in pairs if ending == "left"]
        outcomes = []
        for attempt, ending in pairs:
            self.number += 1
            if ending != "left":
                outcomes.append((attempt, outcome(ending, self.number, seconds / 2, tokens=tokens)))
        await asyncio.gather(*(ledger.ended(attempt, its) for attempt, its in outcomes))
        return len(accepted)


async def known(ledger: Ledger | LedgerReader) -> BatchKey:
    key = await ledger.batch("b")
    assert key is not None
    return key


async def read(path: Path, clock: ManualClock) -> tuple[Report, dict[str, Any], list[dict[str, Any]]]:
    async with ReportReader(path, clock=clock) as ledger:
        key = await known(ledger)
        report = await read_report(ledger, key, program="batchcrew")
        stream = io.BytesIO()
        request = ExportRequest(format="jsonl", tokens=True)
        await export_batch(ledger, key, request, path=None, stdout=stream)
        rows = [json.loads(line) for line in stream.getvalue().splitlines()]
        return report, status_json(await ledger.status(key)), rows


@pytest.mark.crash  # each of its batches is written with every commit synced
@given(batches)
@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
def test_all_that_batchcrew_says_of_a_batch_agrees(batch: tuple[int, list[Any], bool]) -> None:
    jobs, its_runs, priced = batch
    with tempfile.TemporaryDirectory() as folder:
        path, clock = Path(folder) / "ledger.db", ManualClock()

        async def write_and_read() -> tuple[Report, dict[str, Any], list[dict[str, Any]]]:
            await Batch(path, clock).write(jobs, its_runs, priced=priced)
            return await read(path, clock)

        report, status, rows = asyncio.run(write_and_read())
        with closing(sqlite3.connect(path)) as views:
            agrees(report, status, rows, views)


def agrees(report: Report, status: dict[str, Any], rows: list[dict[str, Any]], views: sqlite3.Connection) -> None:
    def count(sql: str) -> Any:
        return views.execute(sql).fetchone()[0]

    found = report_json(report)
    json.dumps(found, allow_nan=False)
    assert found["counts"] == status["counts"]
    states = dict(views.execute("SELECT state, count(*) FROM results GROUP BY 1"))
    exported = [row[MARK] for row in rows]
    for state in JobState:
        assert found["counts"][state] == states.get(state, 0) == exported.count(state)
        assert sum(each["counts"][state] for each in found["crews"]) == states.get(state, 0)
    assert found["money"]["kickoffs"] == status["totals"]["kickoffs"]
    assert found["money"]["spent"] == status["totals"]["cost"]
    assert found["tokens"]["total"] == status["totals"]["tokens"] == count("SELECT sum(total_tokens) FROM attempts")
    wasted = "SELECT count(*) FROM attempt_history WHERE state IN ('failed', 'timed_out', 'lost', 'in_doubt')"
    assert found["money"]["wasted_kickoffs"] == count(wasted)
    failed = count("SELECT count(*) FROM failures")
    assert sum(each["jobs"] for each in found["failures"]) == failed == states.get("failed", 0) + states.get("held", 0)
    assert len(found["runs"]) == status["totals"]["runs"]
    agrees_on_money(found, status, rows, views)
    agrees_on_time(found, count)
    assert not {"\x1b", "\u202e"} & set(text_report(report) + markdown_report(report))


def agrees_on_money(
    found: dict[str, Any], status: dict[str, Any], rows: list[dict[str, Any]], views: sqlite3.Connection
) -> None:
    """The rows of the export, of the views and the totals add up to the same, in each currency."""
    exported: dict[str, float] = {}
    for row in rows:
        seen = views.execute(
            "SELECT total_tokens, prompt_tokens, cost, currency FROM results WHERE job_id = ?", (row["job_id"],)
        ).fetchone()
        assert [row["total_tokens"], row["prompt_tokens"], row["currency"]] == [seen[0], seen[1], seen[3]]
        assert (row["cost"] is None) == (seen[2] is None)
        if row["cost"] is not None:
            assert math.isclose(row["cost"], seen[2], abs_tol=1e-6)
            exported[row["currency"]] = exported.get(row["currency"], 0.0) + row["cost"]
    spent = {
        currency: cost
        for currency, cost in views.execute("SELECT currency, sum(cost) FROM spending GROUP BY 1")
        if cost is not None
    }
    exact = {each["currency"]: float(each["least"]) for each in status["totals"]["costs"]}
    for currency, cost in exact.items():
        assert math.isclose(cost, spent.get(currency, 0.0), abs_tol=1e-6)
        assert math.isclose(cost, exported.get(currency, 0.0), abs_tol=1e-6)
    assert found["money"]["spent"] == status["totals"]["cost"]


def agrees_on_time(found: dict[str, Any], count: Any) -> None:
    bins, duration = found["timeline"]["bins"], found["duration"]
    if not bins:
        assert count("SELECT count(*) FROM runs") == 0
        return
    accepted = "SELECT count(*) FROM attempt_history WHERE kicked_off_at IS NOT NULL"
    assert sum(each["kickoffs"] for each in bins) == count(accepted)
    ended = "SELECT count(*) FROM attempt_history WHERE state = 'succeeded'"
    assert sum(each["succeeded"] for each in bins) == count(ended)
    refused = "SELECT count(*) FROM attempt_history WHERE state = 'rejected'"
    assert sum(each["refused"] for each in bins) == count(refused)
    assert all(part["slot_seconds"] >= 0 for part in duration["parts"])
    total = sum(part["slot_seconds"] for part in duration["parts"])
    assert math.isclose(total, duration["elapsed_seconds"] * duration["slots"], rel_tol=1e-3, abs_tol=0.1)
    seconds = sum(part["seconds"] for part in duration["parts"])
    assert math.isclose(seconds, duration["elapsed_seconds"], rel_tol=1e-3, abs_tol=0.05) or not total
    assert duration["ideal_seconds"] <= duration["elapsed_seconds"] + 0.05
    crews = sum(each["number"] for each in found["durations"] if each["task"] is None)
    assert crews == count(ended)
    for each in found["durations"]:
        assert each["least"] <= each["p50"] <= each["p90"] <= each["p99"] <= each["most"]
        assert sum(bin_["number"] for bin_ in each["bins"]) == each["number"]

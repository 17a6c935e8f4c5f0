"""Jobs that succeeded without an output: the ledger counts those for which an answer has none."""

from pathlib import Path
from typing import Any

import pytest
from manual_clock import ManualClock

from batchcrew.ledger import Ledger
from batchcrew.model.attempt import AttemptState, Outcome
from batchcrew.model.execution import Execution, ExecutionState, TaskResult
from batchcrew.model.job import Job, JobState, Location

WITHOUT: list[dict[str, Any]] = [
    {},
    {"output": ""},
    {"output": " \t\r\n"},
    {"output": " " * 200},
    {"output": "", "result_json": {}},
    {"result_json": []},
    {"tasks": (TaskResult(task_id="t"),)},
    {"tasks": (TaskResult(task_id="t", output=""),)},
]
WITH: list[dict[str, Any]] = [
    {"output": "text"},
    {"output": "0", "result_json": 0},
    {"output": " " * 200 + "text"},
    {"output": "", "result_json": {"days": 7}},
    {"output": "", "result_json": [None]},
    {"tasks": (TaskResult(task_id="t"), TaskResult(task_id="u", output="text"))},
]


@pytest.mark.parametrize("outdated", [False, True])
async def test_succeeded_jobs_without_an_output_are_counted(tmp_path: Path, outdated: bool) -> None:
    answers = [*WITHOUT, *WITH]
    jobs = [
        Job(job_id=f"job-{n}", crew="default", inputs={}, meta={}, row={}, where=Location("jobs.csv", n))
        for n in range(len(answers) + 1)
    ]
    state = JobState.STALE if outdated else JobState.SUCCEEDED
    async with Ledger(tmp_path / "ledger.db", clock=ManualClock(), uptime=lambda: None) as ledger:
        staged = await ledger.stage("b", jobs)
        key = await ledger.ingest("b", jobfile="jobs.yaml", digest="d", columns=staged.plan.columns)
        run_id = await ledger.open_run(key.id, pid=1, host="h", version="v")
        assert await ledger.without_output(key) == (0, ())
        *attempts, failed = (await ledger.claim(key, run_id, crew="default", limit=len(jobs))).attempts
        for attempt, answer in zip(attempts, answers, strict=True):
            execution = Execution(state=ExecutionState.SUCCEEDED, word="completed", **answer)
            assert execution.has_output is (answer in WITH)
            outcome = Outcome(attempt_state=AttemptState.SUCCEEDED, job_state=state, execution=execution)
            await ledger.kicked_off(attempt, attempt.job_id)
            await ledger.ended(attempt, outcome)
        await ledger.ended(failed, Outcome(attempt_state=AttemptState.FAILED, job_state=JobState.FAILED, reason="no"))
        number = 0 if outdated else len(WITHOUT)
        assert await ledger.without_output(key, 3) == (number, ("job-0", "job-1", "job-2")[:number])

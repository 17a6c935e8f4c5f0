"""The summary of a run, its exit code, and their JSON."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcrew.model.exit_codes import ExitCode, of_run
from batchcrew.model.failures import FailureGroup, FailureGroups
from batchcrew.model.job import JobState
from batchcrew.model.run import Counts, JobLine, RunResult, StopReason
from batchcrew.reports.as_json import json_document, summary_json
from batchcrew.reports.summary import next_commands, render_summary, render_tick

DONE = RunResult(
    batch="travel",
    run_id="run-1",
    counts=Counts(succeeded=24),
    wall_seconds=80.0,
    kickoffs=24,
    slowest=(JobLine(job_id="tokyo", crew="default", state=JobState.SUCCEEDED, seconds=45.2),),
    ledger="results/batchcrew.db",
    jobfile="jobs/demo.yaml",
)


def failing(number: int, state: JobState = JobState.FAILED, reason: str = "the crew said: no flights") -> JobLine:
    return JobLine(job_id=f"job-{number}", crew="default", state=state, reason=reason, seconds=3.0, attempts_used=3)


def group(jobs: int, reason: str | None = "the crew said: no flights", *, held: int = 0) -> FailureGroup:
    return FailureGroup(fingerprint="1a2b3c4d5e6f", jobs=jobs, held=held, example_job="job-0", reason=reason)


def groups(*shown: FailureGroup, number: int = 0, jobs: int = 0) -> FailureGroups:
    return FailureGroups(groups=shown, number=number or len(shown), jobs=jobs or sum(each.jobs for each in shown))


@pytest.mark.parametrize(
    ("counts", "stopped", "code"),
    [
        (Counts(succeeded=24), None, ExitCode.SUCCEEDED),
        (Counts(), None, ExitCode.SUCCEEDED),
        (Counts(succeeded=23, failed=1), None, ExitCode.JOBS_FAILED),
        (Counts(succeeded=23, held=1), None, ExitCode.JOBS_FAILED),
        (Counts(succeeded=23, cancelled=1), None, ExitCode.JOBS_FAILED),
        (Counts(succeeded=20, pending=4), StopReason.SIGNAL, ExitCode.STOPPED),
        (Counts(succeeded=20, open=4), StopReason.MAX_RUNTIME, ExitCode.STOPPED),
        (Counts(failed=20, pending=4), StopReason.STOP_AFTER_FAILURES, ExitCode.STOPPED),
        (Counts(succeeded=20, pending=4), StopReason.LIMIT, ExitCode.STOPPED),
        (Counts(succeeded=20, pending=4), None, ExitCode.STOPPED),
        (Counts(succeeded=24), StopReason.SIGNAL, ExitCode.SUCCEEDED),
        (Counts(succeeded=23, failed=1), StopReason.LIMIT, ExitCode.JOBS_FAILED),
        (Counts(pending=24), StopReason.CREW_UNUSABLE, ExitCode.CREW_UNUSABLE),
        (Counts(), StopReason.CREW_UNUSABLE, ExitCode.CREW_UNUSABLE),
        (Counts(succeeded=24, removed=3, possible_duplicates=2), None, ExitCode.SUCCEEDED),
    ],
)
def test_the_exit_code_follows_the_table(counts: Counts, stopped: StopReason | None, code: ExitCode) -> None:
    result = replace(DONE, counts=counts, stopped=stopped)
    assert of_run(result) is code
    assert summary_json(result)["exit_code"] == code


def test_the_summary_of_a_run_that_succeeded() -> None:
    assert render_summary(DONE).splitlines() == [
        "travel: 24 of 24 jobs succeeded",
        "  time: 1m 20s, 24 kickoffs (18.0/min)",
        "  slowest: tokyo (45s)",
        "  ledger: results/batchcrew.db",
        "  report:             batchcrew report travel",
        "  export the results: batchcrew export travel -f csv -o travel-results.csv",
    ]


def test_a_batch_with_nothing_to_do() -> None:
    result = RunResult(batch="travel", run_id=None, counts=Counts(succeeded=24), ledger="x.db", jobfile="jobs.yaml")
    assert render_summary(result).splitlines() == [
        "travel: nothing left to run: 24 of 24 jobs succeeded",
        "  ledger: x.db",
        "  export the results: batchcrew export travel -f csv -o travel-results.csv --ledger x.db",
    ]


def test_the_summary_of_a_stopped_run_with_every_section() -> None:
    result = replace(
        DONE,
        counts=Counts(succeeded=2, failed=16, held=1, open=2, pending=3, possible_duplicates=2, removed=1),
        stopped=StopReason.SIGNAL,
        stop_detail="SIGTERM came",
        failing=(failing(0, JobState.HELD, "HTTP 502"), *(failing(number) for number in range(1, 10))),
        failures=groups(group(12), group(3, "HTTP 502", held=1), group(1, None), number=4, jobs=17),
        duplicates=("a", "b"),
        ledger="my.db",
        jobfile="my jobs.yaml",
        warnings=("the word FOO is not known",),
    )
    assert render_summary(result).splitlines() == [
        "travel: 2 of 24 jobs succeeded",
        "  stopped: SIGTERM came",
        "  jobs: 2 succeeded, 16 failed, 1 held, 2 in progress, 3 pending",
        "  2 executions still running on the crew; the next run resumes watching them",
        "  no longer in the file, kept in the ledger: 1 job",
        "  time: 1m 20s, 24 kickoffs (18.0/min)",
        "  possible duplicates: 2 (jobs a, b)",
        "  slowest: tokyo (45s)",
        "  ledger: my.db",
        "  failures:",
        "    12 failed, such as job-0: the crew said: no flights",
        "    2 failed, 1 held, such as job-0: HTTP 502",
        "    job-0 failed: no reason given",
        "    and 1 more group (1 job)",
        "  resume:                 batchcrew run 'my jobs.yaml' --ledger my.db",
        "  retry the failed jobs:  batchcrew run 'my jobs.yaml' --retry-failed --ledger my.db",
        "  retry the held jobs:    batchcrew retry travel --held --ledger my.db"
        " && batchcrew run 'my jobs.yaml' --ledger my.db",
        "  or attach an execution: batchcrew attach travel job-0 KICKOFF_ID --ledger my.db",
        "  explain the failures:   batchcrew failures travel --ledger my.db",
        "  show a failing job:     batchcrew show travel job-0 --ledger my.db",
        "  report:                 batchcrew report travel --ledger my.db",
        "  export the results:     batchcrew export travel -f csv -o travel-results.csv --ledger my.db",
    ]


def test_one_duplicate_and_more_than_are_named() -> None:
    one = replace(DONE, counts=Counts(succeeded=1, possible_duplicates=1), duplicates=("a",))
    many = replace(DONE, counts=Counts(succeeded=9, possible_duplicates=7), duplicates=("a", "b"))
    assert "  possible duplicates: 1 (job a)" in render_summary(one).splitlines()
    assert "  possible duplicates: 7 (jobs a, b, …)" in render_summary(many).splitlines()


def test_jobs_without_an_output_are_counted_in_a_warning() -> None:
    one = replace(DONE, without_output=1, without_output_jobs=("a",))
    many = replace(DONE, without_output=7, without_output_jobs=("a", "b"))
    assert "  warning: 1 job succeeded without an output (job a)" in render_summary(one).splitlines()
    assert "  warning: 7 jobs succeeded without an output (jobs a, b, …)" in render_summary(many).splitlines()
    assert summary_json(many)["without_output"] == 7


def test_answers_that_may_be_none_are_counted_with_one_example() -> None:
    one = replace(DONE, lookalikes=1, lookalike_example=("a", "an apology"))
    many = replace(DONE, lookalikes=7, lookalike_example=("a\x1b[2J", "no answer"))
    said = "1 job succeeded with an answer that may be useless (job a: an apology)"
    assert f"  warning: {said}" in render_summary(one).splitlines()
    assert "such as job a\\x1b[2J: no answer" in render_summary(many)
    assert summary_json(many)["lookalikes"] == 7
    left = replace(one, counts=Counts(succeeded=1, pending=3))
    assert render_tick(left).splitlines()[1:] == [f"  warning: {said}"]


def test_a_long_reason_continues_on_the_next_line() -> None:
    reason = "missing inputs: " + "budget, " * 200
    result = replace(DONE, counts=Counts(failed=1), failures=groups(group(1, reason)))
    lines = render_summary(result).splitlines()
    start = lines.index("  failures:") + 1
    assert lines[start].startswith("    job-0 failed: missing inputs: budget, ")
    assert lines[start + 1].startswith("      budget, ")
    assert max(map(len, lines)) <= 80


def test_without_a_job_file_the_commands_name_the_batch() -> None:
    result = replace(DONE, counts=Counts(failed=1, held=1, pending=1), jobfile="")
    text = render_summary(result)
    assert "batchcrew retry travel\n" in text
    assert "batchcrew retry travel --held\n" in text
    assert "batchcrew run" not in text


def test_a_crew_that_cannot_be_used_says_why() -> None:
    result = replace(
        DONE,
        counts=Counts(pending=24),
        stopped=StopReason.CREW_UNUSABLE,
        stop_detail="crew default answers 401: the token is wrong",
    )
    assert render_summary(result).splitlines()[1] == "  stopped: crew default answers 401: the token is wrong"


@given(st.text(st.characters()))
def test_no_text_reaches_the_terminal_as_it_came(text: str) -> None:
    line = replace(failing(0), job_id=text, reason=text)
    result = replace(
        DONE,
        batch=text,
        counts=Counts(succeeded=1, failed=1, held=1, pending=1, possible_duplicates=1),
        stopped=StopReason.SIGNAL,
        stop_detail=text,
        slowest=(line,),
        failing=(line,),
        failures=groups(replace(group(2, text), example_job=text)),
        duplicates=(text,),
        without_output=2,
        without_output_jobs=(text,),
        ledger=text or "x",
        jobfile=text,
        warnings=(text,),
    )
    for said in (render_summary(result), json_document(summary_json(result))):
        assert not any(c != "\n" and (ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c == "\u202e") for c in said)
        assert said.encode()  # no lone surrogate either
    assert json.loads(json_document(summary_json(result)))["batch"] == text


def test_the_summary_as_json_has_stable_keys() -> None:
    result = replace(
        DONE,
        counts=Counts(succeeded=1, failed=1, possible_duplicates=1),
        stopped=StopReason.LIMIT,
        stop_detail="--limit 2",
        failing=(failing(0),),
        failures=groups(group(1)),
        duplicates=("a",),
    )
    assert json.loads(json_document(summary_json(result))) == {
        "batch": "travel",
        "run_id": "run-1",
        "exit_code": 1,
        "stopped": "limit",
        "stop_detail": "--limit 2",
        "counts": {
            "total": 2,
            "pending": 0,
            "open": 0,
            "waiting": 0,
            "succeeded": 1,
            "failed": 1,
            "held": 0,
            "cancelled": 0,
            "stale": 0,
            "gone": 0,
            "possible_duplicates": 1,
        },
        "wall_seconds": 80.0,
        "kickoffs": 24,
        "cost": None,
        "money": {
            "spent": [],
            "wasted": [],
            "saved": [],
            "kickoffs": 0,
            "without_tokens": 0,
            "prompt_tokens": None,
            "completion_tokens": None,
            "total_tokens": None,
        },
        "unanswered": 0,
        "unsure": 0,
        "slowest": [
            {
                "job_id": "tokyo",
                "crew": "default",
                "state": "succeeded",
                "reason": None,
                "seconds": 45.2,
                "attempts": 0,
                "kickoff_id": None,
            }
        ],
        "failing": [
            {
                "job_id": "job-0",
                "crew": "default",
                "state": "failed",
                "reason": "the crew said: no flights",
                "seconds": 3.0,
                "attempts": 3,
                "kickoff_id": None,
            }
        ],
        "failure_groups": [
            {
                "fingerprint": "1a2b3c4d5e6f",
                "jobs": 1,
                "failed": 1,
                "held": 0,
                "example_job": "job-0",
                "reason": "the crew said: no flights",
            }
        ],
        "possible_duplicates": ["a"],
        "without_output": 0,
        "lookalikes": 0,
        "interrupted": 0,
        "webhooks": None,
        "ledger": "results/batchcrew.db",
        "jobfile": "jobs/demo.yaml",
        "reports": [],
        "missing_reports": [],
        "warnings": [],
        "next": [{"purpose": purpose, "command": command} for purpose, command in next_commands(result)],
    }
    assert [command for _, command in next_commands(result)] == [
        "batchcrew run jobs/demo.yaml --retry-failed",
        "batchcrew failures travel",
        "batchcrew show travel job-0",
        "batchcrew report travel",
        "batchcrew export travel -f csv -o travel-results.csv",
    ]


def test_an_unanswered_kickoff_is_not_reported_as_running_on_the_crew() -> None:
    result = replace(DONE, counts=Counts(open=3, pending=1), stopped=StopReason.SIGNAL, unanswered=3)
    said = render_summary(result)
    assert "3 kickoffs are in doubt (not answered yet); the next run will resolve them" in said
    assert "running on the crew" not in said
    assert "1 execution still running on the crew; the next run resumes watching it" in render_summary(
        replace(result, unanswered=2)
    )
    ended = render_summary(replace(result, unanswered=0, crew_ended=True))
    assert "3 executions stopped with the crew of this run; the next run will start them again" in ended
    assert "running on the crew" not in ended

"""What `list`, `status`, `show` and `check` print, as text and as JSON."""

import json
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime

from batchcrew.model.attempt import AttemptState
from batchcrew.model.crew_answers import CrewInput, CrewInputs
from batchcrew.model.execution import TaskResult
from batchcrew.model.failures import FailureGroup, FailureGroups
from batchcrew.model.job import JobState
from batchcrew.model.run import Counts, Plan
from batchcrew.model.views import AttemptDetail, BatchLine, BatchStatus, BatchTotals, InFlight, JobDetail
from batchcrew.reports.as_json import job_json, json_document, list_json, status_json
from batchcrew.reports.crew_check import CrewCheck
from batchcrew.reports.job_detail import render_job
from batchcrew.reports.plan_as_json import plan_json
from batchcrew.reports.tables import MOST_IN_FLIGHT, render_list, render_plan, render_status

NOW = datetime(2026, 2, 3, 4, 10, tzinfo=UTC)
LINE = BatchLine(
    batch="travel",
    counts=Counts(succeeded=20, failed=1, open=1, pending=2),
    jobfile="jobs/demo.yaml",
    created_at="2026-02-03T04:00:00.000Z",
    last_run_at="2026-02-03T04:05:00.000Z",
    running=True,
)
WATCHED = InFlight(
    job_id="tokyo",
    crew="default",
    kickoff_id="abcd",
    since="2026-02-03T04:09:00.000Z",
    current_task="research_task",
    completed_tasks=1,
    total_tasks=2,
)
DETAIL = JobDetail(
    batch="travel",
    job_id="tokyo",
    crew="default",
    state=JobState.SUCCEEDED,
    inputs={"budget": "1000 USD", "nights": 7, "tags": ["a"]},
    meta={"source": "nightly"},
    row={"budget": "1000 USD"},
    source="jobs/demo.yaml:12",
    in_file=True,
    attempts=(
        AttemptDetail(
            number=1,
            attempt_id="u-1",
            state=AttemptState.TIMED_OUT,
            kickoff_id="k-1",
            intended_at="2026-02-03T04:00:00.000Z",
            kicked_off_at="2026-02-03T04:00:01.000Z",
            ended_at="2026-02-03T04:30:01.000Z",
            reason="ValueError: the agent stopped at step 1 of 40",
        ),
        AttemptDetail(
            number=2,
            attempt_id="u-2",
            state=AttemptState.SUCCEEDED,
            kickoff_id="k-2",
            intended_at="2026-02-03T04:31:00.000Z",
            output="Day 1\n  Shinjuku\n",
            execution_time=108.5,
            token_usage={"total_tokens": 1200},
            tasks=(TaskResult(task_id="research_task", output="found", agent="Researcher", execution_time=45.2),),
            answer='{"status": "completed"}',
        ),
    ),
)


def test_list_is_a_table() -> None:
    other = BatchLine(
        batch="日本", counts=Counts(succeeded=1000), jobfile="x.csv", created_at="2026-01-01T00:00:00.000Z"
    )
    waiting = replace(LINE, batch="later", running=False)
    assert render_list([LINE, other, waiting]).splitlines() == [
        "batch   jobs  succeeded  failed  held  left  state      last run           job file",
        "travel    24         20       1     0     3  running    2026-02-03 04:05Z  jobs/demo.yaml",
        "日本    1000       1000       0     0     0  finished   never              x.csv",
        "later     24         20       1     0     3  work left  2026-02-03 04:05Z  jobs/demo.yaml",
    ]
    assert render_list([]) == "no batches in this ledger yet"


def test_status_shows_counts_executions_and_failures() -> None:
    status = BatchStatus(
        line=replace(LINE, counts=replace(LINE.counts, failed=7, removed=2, possible_duplicates=1)),
        in_flight=(WATCHED, InFlight(job_id="kyoto", crew="default", kickoff_id=None, since=WATCHED.since)),
        failures=FailureGroups(
            groups=(
                FailureGroup(fingerprint="a1", jobs=6, example_job="nagoya", reason="HTTP 502"),
                FailureGroup(fingerprint="b2", jobs=1, example_job="osaka", reason="no\nflights"),
            ),
            number=2,
            jobs=7,
        ),
        duplicates=("nara",),
    )
    assert render_status(status, NOW).splitlines() == [
        "travel: 20 of 30 jobs succeeded, running",
        "  jobs: 20 succeeded, 7 failed, 1 in progress, 2 pending",
        "  no longer in the file, kept in the ledger: 2",
        "  job file: jobs/demo.yaml",
        "  last run: 2026-02-03T04:05:00.000Z (5m 00s ago)",
        "  possible duplicates: 1 (job nara)",
        "  in progress:",
        "    job    crew        for  tasks  task",
        "    tokyo  default  1m 00s  1/2    research_task",
        "    kyoto  default  1m 00s         kickoff not answered yet",
        "  failures:",
        "    6 failed, such as nagoya: HTTP 502",
        "    osaka failed: no flights",
        "  explain the failures: batchcrew failures travel",
    ]


def test_status_shows_the_first_of_thousands_in_flight() -> None:
    text = render_status(BatchStatus(line=LINE, in_flight=(WATCHED,) * 5000), NOW)
    assert text.count("tokyo") == MOST_IN_FLIGHT
    assert text.endswith(f"    and {5000 - MOST_IN_FLIGHT} more")


def test_status_and_show_have_the_crews_own_word_and_an_unclear_answer() -> None:
    odd = replace(WATCHED, status_word="warming\x1b[31m up", unclear_answer="502 Bad Gateway")
    shown = render_status(BatchStatus(line=LINE, in_flight=(odd,)), NOW)
    assert "last answer" in shown
    assert "502 Bad Gateway" in shown
    assert "warming" in shown
    assert "\x1b" not in shown
    attempt = AttemptDetail(
        number=1, attempt_id="a", state=AttemptState.KICKED_OFF, status_word="warming up", unclear_answer="502"
    )
    lines = render_job(replace(DETAIL, attempts=(attempt,))).splitlines()
    assert "    last status: warming up" in lines
    assert "    last answer: 502" in lines


def test_show_has_the_first_answer_that_was_not_understood_and_says_where_the_rest_is() -> None:
    attempt = AttemptDetail(
        number=1,
        attempt_id="a",
        state=AttemptState.IN_DOUBT,
        first_answer='{"what": "\x1b]0;owned\x07"}\nsecond line\n' + "x" * 5000,
    )
    shown = render_job(replace(DETAIL, attempts=(attempt,)))
    lines = shown.splitlines()
    start = lines.index("    first answer that was not understood:")
    assert lines[start + 1].startswith('      {"what": ')
    assert lines[start + 2] == "      second line"
    assert "3,035 more characters" in lines[-1]
    assert "\x1b" not in shown
    assert job_json(replace(DETAIL, attempts=(attempt,)))["attempts"][0]["first_answer"] == attempt.first_answer


def test_show_says_that_a_result_came_with_the_kickoff() -> None:
    at = "2026-02-03T04:00:01.000Z"
    attempt = AttemptDetail(number=1, attempt_id="a", state=AttemptState.SUCCEEDED, kicked_off_at=at, output="Tokyo")
    refused = AttemptDetail(number=2, attempt_id="b", state=AttemptState.REJECTED, intended_at=at)
    lines = render_job(replace(DETAIL, attempts=(attempt, refused))).splitlines()
    assert [line for line in lines if "kickoff_id" in line] == [
        "    kickoff_id: none (the crew answered the kickoff with the result)"
    ]


def test_show_prints_all_of_a_job() -> None:
    assert render_job(DETAIL).splitlines() == [
        "job tokyo of batch travel: succeeded",
        "  crew: default",
        "  source: jobs/demo.yaml:12",
        "  inputs:",
        "    budget: 1000 USD",
        "    nights: 7",
        '    tags: ["a"]',
        "  meta:",
        "    source: nightly",
        "  attempt 1: timed out",
        "    kickoff_id: k-1",
        "    intended 2026-02-03T04:00:00.000Z, kicked off 2026-02-03T04:00:01.000Z, ended 2026-02-03T04:30:01.000Z",
        "    reason:",
        "      ValueError: the agent stopped at step 1 of 40",
        "  attempt 2: succeeded",
        "    kickoff_id: k-2",
        "    intended 2026-02-03T04:31:00.000Z",
        "    execution time: 1m 48s",
        "    tokens: total_tokens 1200",
        "    task research_task (Researcher, 45s):",
        "      found",
        "    output:",
        "      Day 1",
        "        Shinjuku",
    ]


def test_show_wraps_outputs_at_the_width_and_cleans_them() -> None:
    output = "word " * 100 + "\x1b[2J\nhttps://example.com/" + "x" * 100
    attempt = replace(DETAIL.attempts[1], output=output, tasks=())
    for width in (40, 80, 200):
        lines = render_job(replace(DETAIL, attempts=(attempt,)), width=width).splitlines()
        wrapped = lines[lines.index("    output:") + 1 :]
        assert max(len(line) for line in wrapped if "example.com" not in line) <= width
        assert "      https://example.com/" + "x" * 100 in wrapped  # an address stays in one piece
        assert not any("\x1b" in line for line in lines)


def test_show_gives_a_result_that_is_only_json() -> None:
    attempt = replace(DETAIL.attempts[1], output=None, result_json={"city": "東京\x1b"}, tasks=())
    assert '        "city": "東京\\u001b"' in render_job(replace(DETAIL, attempts=(attempt,))).splitlines()


def test_show_a_job_that_left_the_file_before_its_first_attempt() -> None:
    text = render_job(replace(DETAIL, attempts=(), in_file=False, meta={}))
    assert "  source: jobs/demo.yaml:12 (no longer in the file)" in text
    assert text.endswith("  no attempts yet")


def test_check_shows_the_plan_and_the_inputs_that_crews_require() -> None:
    inputs = CrewInputs(inputs=(CrewInput(name="budget"), CrewInput(name="age", required=False)))
    crews = (
        CrewCheck(
            name="a",
            url="https://a",
            jobs=20,
            inputs=inputs,
            missing_inputs={"budget": 1, "x": 2},
            missing_jobs=("tokyo", "oslo"),
        ),
        CrewCheck(name="b", url="https://b", jobs=1, problem="401: the token\nis wrong"),
        CrewCheck(name="c", url="https://c", jobs=3),
    )
    plan = Plan(total=24, new=20, changed=1, stale=1, unchanged=3, removed=2, columns=("budget",))
    text = render_plan(plan, batch="travel", jobfile="jobs.yaml", crews=crews, notes=("a note",))
    assert text.splitlines() == [
        "travel: 24 jobs in jobs.yaml",
        "  20 new",
        "   1 changed after they succeeded: stale, not run again without your consent",
        "   3 unchanged",
        "   2 no longer in the file: kept in the ledger, not run",
        "  crew a (https://a), 20 jobs: expects budget, age (optional)",
        "    1 job is missing the input budget",
        "    2 jobs are missing the input x",
        "    the first of these jobs: tokyo, oslo",
        "  crew b (https://b), 1 job: 401: the token is wrong",
        "  crew c (https://c), 3 jobs: not checked",
        "  a note",
    ]
    said = json.loads(json_document(plan_json(plan, batch="travel", jobfile="jobs.yaml", crews=crews)))
    assert {key: said[key] for key in ("total", "new", "changed", "unchanged", "gone", "columns")} == {
        "total": 24,
        "new": 20,
        "changed": 1,
        "unchanged": 3,
        "gone": 2,
        "columns": ["budget"],
    }
    assert said["crews"][0]["inputs"][1] == {"name": "age", "type": None, "required": False}
    assert said["crews"][0]["lacking"] == {"budget": 1, "x": 2}
    assert said["crews"][1] == {
        "name": "b",
        "url": "https://b",
        "jobs": 1,
        "inputs": None,
        "problem": "401: the token\nis wrong",
        "lacking": {},
        "lacking_jobs": [],
        "sent": [],
        "not_sent": [],
        "served": None,
    }


def test_json_of_list_and_status() -> None:
    line = json.loads(json_document(list_json([LINE])))[0]
    assert set(line) == {
        "batch",
        "counts",
        "jobfile",
        "created_at",
        "last_run_at",
        "running",
        "totals",
        "without_output",
    }
    assert line["totals"] == asdict(BatchTotals())
    assert line["counts"]["total"] == 24
    status = json.loads(json_document(status_json(BatchStatus(line=LINE, in_flight=(WATCHED,), duplicates=("a",)))))
    assert {key: status[key] for key in line} == line
    assert status["possible_duplicates"] == ["a"]
    assert status["in_flight"] == [
        {
            "job_id": "tokyo",
            "crew": "default",
            "kickoff_id": "abcd",
            "since": "2026-02-03T04:09:00.000Z",
            "current_task": "research_task",
            "completed_tasks": 1,
            "total_tasks": 2,
            "status_word": None,
            "unclear_answer": None,
        }
    ]
    assert status["failing"] == []
    assert status["failure_groups"] == []


TOTALS = BatchTotals(
    runs=2,
    kickoffs=1340,
    cost="670.00 USD",
    tokens=1234567,
    seconds=3600.0,
    kickoffs_per_minute=22.3,
    last_exit_code=1,
)


def test_status_shows_totals_the_last_exit_and_answers_without_output() -> None:
    line = replace(LINE, running=False, totals=TOTALS, without_output=7)
    lines = render_status(BatchStatus(line=line, without_output_jobs=("oslo", "rome")), NOW).splitlines()
    assert "  last run: 2026-02-03T04:05:00.000Z (5m 00s ago, exit 1)" in lines
    assert "  total: 1340 kickoffs in 2 runs, 1h 00m (22.3/min), 670.00 USD, 1,234,567 tokens" in lines
    assert "  warning: 7 jobs succeeded without an output (jobs oslo, rome, …)" in lines
    assert json.loads(json_document(list_json([line])))[0]["totals"]["last_exit_code"] == 1


def test_list_has_the_totals_in_columns_and_at_a_terminal_below() -> None:
    line = replace(LINE, running=False, totals=TOTALS, without_output=7)
    header, row = render_list([line]).splitlines()
    assert header.split()[-7:] == ["cost", "tokens", "time", "rate", "exit", "job", "file"]
    cells = ["7", "670.00 USD", "1,234,567", "1h 00m", "22.3/min", "1", "jobs/demo.yaml"]
    assert [cell.strip() for cell in row.split("  ") if cell.strip()][-7:] == cells
    shown = render_list([line], width=80).splitlines()
    assert max(map(len, shown)) <= 80
    below = " ".join(part.strip() for part in shown[2:])
    assert below == (
        "1340 kickoffs in 2 runs, 1h 00m (22.3/min), 670.00 USD, 1,234,567 tokens; exit 1;"
        " 7 without an output; jobs/demo.yaml"
    )


def test_json_of_a_job_has_every_field_of_its_attempts() -> None:
    detail = json.loads(json_document(job_json(replace(DETAIL, inputs={"odd": float("nan"), "esc": "\x9b\ud800"}))))
    assert detail["inputs"] == {"odd": None, "esc": "\x9b\ud800"}
    assert detail["state"] == "succeeded"
    assert set(detail["attempts"][1]) == {field.name for field in fields(AttemptDetail)}
    assert detail["attempts"][1]["tasks"][0]["agent"] == "Researcher"
    assert detail["attempts"][1]["answer"] == '{"status": "completed"}'

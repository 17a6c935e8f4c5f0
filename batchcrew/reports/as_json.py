"""The JSON form of the output of commands: dicts with stable keys, for `--json`.

Moments are UTC ISO-8601 text, durations float seconds, what is unknown is null and no key is ever missing.
`counts` is always `{"total", "pending", "open", "waiting", "succeeded", "failed", "held", "cancelled", "gone",
"possible_duplicates"}`; a job in a list is
`{"job_id", "crew", "state", "reason", "seconds", "attempts", "kickoff_id"}`.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

from batchcrew.base.json_values import writable
from batchcrew.base.text import HARMFUL_IN_BLOCK
from batchcrew.model import exit_codes
from batchcrew.model.money import MonthLine, Spending, plain_amount
from batchcrew.model.run import Counts, JobLine, RunResult
from batchcrew.model.views import AttemptDetail, BatchLine, BatchStatus, InFlight, JobDetail, RunLine
from batchcrew.model.waits import WaitLine
from batchcrew.reports.control import command_json, control_json
from batchcrew.reports.failures import brief_json
from batchcrew.reports.summary import next_commands

JsonDict: TypeAlias = dict[str, Any]


def json_document(value: object) -> str:
    """Return `value` as indented JSON for standard output; control characters are escaped."""
    text = json.dumps(writable(value), ensure_ascii=False, allow_nan=False, indent=2)
    return HARMFUL_IN_BLOCK.sub(lambda match: json.dumps(match[0])[1:-1], text)


def list_json(lines: Sequence[BatchLine]) -> list[JsonDict]:
    """Return `[{"batch", "counts", "jobfile", "created_at", "last_run_at", "running", "totals", "without_output"}]`.

    `totals` has every field of `BatchTotals`: `{"runs", "kickoffs", "cost", "costs", "without_tokens", "tokens",
    "prompt_tokens", "completion_tokens", "seconds", "kickoffs_per_minute", "last_exit_code"}`; `cost` is rounded for
    reading, `costs` has the exact amounts: `[{"currency", "least", "most"}]`.
    """
    return [_batch(line) for line in lines]


def runs_json(lines: Sequence[RunLine]) -> list[JsonDict]:
    """Return every field of each `RunLine`, the newest run first.

    `[{"run_id", "batch", "kind", "started_at", "ended_at", "running", "kickoffs", "cost", "costs", "without_tokens",
    "prompt_tokens", "completion_tokens", "total_tokens", "exit_code", "stopped", "stop_detail", "commands"}]`; a run
    that neither runs nor has an `ended_at` was killed. `commands` are those that
    operators have given since its start (see `command_json`).
    """
    return [{**asdict(line), "commands": [command_json(each) for each in line.commands]} for line in lines]


def months_json(lines: Sequence[MonthLine]) -> list[JsonDict]:
    """Return `[{"month", …}]` with the keys of `spending_json`, the latest month first; `saved` is not counted."""
    return [{"month": line.month, **spending_json(line.spending)} for line in lines]


def status_json(status: BatchStatus) -> JsonDict:
    """Return the keys of `list_json`, `in_flight`, `waiting` (a few jobs, see `wait_json`), `slots`, `due_retries`,
    `control` (see `control_json`), `webhooks` (of the latest run, or null), `failing` (a few jobs), `failure_groups`
    (the largest; see `brief_json`) and `possible_duplicates` (job_ids).

    Each of `in_flight` is `{"job_id", "crew", "kickoff_id", "since", "current_task", "completed_tasks",
    "total_tasks", "status_word", "unclear_answer"}`, each of `slots` `{"crew", "slots", "since", "reason"}`,
    each of `due_retries` `{"crew", "retries", "new_jobs"}`.
    """
    return {
        **_batch(status.line),
        "in_flight": [_in_flight(entry) for entry in status.in_flight],
        "waiting": [wait_json(line) for line in status.waiting],
        "slots": [asdict(each) for each in status.slots],
        "due_retries": [asdict(each) for each in status.due_retries],
        "control": control_json(status.control),
        "webhooks": None if status.webhooks is None else status.webhooks.as_dict(),
        "failing": [_job(line) for line in status.failing],
        "failure_groups": [brief_json(group) for group in status.failures.groups],
        "possible_duplicates": list(status.duplicates),
    }


def wait_json(line: WaitLine) -> JsonDict:
    """Return every field of a `WaitLine`: `{"job_id", "crew", "wait_id", "since", "task_id", "task", "output", "note",
    "kickoff_id"}`."""
    return asdict(line)


def job_json(detail: JobDetail) -> JsonDict:
    """Return `{"batch", "job_id", "crew", "state", "inputs", "meta", "row", "source", "in_file", "cost",
    "attempts", "waiting"}`.

    Each of `attempts` has every field of `AttemptDetail`, `answer` (the crew's last one as it came) included. `waiting`
    is the human input that the job waits for (see `wait_json`), or null.
    """
    return {
        "batch": detail.batch,
        "job_id": detail.job_id,
        "crew": detail.crew,
        "state": detail.state.value,
        "inputs": dict(detail.inputs),
        "meta": dict(detail.meta),
        "row": dict(detail.row),
        "source": detail.source,
        "in_file": detail.in_file,
        "cost": detail.cost,
        "attempts": [_attempt(attempt) for attempt in detail.attempts],
        "waiting": None if detail.waiting is None else wait_json(detail.waiting),
    }


def summary_json(result: RunResult) -> JsonDict:
    """Return how a run ended.

    `{"batch", "run_id", "exit_code", "stopped", "stop_detail", "counts", "wall_seconds", "kickoffs", "cost",
    "money", "unanswered", "unsure", "slowest", "failing", "failure_groups", "possible_duplicates", "without_output",
    "lookalikes", "interrupted", "webhooks", "ledger", "jobfile", "reports", "missing_reports", "warnings", "next"}`;
    `without_output` counts the jobs that succeeded without an output, `lookalikes` those of this run whose answer may
    be useless, `interrupted` the executions that ended with an earlier run, `webhooks` those that were received (null
    if none were requested), `reports` are the files of `reports:` that were written and `missing_reports` the names of
    those that were not, `warnings` has each warning of the run once, and `next` is a list of `{"purpose", "command"}`.
    """
    return {
        "batch": result.batch,
        "run_id": result.run_id,
        "exit_code": int(exit_codes.of_run(result)),
        "stopped": result.stopped.value if result.stopped else None,
        "stop_detail": result.stop_detail,
        "counts": counts_json(result.counts),
        "wall_seconds": round(result.wall_seconds, 3),
        "kickoffs": result.kickoffs,
        "cost": result.cost,
        "money": spending_json(result.spending),
        "unanswered": result.unanswered,
        "unsure": result.unsure,
        "slowest": [_job(line) for line in result.slowest],
        "failing": [_job(line) for line in result.failing],
        "failure_groups": [brief_json(group) for group in result.failures.groups],
        "possible_duplicates": list(result.duplicates),
        "without_output": result.without_output,
        "lookalikes": result.lookalikes,
        "interrupted": result.interrupted,
        "webhooks": None if result.webhooks is None else result.webhooks.as_dict(),
        "ledger": result.ledger,
        "jobfile": result.jobfile,
        "reports": list(result.reports),
        "missing_reports": list(result.missing_reports),
        "warnings": list(result.warnings),
        "next": [{"purpose": purpose, "command": command} for purpose, command in next_commands(result)],
    }


_PUBLIC = {"removed": "gone", "attempts_used": "attempts"}
"""The keys of JSON whose fields have another name."""


def spending_json(spending: Spending) -> JsonDict:
    """`{"spent", "wasted", "saved", "kickoffs", "without_tokens", "prompt_tokens", "completion_tokens",
    "total_tokens"}`; amounts are lists of `{"currency", "least", "most"}`, exact decimal numbers as text."""
    return {
        "spent": spending.spent.as_list(),
        "wasted": spending.wasted.as_list(),
        "saved": spending.saved.as_list(),
        "kickoffs": spending.spent.kickoffs,
        "without_tokens": spending.spent.without_tokens,
        "prompt_tokens": spending.tokens.prompt,
        "completion_tokens": spending.tokens.completion,
        "total_tokens": spending.tokens.total,
    }


def counts_json(counts: Counts) -> JsonDict:
    """`{"total", "pending", "open", "waiting", "succeeded", "failed", "held", "cancelled", "stale", "gone",
    "possible_duplicates"}`."""
    fields = asdict(counts)
    return {"total": counts.total, **{_PUBLIC.get(name, name): number for name, number in fields.items()}}


def _batch(line: BatchLine) -> JsonDict:
    return {
        "batch": line.batch,
        "counts": counts_json(line.counts),
        "jobfile": line.jobfile,
        "created_at": line.created_at,
        "last_run_at": line.last_run_at,
        "running": line.running,
        "totals": asdict(line.totals),
        "without_output": line.without_output,
    }


def _job(line: JobLine) -> JsonDict:
    fields = {_PUBLIC.get(name, name): value for name, value in asdict(line).items()}
    return {**fields, "state": line.state.value}


def _in_flight(entry: InFlight) -> JsonDict:
    return asdict(entry)


def _attempt(attempt: AttemptDetail) -> JsonDict:
    usage = attempt.token_usage
    return {
        "number": attempt.number,
        "attempt_id": attempt.attempt_id,
        "state": attempt.state.value,
        "kickoff_id": attempt.kickoff_id,
        "intended_at": attempt.intended_at,
        "kicked_off_at": attempt.kicked_off_at,
        "ended_at": attempt.ended_at,
        "reason": attempt.reason,
        "execution_time": attempt.execution_time,
        "output": attempt.output,
        "result_json": attempt.result_json,
        "token_usage": None if usage is None else dict(usage),
        "prompt_tokens": attempt.prompt_tokens,
        "completion_tokens": attempt.completion_tokens,
        "total_tokens": attempt.total_tokens,
        "cached_tokens": attempt.cached_tokens,
        "successful_requests": attempt.successful_requests,
        "cost": None if attempt.cost is None else plain_amount(attempt.cost),
        "currency": attempt.currency,
        "tasks": [asdict(task) for task in attempt.tasks],
        "answer": attempt.answer,
        "status_word": attempt.status_word,
        "unclear_answer": attempt.unclear_answer,
        "first_answer": attempt.first_answer,
        "next_poll": None if attempt.next_poll is None else asdict(attempt.next_poll),
        "artifacts": list(attempt.artifacts),
        "sent_inputs": None if attempt.sent_inputs is None else dict(attempt.sent_inputs),
    }

"""The known spellings of the crew API. To understand another one, add it to one of these tables.

A table of fields names the places of one value, in the order in which they are read. A place is a key (`result`), a
path of keys (`data.result`), or a pure function of the answer, for a value that no path reaches.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from batchcrew.model.execution import ExecutionState

Field: TypeAlias = str | Callable[[Mapping[str, Any]], Any]
Fields: TypeAlias = tuple[Field, ...]

STATUS_WORDS: Mapping[str, ExecutionState] = {
    "pending": ExecutionState.WAITING,
    "queued": ExecutionState.WAITING,
    "running": ExecutionState.RUNNING,
    "started": ExecutionState.RUNNING,
    "in progress": ExecutionState.RUNNING,
    "pending human input": ExecutionState.WAITING_FOR_HUMAN,
    "pending human feedback": ExecutionState.WAITING_FOR_HUMAN,
    "awaiting human input": ExecutionState.WAITING_FOR_HUMAN,
    "awaiting human feedback": ExecutionState.WAITING_FOR_HUMAN,
    "waiting for human": ExecutionState.WAITING_FOR_HUMAN,
    "waiting for human input": ExecutionState.WAITING_FOR_HUMAN,
    "waiting for human feedback": ExecutionState.WAITING_FOR_HUMAN,
    "completed": ExecutionState.SUCCEEDED,
    "complete": ExecutionState.SUCCEEDED,
    "success": ExecutionState.SUCCEEDED,
    "succeeded": ExecutionState.SUCCEEDED,
    "done": ExecutionState.SUCCEEDED,
    "finished": ExecutionState.SUCCEEDED,
    "ok": ExecutionState.SUCCEEDED,
    "error": ExecutionState.FAILED,
    "failed": ExecutionState.FAILED,
    "failure": ExecutionState.FAILED,
    "not found": ExecutionState.NOT_FOUND,
}
"""Case, blanks, `_` and `-` do not matter."""
ENDED_WITHOUT_RESULT = (
    "cancelled",
    "canceled",
    "revoked",
    "aborted",
    "expired",
    "timeout",
    "timed out",
    "terminated",
    "skipped",
    "rejected",
)
"""Words of executions that failed; the word is the reason, because these servers rarely give another one."""

WRAPPER = "data"
"""The key of a wrapper that holds the complete answer: `{"data": {…}}`."""
WRAPPERS_SUCCESS = frozenset({"success", "ok"})
"""Words of `status` that may be about the request instead of the execution, if the wrapper has a status inside."""
KICKOFF_ID: Fields = ("kickoff_id", "kickoffId", "result.kickoff_id")
OTHER_ID: Fields = ("execution_id", "job_id", "run_id", "id", "task_id")
"""Names that an error may use for something else: they are kickoff ids only in an answer without a REFUSAL."""
REFUSAL: Fields = ("error", "errors", "error_message")
"""Fields of an answer to a kickoff with a success code, if nothing was started."""
REFUSAL_FLAG: Fields = ("success", "ok")
"""False means the same as a REFUSAL."""
REFUSAL_CODE: Fields = ("code", "status", "statusCode", "status_code", "error.code", "error.status")
"""The HTTP status of a REFUSAL, if it is a number."""
EXECUTION_TRACE: Fields = ("state", "status", "result", "output", "raw", "tasks", "tasks_output", "token_usage")
"""Fields that an answer to a kickoff has only if something may have been started."""
INPUTS: Fields = ("inputs", "required_inputs", "required")
STATUS: Fields = ("state", "status")
"""The first one that is text: the `state` of a flow may be an object."""
RESULT: Fields = ("result", "final_output", "output", "raw", "response", "last_executed_task.output")
"""The first one that is not empty; if all are, the first one that is not null."""
RESULT_JSON: Fields = ("result_json", "json_dict", "pydantic")
"""The result as JSON, in addition to RESULT."""
FAILURE_TEXT: Fields = ("error", "error_message", "message")
"""The first one that is not empty; after them, FAILURE_RESULT."""
FAILURE_RESULT: Fields = ("result", "output")
"""The result of a failed execution, which may hold its tasks and its failure text."""
EXECUTION_TIME: Fields = ("execution_time",)
TOKEN_USAGE: Fields = ("token_usage", "usage_metrics", "tokenUsage", "usage")
"""The first one that is an object with something in it."""
TOKEN_COUNTS: Mapping[str, Fields] = {
    "total_tokens": ("total_tokens", "totalTokens", "total"),
    "prompt_tokens": ("prompt_tokens", "input_tokens", "promptTokens", "inputTokens", "prompt", "input"),
    "completion_tokens": (
        "completion_tokens",
        "output_tokens",
        "completionTokens",
        "outputTokens",
        "completion",
        "output",
    ),
    "cached_prompt_tokens": (
        "cached_prompt_tokens",
        "cached_tokens",
        "cachedPromptTokens",
        "prompt_tokens_details.cached_tokens",
        "cache_read_input_tokens",
    ),
    "successful_requests": ("successful_requests", "successfulRequests"),
}
"""In a TOKEN_USAGE: the names of CrewAI, and others with the same meaning. Only a number of at least 0 counts."""
TASKS: Fields = ("tasks", "tasks_output")
"""The results of the tasks, in a result or next to it."""
CURRENT_TASK: Fields = ("current_task", "last_step")
CURRENT_TASK_NAME: Fields = ("task", "name", "task_id", "agent")
"""In a current task that is an object."""
COMPLETED_TASKS: Fields = ("progress.completed_tasks",)
TOTAL_TASKS: Fields = ("progress.total_tasks",)
QUESTION_TASK_ID: Fields = (
    "human_input.task_id",
    "task_id",
    "current_task_id",
    "current_task.task_id",
    "current_task.id",
    "current_task",
    "last_step.task_id",
)
"""The task that waits for human input."""
QUESTION_TASK: Fields = ("human_input.agent", "agent", "current_task.name", "current_task", "last_step.agent")
QUESTION_OUTPUT: Fields = (
    "human_input.output",
    "task_output",
    "output",
    "result.output",
    "result",
    "current_task.output",
    "last_step.result",
)
"""The output that is to be approved."""
TASK_NAME: Fields = ("task_id", "name")
"""In an entry of TASKS."""
TASK_OUTPUT: Fields = ("output", "raw")
"""In an entry of TASKS."""
CREW_OUTPUT = frozenset({"raw", "pydantic", "json_dict", "tasks_output", "token_usage"})
"""The fields of CrewAI's own `CrewOutput`."""
TASK_OUTPUT_DUMP = frozenset(
    {"raw", "pydantic", "json_dict", "description", "name", "expected_output", "summary", "agent", "output_format"}
)
"""The fields of CrewAI's own `TaskOutput`."""

_SEPARATORS = re.compile(r"[\s_-]+")


def fold(word: str) -> str:
    """Return a status word without the differences in spelling that do not matter."""
    return _SEPARATORS.sub("", word.casefold())


_MEANINGS = {fold(word): meaning for word, meaning in STATUS_WORDS.items()}
_WITHOUT_RESULT = frozenset(map(fold, ENDED_WITHOUT_RESULT))


def meaning_of(word: str) -> tuple[ExecutionState | None, bool]:
    """Return what a status word means, None if it is unknown; and whether the word is the reason of a failure."""
    folded = fold(word)
    if folded in _WITHOUT_RESULT:
        return ExecutionState.FAILED, True
    return _MEANINGS.get(folded), False


class _IsKey(dict[Field, bool]):
    """Whether a place is a single key. Most are, and each answer is searched for dozens of them."""

    def __missing__(self, field: Field) -> bool:
        self[field] = is_key = isinstance(field, str) and "." not in field
        return is_key


_IS_KEY = _IsKey()


def values(payload: Mapping[Any, Any], fields: Fields) -> Iterator[Any]:
    """Yield the value of an answer at each of these places, or None."""
    for field in fields:
        yield payload.get(field) if _IS_KEY[field] else _inside(payload, field)


def place_of(payload: Mapping[Any, Any], fields: Fields, value: Any) -> str:
    """Return the place that has exactly this value, also inside the wrapper; empty if none has it."""
    for prefix, inside in (("", payload), (f"{WRAPPER}.", payload.get(WRAPPER))):
        if isinstance(inside, dict):
            for field in fields:
                found = inside.get(field) if _IS_KEY[field] else _inside(inside, field)
                if found is value and isinstance(field, str):
                    return prefix + field
    return ""


def first(payload: Mapping[Any, Any], fields: Fields) -> Any:
    """Return the first value that is not null; None if there is none."""
    for field in fields:
        value = payload.get(field) if _IS_KEY[field] else _inside(payload, field)
        if value is not None:
            return value
    return None


def _inside(payload: Mapping[str, Any], field: Field) -> Any:
    if not isinstance(field, str):
        return field(payload)
    value: Any = payload
    for key in field.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value

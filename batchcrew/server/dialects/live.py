"""The dialect of today's deployments: `state` in capitals, text results, `NOT FOUND` with HTTP 200."""

from collections.abc import Mapping, Sequence
from typing import Any

from batchcrew.server.dialects.dialect_format import PAUSED, Json, Meta, artifacts_field, meta_field, question_field
from batchcrew.server.dialects.guide import REAL_USAGE, STATES, Guide
from batchcrew.server.dialects.schemas import (
    ANYTHING,
    COUNT,
    QUESTION,
    TEXT,
    Schema,
    list_schema,
    nullable,
    object_schema,
    word_schema,
)
from batchcrew.server.report import Input, Phase, Report, StepReport, TaskReport

_NOT_FOUND = "NOT FOUND"
_ALWAYS_IN_STEP = ("prompt", "thought", "result")
"""Keys that the last step of a status always has."""
_PROGRESS = object_schema({"completed_tasks": COUNT, "total_tasks": COUNT})
_DEMO_STEP = object_schema({"prompt": TEXT, "thought": TEXT, "result": {"type": "null"}})
_REAL_STEP = object_schema(
    {"prompt": TEXT, "thought": TEXT, "result": nullable(TEXT)}, {"tool": TEXT, "tool_input": TEXT}
)
_DEMO_USAGE = object_schema({"total_tokens": COUNT, "prompt_tokens": COUNT, "completion_tokens": COUNT})


class Live(Guide):
    """Implements `DialectFormat`."""

    unknown_is_404 = False
    _words: Mapping[Phase, str] = STATES

    def inputs(self, inputs: Sequence[Input]) -> Any:
        return {entry.name: entry.type for entry in inputs if entry.required}

    def status(self, seen: Report) -> Json:
        result = None
        if seen.ended:
            result = seen.error if seen.failed else seen.output
        word = self._words[seen.phase]
        body: Json = {
            "state": word,
            "status": word,
            "result": result,
            "result_json": seen.result_json,
            "last_step": None if seen.last_step is None else _last_step(seen.last_step),
            "token_usage": seen.token_usage,
            **question_field(seen),
        }
        if seen.real:
            body["current_task"] = seen.current_task or None
            body["progress"] = {"completed_tasks": seen.done, "total_tasks": seen.total}
            body |= artifacts_field(seen)
        return body

    def unknown(self, kickoff_id: str) -> Json:
        return {"state": _NOT_FOUND, "status": _NOT_FOUND, "result": None, "result_json": None, "last_step": None}

    def task_webhook(self, seen: Report, task: TaskReport, meta: Meta) -> Json:
        return {
            "description": task.description,
            "name": task.task_id,
            "expected_output": task.expected_output,
            "summary": task.summary,
            "agent": task.agent,
            "output": task.output,
            "output_json": task.output_json,
            "kickoff_id": seen.kickoff_id,
            **meta_field(meta),
        }

    def step_webhook(self, seen: Report, step: StepReport, meta: Meta) -> Json:
        return {**_step(step), "kickoff_id": seen.kickoff_id, **meta_field(meta)}

    def crew_webhook(self, seen: Report, meta: Meta) -> Json:
        """Return the webhook for the end. A success has no status word: its result shows that it succeeded."""
        body: Json = {
            "kickoff_id": seen.kickoff_id,
            "result": None if seen.failed else seen.output,
            "result_json": seen.result_json,
            "token_usage": seen.token_usage,
            **artifacts_field(seen),
            **meta_field(meta),
        }
        return {**body, "state": "FAILED", "error": seen.error} if seen.failed else body

    def inputs_schema(self) -> Schema:
        return {"type": "object", "additionalProperties": TEXT}

    def status_schema(self, *, real: bool) -> Schema:
        words = ("PENDING", "STARTED", "SUCCESS", "FAILED", _NOT_FOUND)
        word = word_schema(*words, PAUSED)
        optional: Schema = {"human_input": QUESTION, "token_usage": nullable(REAL_USAGE if real else _DEMO_USAGE)}
        if real:
            optional |= {"current_task": nullable(TEXT), "progress": _PROGRESS, "artifacts": list_schema(TEXT)}
        return object_schema(
            {
                "state": word,
                "status": word,
                "result": nullable(TEXT),
                "result_json": ANYTHING if real else {"type": "null"},
                "last_step": nullable(_REAL_STEP if real else _DEMO_STEP),
            },
            optional,
        )


def _step(step: StepReport) -> Json:
    return {
        "prompt": step.prompt,
        "thought": step.thought,
        "tool": step.tool,
        "tool_input": step.tool_input,
        "result": step.result,
    }


def _last_step(step: StepReport) -> Json:
    return {key: value for key, value in _step(step).items() if value is not None or key in _ALWAYS_IN_STEP}

"""The dialect of the public guide, to the letter; fields that only real crews have are added at the end."""

from collections.abc import Mapping, Sequence
from typing import Any

from batchcrew.server.dialects.dialect_format import (
    MAX_SHOWN,
    PAUSED,
    Json,
    Meta,
    artifacts_field,
    meta_field,
    question_field,
)
from batchcrew.server.dialects.schemas import (
    ANYTHING,
    COUNT,
    NUMBER,
    QUESTION,
    TEXT,
    Schema,
    list_schema,
    nullable,
    object_schema,
    word_schema,
)
from batchcrew.server.report import Input, Phase, Report, StepReport, TaskReport

_PROGRESS = object_schema({"completed_tasks": COUNT, "total_tasks": COUNT})
_TASK = object_schema({"task_id": TEXT, "output": TEXT, "agent": TEXT, "execution_time": NUMBER})
REAL_USAGE: Schema = {"type": "object", "additionalProperties": COUNT}
"""Counts of tokens, as the libraries of language models name them."""
STATES: Mapping[Phase, str] = {
    "waiting": "PENDING",
    "running": "STARTED",
    "paused": PAUSED,
    "succeeded": "SUCCESS",
    "failed": "FAILED",
}
"""The words of `state`, which CrewAI's own tools read."""


class Guide:
    """Implements `DialectFormat`, and is the base of the other dialects."""

    id_first_only = False
    unknown_is_404 = True

    def inputs(self, inputs: Sequence[Input]) -> Any:
        return [entry.name for entry in inputs if entry.required]

    def status(self, seen: Report) -> Json:
        return {**self.guide_status(seen), **({"state": STATES[seen.phase]} if seen.real else {})}

    def guide_status(self, seen: Report) -> Json:
        """Return the status of the guide, in every dialect."""
        if seen.failed:
            tasks = {"tasks": [_task(task) for task in seen.tasks]} if seen.real and seen.tasks else {}
            body = {"status": "error", "error": seen.error, "execution_time": seen.execution_time}
            return {**body, **tasks, **_extras(seen)}
        if seen.ended:
            return {
                "status": "completed",
                "result": {"output": seen.output, "tasks": [_task(task) for task in seen.tasks]},
                "execution_time": seen.execution_time,
                **_extras(seen),
            }
        word = PAUSED if seen.phase == "paused" else "running"
        return {
            "status": "pending" if seen.real and seen.phase == "waiting" else word,
            "current_task": seen.current_task,
            "progress": {"completed_tasks": seen.done, "total_tasks": seen.total},
            **question_field(seen),
        }

    def unknown(self, kickoff_id: str) -> Json:
        return self.error("Not Found", f"there is no execution {kickoff_id[:MAX_SHOWN]}")

    def error(self, title: str, message: str, missing: list[str] | None = None) -> Json:
        body: Json = {"error": title, "message": message}
        return {**body, "details": {"missing_inputs": missing}} if missing else body

    def task_webhook(self, seen: Report, task: TaskReport, meta: Meta) -> Json:
        return {"kickoff_id": seen.kickoff_id, "status": "completed", **_task(task), **meta_field(meta)}

    def step_webhook(self, seen: Report, step: StepReport, meta: Meta) -> Json:
        content = step.thought if step.tool is None else f"{step.tool}({step.tool_input}) -> {step.result}"
        return {
            "kickoff_id": seen.kickoff_id,
            "task_id": step.task_id,
            "agent": step.agent,
            "step_type": "thought" if step.tool is None else "tool",
            "content": content,
            **meta_field(meta),
        }

    def crew_webhook(self, seen: Report, meta: Meta) -> Json:
        # The guide's status also in dialects that have another one.
        return {"kickoff_id": seen.kickoff_id, **self.guide_status(seen), **meta_field(meta)}

    def inputs_schema(self) -> Schema:
        return list_schema(TEXT)

    def status_schema(self, *, real: bool) -> Schema:
        extras: Schema = {"result_json": ANYTHING, "token_usage": nullable(REAL_USAGE)} if real else {}
        files: Schema = {"artifacts": list_schema(TEXT)} if real else {}
        words = ["pending", "running", PAUSED] if real else ["running", PAUSED]

        def state(*phases: Phase) -> Schema:
            return {"state": word_schema(*(STATES[phase] for phase in phases))} if real else {}

        result = object_schema({"output": TEXT, "tasks": list_schema(_TASK)})
        return {
            "oneOf": [
                object_schema(
                    {
                        "status": word_schema(*words),
                        "current_task": TEXT,
                        "progress": _PROGRESS,
                        **state("waiting", "running", "paused"),
                    },
                    {"human_input": QUESTION},
                ),
                object_schema(
                    {
                        "status": word_schema("completed"),
                        "result": result,
                        "execution_time": NUMBER,
                        **extras,
                        **state("succeeded"),
                    },
                    files,
                ),
                object_schema(
                    {
                        "status": word_schema("error"),
                        "error": TEXT,
                        "execution_time": NUMBER,
                        **extras,
                        **state("failed"),
                    },
                    {"tasks": list_schema(_TASK), **files} if real else {},
                ),
            ]
        }

    def error_schema(self) -> Schema:
        return object_schema({"error": TEXT, "message": TEXT})

    def missing_schema(self, required: Sequence[str]) -> Schema:
        names = list_schema(word_schema(*required) if required else TEXT, least=1)
        return object_schema({"error": TEXT, "message": TEXT, "details": object_schema({"missing_inputs": names})})


def _task(task: TaskReport) -> Json:
    return {
        "task_id": task.task_id,
        "output": task.output,
        "agent": task.agent,
        "execution_time": task.execution_time,
    }


def _extras(seen: Report) -> Json:
    """Return the fields that the guide has no place for."""
    if not seen.real:
        return {}
    return {"result_json": seen.result_json, "token_usage": seen.token_usage, **artifacts_field(seen)}

"""What the answers look like: the guide's, those of live deployments, and those of older self-hosted ones."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from batchcrew.server.api.executor import Input, Phase, Report, StepReport, TaskReport
from batchcrew.server.options import Dialect

Json: TypeAlias = dict[str, Any]
Meta: TypeAlias = Mapping[str, Any] | None
MAX_SHOWN = 100
"""Characters of an unknown id that an answer repeats."""
PAUSED = "Pending Human Input"
"""The word of an execution that waits for a person, in every dialect."""


class DialectFormat(Protocol):
    """How one dialect says things."""

    id_first_only: bool
    """True: only `GET /{kickoff_id}/status` is served, not `/status/{kickoff_id}`."""
    unknown_is_404: bool

    def inputs(self, inputs: Sequence[Input]) -> Any: ...

    def status(self, seen: Report) -> Json: ...

    def unknown(self, kickoff_id: str) -> Json: ...

    def error(self, title: str, message: str, missing: list[str] | None = None) -> Json:
        """`missing`: required inputs that a kickoff lacks."""
        ...

    # Webhooks carry the kickoff's `meta`, where it had one.

    def task_webhook(self, seen: Report, task: TaskReport, meta: Meta) -> Json: ...

    def step_webhook(self, seen: Report, step: StepReport, meta: Meta) -> Json:
        """What an agent thinks or does while it is at a task."""
        ...

    def crew_webhook(self, seen: Report, meta: Meta) -> Json: ...


def _task(task: TaskReport) -> Json:
    return {
        "task_id": task.task_id,
        "output": task.output,
        "agent": task.agent,
        "execution_time": task.execution_time,
    }


def _meta(meta: Meta) -> Json:
    return {} if meta is None else {"meta": meta}


class Guide:
    """The public guide, to the letter; what it has no place for (typed output, token usage) is added where it is."""

    id_first_only = False
    unknown_is_404 = True

    def inputs(self, inputs: Sequence[Input]) -> Any:
        return [entry.name for entry in inputs if entry.required]

    def status(self, seen: Report) -> Json:
        if seen.failed:
            return {"status": "error", "error": seen.error, "execution_time": seen.execution_time, **_extras(seen)}
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
        }

    def unknown(self, kickoff_id: str) -> Json:
        return self.error("Not Found", f"there is no execution {kickoff_id[:MAX_SHOWN]}")

    def error(self, title: str, message: str, missing: list[str] | None = None) -> Json:
        body: Json = {"error": title, "message": message}
        return {**body, "details": {"missing_inputs": missing}} if missing else body

    def task_webhook(self, seen: Report, task: TaskReport, meta: Meta) -> Json:
        return {"kickoff_id": seen.kickoff_id, "status": "completed", **_task(task), **_meta(meta)}

    def step_webhook(self, seen: Report, step: StepReport, meta: Meta) -> Json:
        said = step.thought if step.tool is None else f"{step.tool}({step.tool_input}) -> {step.result}"
        return {
            "kickoff_id": seen.kickoff_id,
            "task_id": step.task_id,
            "agent": step.agent,
            "step_type": "thought" if step.tool is None else "tool",
            "content": said,
            **_meta(meta),
        }

    def crew_webhook(self, seen: Report, meta: Meta) -> Json:
        return {"kickoff_id": seen.kickoff_id, **Guide.status(self, seen), **_meta(meta)}


def _extras(seen: Report) -> Json:
    """What real crews have and the guide has no key for."""
    if not seen.real:
        return {}
    return {"result_json": seen.result_json, "token_usage": seen.token_usage}


class Live(Guide):
    """Deployments of today: `state` in capitals, text results, `not found` with HTTP 200."""

    unknown_is_404 = False
    _words: Mapping[Phase, str] = {
        "waiting": "PENDING",
        "running": "STARTED",
        "paused": PAUSED,
        "succeeded": "SUCCESS",
        "failed": "FAILED",
    }

    def inputs(self, inputs: Sequence[Input]) -> Any:
        return {entry.name: entry.type for entry in inputs if entry.required}

    def status(self, seen: Report) -> Json:
        result = None
        if seen.ended:
            result = seen.error if seen.failed else seen.output
        word = self._words[seen.phase]
        step = seen.last_step
        body: Json = {
            "state": word,
            "status": word,
            "result": result,
            "result_json": seen.result_json,
            "last_step": None
            if step is None
            else {k: v for k, v in _step(step).items() if v is not None or k in _SAID},
            "token_usage": seen.token_usage,
        }
        if seen.real:
            body["current_task"] = seen.current_task or None
            body["progress"] = {"completed_tasks": seen.done, "total_tasks": seen.total}
        return body

    def unknown(self, kickoff_id: str) -> Json:
        word = "NOT FOUND"
        return {"state": word, "status": word, "result": None, "result_json": None, "last_step": None}

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
            **_meta(meta),
        }

    def step_webhook(self, seen: Report, step: StepReport, meta: Meta) -> Json:
        return {**_step(step), "kickoff_id": seen.kickoff_id, **_meta(meta)}

    def crew_webhook(self, seen: Report, meta: Meta) -> Json:
        """A success has no status word: that it comes with a result says it."""
        body: Json = {
            "kickoff_id": seen.kickoff_id,
            "result": None if seen.failed else seen.output,
            "result_json": seen.result_json,
            "token_usage": seen.token_usage,
            **_meta(meta),
        }
        return {**body, "state": "FAILED", "error": seen.error} if seen.failed else body


_SAID = ("prompt", "thought", "result")
"""Keys that the last step of a status always has."""


def _step(step: StepReport) -> Json:
    return {
        "prompt": step.prompt,
        "thought": step.thought,
        "tool": step.tool,
        "tool_input": step.tool_input,
        "result": step.result,
    }


class Legacy(Guide):
    """Older self-hosted servers: the id before `status`, `final_output`, errors as `detail`."""

    id_first_only = True
    _words: Mapping[Phase, str] = {"waiting": "queued", "running": "in_progress", "paused": PAUSED}

    def inputs(self, inputs: Sequence[Input]) -> Any:
        return [{"name": entry.name, "type": entry.type, "required": entry.required} for entry in inputs]

    def status(self, seen: Report) -> Json:
        if seen.failed:
            return {"status": "failure", "error_message": seen.error}
        if seen.ended:
            return {"status": "success", "final_output": seen.output}
        return {"status": self._words[seen.phase]}

    def error(self, title: str, message: str, missing: list[str] | None = None) -> Json:
        if not missing:
            return {"detail": message}
        return {
            "detail": [
                {"type": "missing", "loc": ["body", "inputs", name], "msg": "Field required"} for name in missing
            ]
        }


DIALECT_FORMATS: dict[Dialect, DialectFormat] = {"guide": Guide(), "live": Live(), "legacy": Legacy()}

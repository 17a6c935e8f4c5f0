"""What the answers look like: the guide's, those of live deployments, and those of older self-hosted ones."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

from batchcrew.server import crew
from batchcrew.server.crew import Step
from batchcrew.server.execution import Task, View
from batchcrew.server.options import Dialect

Json: TypeAlias = dict[str, Any]
Meta: TypeAlias = Mapping[str, Any] | None
MAX_SHOWN = 100
"""Characters of an unknown id that an answer repeats."""


class Speech(Protocol):
    """How one dialect says things."""

    id_first_only: bool
    """True: only `GET /{kickoff_id}/status` is served, not `/status/{kickoff_id}`."""
    unknown_is_404: bool

    def inputs(self) -> Any: ...

    def status(self, view: View) -> Json: ...

    def unknown(self, kickoff_id: str) -> Json: ...

    def error(self, title: str, message: str, missing: list[str] | None = None) -> Json:
        """`missing`: required inputs that a kickoff lacks."""
        ...

    # Webhooks carry the kickoff's `meta`, where it had one.

    def task_webhook(self, view: View, task: Task, meta: Meta) -> Json: ...

    def step_webhook(self, view: View, step: Step, meta: Meta) -> Json:
        """What the agent of `step` thinks while it is at it."""
        ...

    def crew_webhook(self, view: View, meta: Meta) -> Json: ...


def _task(task: Task) -> Json:
    return {
        "task_id": task.step.task_id,
        "output": task.output,
        "agent": task.step.agent,
        "execution_time": task.execution_time,
    }


def _meta(meta: Meta) -> Json:
    return {} if meta is None else {"meta": meta}


class Guide:
    """The public guide, to the letter."""

    id_first_only = False
    unknown_is_404 = True

    def inputs(self) -> Any:
        return list(crew.INPUTS)

    def status(self, view: View) -> Json:
        if view.failed:
            return {"status": "error", "error": view.error, "execution_time": view.execution_time}
        if view.ended:
            return {
                "status": "completed",
                "result": {"output": view.output, "tasks": [_task(task) for task in view.tasks]},
                "execution_time": view.execution_time,
            }
        return {
            "status": "running",
            "current_task": view.current.task_id,
            "progress": {"completed_tasks": view.done, "total_tasks": len(crew.TASKS)},
        }

    def unknown(self, kickoff_id: str) -> Json:
        return self.error("Not Found", f"there is no execution {kickoff_id[:MAX_SHOWN]}")

    def error(self, title: str, message: str, missing: list[str] | None = None) -> Json:
        body: Json = {"error": title, "message": message}
        return {**body, "details": {"missing_inputs": missing}} if missing else body

    def task_webhook(self, view: View, task: Task, meta: Meta) -> Json:
        return {"kickoff_id": view.record.kickoff_id, "status": "completed", **_task(task), **_meta(meta)}

    def step_webhook(self, view: View, step: Step, meta: Meta) -> Json:
        return {
            "kickoff_id": view.record.kickoff_id,
            "task_id": step.task_id,
            "agent": step.agent,
            "step_type": "thought",
            "content": step.thought,
            **_meta(meta),
        }

    def crew_webhook(self, view: View, meta: Meta) -> Json:
        return {"kickoff_id": view.record.kickoff_id, **Guide.status(self, view), **_meta(meta)}


class Live(Guide):
    """Deployments of today: `state` in capitals, text results, `not found` with HTTP 200."""

    unknown_is_404 = False

    def inputs(self) -> Any:
        return dict.fromkeys(crew.INPUTS, "string")

    def status(self, view: View) -> Json:
        if view.failed:
            return self._status("FAILED", view.error, view)
        if view.ended:
            return self._status("SUCCESS", view.output, view)
        return self._status("PENDING" if view.waiting else "STARTED", None, view)

    def unknown(self, kickoff_id: str) -> Json:
        word = "NOT FOUND"
        return {"state": word, "status": word, "result": None, "result_json": None, "last_step": None}

    def task_webhook(self, view: View, task: Task, meta: Meta) -> Json:
        return {
            "description": task.step.description,
            "name": task.step.task_id,
            "expected_output": task.step.expected_output,
            "summary": task.step.description[:60],
            "agent": task.step.agent,
            "output": task.output,
            "output_json": None,
            "kickoff_id": view.record.kickoff_id,
            **_meta(meta),
        }

    def step_webhook(self, view: View, step: Step, meta: Meta) -> Json:
        return {
            "prompt": step.description,
            "thought": step.thought,
            "tool": None,
            "tool_input": None,
            "result": None,
            "kickoff_id": view.record.kickoff_id,
            **_meta(meta),
        }

    def crew_webhook(self, view: View, meta: Meta) -> Json:
        """A success has no status word: that it comes with a result says it."""
        body: Json = {
            "kickoff_id": view.record.kickoff_id,
            "result": None if view.failed else view.output,
            "result_json": None,
            "token_usage": view.token_usage,
            **_meta(meta),
        }
        return {**body, "state": "FAILED", "error": view.error} if view.failed else body

    def _status(self, word: str, result: str | None, view: View) -> Json:
        last = view.tasks[-1] if view.tasks else None
        step = None if last is None else {"prompt": last.step.description, "thought": last.step.thought, "result": None}
        return {
            "state": word,
            "status": word,
            "result": result,
            "result_json": None,
            "last_step": step,
            "token_usage": view.token_usage if view.ended else None,
        }


class Legacy(Guide):
    """Older self-hosted servers: the id before `status`, `final_output`, errors as `detail`."""

    id_first_only = True

    def inputs(self) -> Any:
        return [{"name": name, "type": "string", "required": True} for name in crew.INPUTS]

    def status(self, view: View) -> Json:
        if view.failed:
            return {"status": "failure", "error_message": view.error}
        if view.ended:
            return {"status": "success", "final_output": view.output}
        return {"status": "queued" if view.waiting else "in_progress"}

    def error(self, title: str, message: str, missing: list[str] | None = None) -> Json:
        if not missing:
            return {"detail": message}
        return {
            "detail": [
                {"type": "missing", "loc": ["body", "inputs", name], "msg": "Field required"} for name in missing
            ]
        }


SPEECHES: dict[Dialect, Speech] = {"guide": Guide(), "live": Live(), "legacy": Legacy()}

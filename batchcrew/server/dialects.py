"""What the answers look like: the guide's, those of live deployments, and those of older self-hosted ones."""

from typing import Any, Protocol

from batchcrew.server import crew
from batchcrew.server.execution import Task, View
from batchcrew.server.options import Dialect

Json = dict[str, Any]


class Speech(Protocol):
    """How one dialect says things."""

    id_first_only: bool
    """True: only `GET /{kickoff_id}/status` is served, not `/status/{kickoff_id}`."""
    unknown_is_404: bool

    def inputs(self) -> Any: ...

    def status(self, view: View) -> Json: ...

    def unknown(self, kickoff_id: str) -> Json: ...

    def error(self, error: str, message: str) -> Json: ...

    def missing(self, names: list[str]) -> Json: ...

    def task_webhook(self, view: View, task: Task) -> Json: ...

    def step_webhook(self, view: View, task: Task) -> Json: ...

    def crew_webhook(self, view: View) -> Json: ...


def _task(task: Task) -> Json:
    return {
        "task_id": task.task_id,
        "output": task.output,
        "agent": task.agent,
        "execution_time": task.execution_time,
    }


def _thought(task: Task) -> str:
    return f"I should finish {task.task_id} with what the inputs say."


class Guide:
    """The public guide, to the letter."""

    id_first_only = False
    unknown_is_404 = True

    def inputs(self) -> Any:
        return list(crew.INPUTS)

    def status(self, view: View) -> Json:
        if view.failed:
            return {"status": "error", "error": view.error}
        if view.ended:
            return {
                "status": "completed",
                "result": {"output": view.output, "tasks": [_task(task) for task in view.tasks]},
                "execution_time": round(view.record.duration, 3),
            }
        return {
            "status": "running",
            "current_task": view.current_task,
            "progress": {"completed_tasks": len(view.tasks), "total_tasks": len(crew.TASKS)},
        }

    def unknown(self, kickoff_id: str) -> Json:
        return self.error("Not Found", f"there is no execution {kickoff_id[:100]}")

    def error(self, error: str, message: str) -> Json:
        return {"error": error, "message": message}

    def missing(self, names: list[str]) -> Json:
        message = f"Missing required inputs: {', '.join(names)}"
        return {**self.error("Validation Error", message), "details": {"missing_inputs": names}}

    def task_webhook(self, view: View, task: Task) -> Json:
        return {"kickoff_id": view.record.kickoff_id, "status": "completed", **_task(task), "meta": view.record.meta}

    def step_webhook(self, view: View, task: Task) -> Json:
        return {
            "kickoff_id": view.record.kickoff_id,
            "task_id": task.task_id,
            "agent": task.agent,
            "step_type": "thought",
            "content": _thought(task),
            "meta": view.record.meta,
        }

    def crew_webhook(self, view: View) -> Json:
        return {"kickoff_id": view.record.kickoff_id, **self.status(view), "meta": view.record.meta}


class Live(Guide):
    """Deployments of today: `state` in capitals, text results, `not found` with HTTP 200."""

    unknown_is_404 = False

    def inputs(self) -> Any:
        return dict.fromkeys(crew.INPUTS, "string")

    def status(self, view: View) -> Json:
        if view.failed:
            return self._status("FAILED", view.error, view)
        if view.ended:
            usage = view.token_usage
            return {**self._status("SUCCESS", view.output, view), "result_json": None, "token_usage": usage}
        return self._status("PENDING" if view.waiting else "STARTED", None, view)

    def unknown(self, kickoff_id: str) -> Json:
        return {"state": "NOT FOUND", "status": "NOT FOUND", "result": None, "last_step": None}

    def task_webhook(self, view: View, task: Task) -> Json:
        return {
            "description": f"the {task.task_id} of a travel plan",
            "name": task.task_id,
            "expected_output": "a text",
            "summary": task.output[:60],
            "agent": task.agent,
            "output": task.output,
            "output_json": None,
            "kickoff_id": view.record.kickoff_id,
            "meta": view.record.meta,
        }

    def step_webhook(self, view: View, task: Task) -> Json:
        return {
            "prompt": task.task_id,
            "thought": _thought(task),
            "tool": None,
            "tool_input": None,
            "result": None,
            "kickoff_id": view.record.kickoff_id,
            "meta": view.record.meta,
        }

    def crew_webhook(self, view: View) -> Json:
        if view.failed:
            return {"kickoff_id": view.record.kickoff_id, **self.status(view), "meta": view.record.meta}
        return {
            "kickoff_id": view.record.kickoff_id,
            "result": view.output,
            "result_json": None,
            "token_usage": view.token_usage,
            "meta": view.record.meta,
        }

    def _status(self, word: str, result: str | None, view: View) -> Json:
        last = view.tasks[-1] if view.tasks else None
        step = None if last is None else {"prompt": last.task_id, "thought": _thought(last), "result": None}
        return {"state": word, "status": word, "result": result, "last_step": step}


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

    def error(self, error: str, message: str) -> Json:
        return {"detail": message}

    def missing(self, names: list[str]) -> Json:
        return {
            "detail": [{"loc": ["body", "inputs", name], "msg": "field required", "type": "missing"} for name in names]
        }


SPEECHES: dict[Dialect, Speech] = {"guide": Guide(), "live": Live(), "legacy": Legacy()}

"""The OpenAPI description of exactly what is served, in the dialect that is spoken."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from batchcrew.server.api.dialects import PAUSED
from batchcrew.server.api.executor import Executor, Input
from batchcrew.server.options import Dialect

Schema: TypeAlias = dict[str, Any]
_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number", "minimum": 0}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_WEBHOOK: Schema = {
    "type": ["string", "null"],
    "pattern": "^https?://.+",
    "description": "An http or https URL; redirects are not followed.",
}


def _object(required: Schema, optional: Schema | None = None) -> Schema:
    """An object of these properties and no others."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


def _word(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


def _optional(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def describe(dialect: Dialect, executor: Executor, *, id_first_only: bool) -> Schema:
    """The document of `GET /openapi.json`."""
    real = executor.real
    health: Schema = {"200": {"description": "It is up.", "content": {"text/plain": {"schema": _word("Healthy")}}}}
    paths: Schema = {
        "/": {
            "get": {"summary": "Health", "security": [], "responses": health},
            "head": {"summary": "Health", "security": [], "responses": {"200": {"description": "It is up."}}},
        },
        "/inputs": _get("Inputs that the crew asks for", _inputs_answer(dialect), "401"),
        "/kickoff": {"post": _kickoff("kickoff")},
        "/kickoff/": {"post": _kickoff("kickoffWithSlash")},
        "/{kickoff_id}/status": _status(dialect),
        "/stats": _get("What was asked and what runs: of the embedded server only", _answer("Counts", "Stats"), "401"),
        "/openapi.json": _get("This document", _answer("OpenAPI", {"type": "object"})),
    }
    if real:
        paths["/resume"] = {"post": _RESUME}
        paths["/metrics"] = _get("Counts as OpenMetrics", _METRICS, "401")
    paths["/openapi.json"]["get"]["security"] = []
    if not id_first_only:
        paths["/status/{kickoff_id}"] = _status(dialect)
    if real:
        _say_busy(paths)
    return {
        "openapi": "3.1.0",
        "info": {"title": "batchcrew's embedded crew", "version": "1", "description": executor.description},
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "responses": _refusals(real=real),
            "schemas": {
                "Kickoff": _kickoff_schema(executor.inputs, real=real),
                "Started": _object({"kickoff_id": _TEXT}),
                "Status": status_schema(dialect, real=real),
                "Stats": _object(dict.fromkeys(_STATS + (_REAL_STATS if real else ()), _COUNT)),
                **_errors(dialect, [entry.name for entry in executor.inputs if entry.required]),
                **({"Resume": _RESUME_BODY, "Resumed": _RESUMED} if real else {}),
            },
        },
    }


def _say_busy(paths: Schema) -> None:
    """Any request to real crews may be refused while too many are being answered."""
    for operations in paths.values():
        for method in ("get", "head", "post"):
            if method in operations:
                operations[method]["responses"].update(_refer("503"))


def _answer(description: str, schema: Schema | str) -> Schema:
    if isinstance(schema, str):
        schema = {"$ref": f"#/components/schemas/{schema}"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _refer(*codes: str) -> Schema:
    return {code: {"$ref": f"#/components/responses/{code}"} for code in codes}


def _get(summary: str, answer: Schema, *refusals: str) -> Schema:
    return {"get": {"summary": summary, "responses": {"200": answer, **_refer(*refusals)}}}


def _inputs_answer(dialect: Dialect) -> Schema:
    entry = _object({"name": _TEXT, "type": _TEXT, "required": {"type": "boolean"}})
    inputs: dict[str, Schema] = {
        "guide": {"type": "array", "items": _TEXT},
        "live": {"type": "object", "additionalProperties": _TEXT},
        "legacy": {"type": "array", "items": entry},
    }
    names: Schema = {"type": "array", "items": _TEXT}
    answer = _answer(
        "What a kickoff must give, and what it may give.",
        _object({"inputs": inputs[dialect], "optional_inputs": names}),
    )
    note = "The same Idempotency-Key starts one execution only. Not sent where that is switched off."
    answer["headers"] = {"Idempotency-Key": {"description": note, "schema": _word("supported")}}
    return answer


def _status(dialect: Dialect) -> Schema:
    path = _get("State and result of an execution", _answer("The execution as it is now.", "Status"))
    codes = ("401", "500", "502", "503") if dialect == "live" else ("401", "404", "500", "502", "503")
    path["get"]["responses"] |= _refer(*codes)
    path["parameters"] = [{"name": "kickoff_id", "in": "path", "required": True, "schema": _TEXT}]
    return path


def _kickoff(operation: str) -> Schema:
    key: Schema = {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "A kickoff with a key that came before is answered with that key's execution.",
        "schema": {"type": "string", "pattern": "^[\\x20-\\x7e]{1,255}$"},
    }
    body = {"$ref": "#/components/schemas/Kickoff"}
    return {
        "summary": "Start an execution",
        "operationId": operation,
        "parameters": [key],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": _answer("It has started.", "Started"),
            **_refer("400", "401", "408", "413", "422", "429", "500", "502", "503"),
        },
    }


def _refusals(*, real: bool) -> Schema:
    said = {
        "400": "The body is no kickoff: no JSON, or of wrong types.",
        "401": "The bearer token is missing or wrong.",
        "404": "There is no such execution.",
        "408": "The body did not arrive in time.",
        "413": "The body is too large.",
        "429": "As many executions run as may (--max-running).",
        "500": "An error on purpose (--http-error-rate), or a defect.",
        "503": "An error on purpose (--http-error-rate).",
    }
    if real:
        said |= {
            "404": "There is no such execution.",
            "429": "As many executions wait as may (--max-queue).",
            "503": "The server is about to stop, or too many requests are being answered.",
        }
    found = {code: _answer(text, "Error") for code, text in said.items()}
    found["422"] = _answer("Required inputs are missing.", "MissingInputs")
    found["502"] = {
        "description": "An error on purpose (--http-error-rate): HTML, as a gateway answers.",
        "content": {"text/html": {"schema": _TEXT}},
    }
    wait: Schema = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}}
    found["429"]["headers"] = found["503"]["headers"] = wait
    return found


def _errors(dialect: Dialect, required: Sequence[str]) -> Schema:
    if dialect == "legacy":
        place: Schema = {"type": "array", "items": _TEXT}
        entry = _object({"type": _TEXT, "loc": place, "msg": _TEXT})
        return {
            "Error": _object({"detail": _TEXT}),
            "MissingInputs": _object({"detail": {"type": "array", "items": entry, "minItems": 1}}),
        }
    names: Schema = {"type": "array", "items": _word(*required) if required else _TEXT, "minItems": 1}
    return {
        "Error": _object({"error": _TEXT, "message": _TEXT}),
        "MissingInputs": _object({"error": _TEXT, "message": _TEXT, "details": _object({"missing_inputs": names})}),
    }


_STATS = (
    "kickoffs",
    "kickoff_requests",
    "refused",
    "repeated",
    "disturbed",
    "running",
    "peak_running",
    "max_kickoffs_per_job",
)
_REAL_STATS = ("waiting", "paused", "succeeded", "failed", "workers", "workers_ready", "workers_lost")
_URLS: Schema = dict.fromkeys(("taskWebhookUrl", "stepWebhookUrl", "crewWebhookUrl"), _WEBHOOK)
_AUTHENTICATION: Schema = {
    "oneOf": [
        {
            "type": "object",
            "required": ["strategy", "token"],
            "properties": {"strategy": _word("bearer"), "token": {"type": "string", "pattern": "^[!-~]{1,8000}$"}},
        },
        {
            "type": "object",
            "required": ["strategy", "username", "password"],
            "properties": {
                "strategy": _word("basic"),
                "username": {"type": "string", "pattern": "^[^:]{1,8000}$"},
                "password": {"type": "string", "minLength": 1, "maxLength": 8000},
            },
        },
        {"type": "null"},
    ]
}
_RECEIVER: Schema = {
    "type": ["object", "null"],
    "required": ["url"],
    "properties": {"url": {**_WEBHOOK, "type": "string"}, "authentication": _AUTHENTICATION},
}
_STREAM: Schema = {
    **_RECEIVER,
    "required": ["url", "events"],
    "properties": {
        **_RECEIVER["properties"],
        "events": {
            "type": "array",
            "items": _TEXT,
            "minItems": 1,
            "maxItems": 200,
            "description": "Names of the library's events, as in task_completed.",
        },
        "realtime": {"type": "boolean", "description": "Each event by itself; else they are gathered for a moment."},
    },
}


def _kickoff_schema(inputs: Sequence[Input], *, real: bool) -> Schema:
    """What a kickoff holds."""
    given: Schema = {
        "type": "object",
        "required": [entry.name for entry in inputs if entry.required],
        "description": "Values of any type; other inputs are ignored.",
    }
    if real:
        given["description"] = "Values of any type; what else is given is passed on to the crew."
        given["properties"] = {entry.name: {"description": f"{entry.type} is expected"} for entry in inputs}
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "inputs": given,
            "meta": {"type": ["object", "null"], "description": "Comes back in every webhook."},
            **_URLS,
            **({"humanInputWebhook": _RECEIVER, "webhooks": _STREAM} if real else {}),
        },
    }


_RESUME_BODY: Schema = {
    "type": "object",
    "required": ["execution_id", "task_id", "is_approve"],
    "properties": {
        "execution_id": _TEXT,
        "task_id": _TEXT,
        "human_feedback": {
            "type": ["string", "null"],
            "maxLength": 100_000,
            "description": "What to do better; a rejection needs it.",
        },
        "is_approve": {"type": "boolean"},
        **_URLS,
    },
}
_RESUMED = _object({"status": _word("resumed", "retrying"), "message": _TEXT})
_RESUME: Schema = {
    "summary": "Give a person's word to a paused execution",
    "description": "The webhooks of the kickoff are not carried over: what is named here is called from now on.",
    "operationId": "resume",
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Resume"}}},
    },
    "responses": {"200": _answer("It goes on.", "Resumed"), **_refer("400", "401", "404", "408", "413")},
}
_METRICS: Schema = {
    "description": "Counts.",
    "content": {"application/openmetrics-text": {"schema": {"type": "string", "pattern": "# EOF\n$"}}},
}
_TASK = _object({"task_id": _TEXT, "output": _TEXT, "agent": _TEXT, "execution_time": _NUMBER})
_LAST_STEP = _object({"prompt": _TEXT, "thought": _TEXT, "result": {"type": "null"}})
_USAGE = _object({"total_tokens": _COUNT, "prompt_tokens": _COUNT, "completion_tokens": _COUNT})
_REAL_USAGE: Schema = {"type": "object", "additionalProperties": _COUNT}
_REAL_STEP = _object(
    {"prompt": _TEXT, "thought": _TEXT, "result": _optional(_TEXT)}, {"tool": _TEXT, "tool_input": _TEXT}
)
_PROGRESS = _object({"completed_tasks": _COUNT, "total_tasks": _COUNT})
_ANYTHING: Schema = {}


def status_schema(dialect: Dialect, *, real: bool) -> Schema:
    """Answers of `GET /status`."""
    if dialect == "live":
        return _live_status(real=real)
    if dialect == "legacy":
        words = ["queued", "in_progress", *([PAUSED] if real else [])]
        return {
            "oneOf": [
                _object({"status": _word(*words)}),
                _object({"status": _word("success"), "final_output": _TEXT}),
                _object({"status": _word("failure"), "error_message": _TEXT}),
            ]
        }
    extras: Schema = {"result_json": _ANYTHING, "token_usage": _optional(_REAL_USAGE)} if real else {}
    words = ["pending", "running", PAUSED] if real else ["running"]
    return {
        "oneOf": [
            _object({"status": _word(*words), "current_task": _TEXT, "progress": _PROGRESS}),
            _object(
                {
                    "status": _word("completed"),
                    "result": _object({"output": _TEXT, "tasks": {"type": "array", "items": _TASK}}),
                    "execution_time": _NUMBER,
                    **extras,
                }
            ),
            _object({"status": _word("error"), "error": _TEXT, "execution_time": _NUMBER, **extras}),
        ]
    }


def _live_status(*, real: bool) -> Schema:
    words = ("PENDING", "STARTED", "SUCCESS", "FAILED", "NOT FOUND")
    word = _word(*words, PAUSED) if real else _word(*words)
    optional: Schema = {"token_usage": _optional(_REAL_USAGE if real else _USAGE)}
    if real:
        optional |= {"current_task": _optional(_TEXT), "progress": _PROGRESS}
    return _object(
        {
            "state": word,
            "status": word,
            "result": _optional(_TEXT),
            "result_json": _ANYTHING if real else {"type": "null"},
            "last_step": _optional(_REAL_STEP if real else _LAST_STEP),
        },
        optional,
    )

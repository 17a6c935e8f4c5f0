"""The OpenAPI description of exactly what is served, in the dialect that is spoken."""

from typing import Any, TypeAlias

from batchcrew.server import crew
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


def describe(dialect: Dialect, *, id_first_only: bool) -> Schema:
    """The document of `GET /openapi.json`."""
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
    paths["/openapi.json"]["get"]["security"] = []
    if not id_first_only:
        paths["/status/{kickoff_id}"] = _status(dialect)
    return {
        "openapi": "3.1.0",
        "info": {"title": "batchcrew's embedded crew", "version": "1", "description": crew.NO_MODEL},
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "responses": _refusals(),
            "schemas": {
                "Kickoff": _KICKOFF,
                "Started": _object({"kickoff_id": _TEXT}),
                "Status": _STATUS[dialect],
                "Stats": _object(dict.fromkeys(_STATS, _COUNT)),
                **_errors(dialect),
            },
        },
    }


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
    answer = _answer("What a kickoff must give.", _object({"inputs": inputs[dialect]}))
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
            **_refer("400", "401", "413", "422", "429", "500", "502", "503"),
        },
    }


def _refusals() -> Schema:
    said = {
        "400": "The body is no kickoff: no JSON, or of wrong types.",
        "401": "The bearer token is missing or wrong.",
        "404": "There is no such execution.",
        "413": "The body is too large.",
        "429": "As many executions run as may (--max-running).",
        "500": "An error on purpose (--http-error-rate), or a defect.",
        "503": "An error on purpose (--http-error-rate).",
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


def _errors(dialect: Dialect) -> Schema:
    if dialect == "legacy":
        place: Schema = {"type": "array", "items": _TEXT}
        entry = _object({"type": _TEXT, "loc": place, "msg": _TEXT})
        return {
            "Error": _object({"detail": _TEXT}),
            "MissingInputs": _object({"detail": {"type": "array", "items": entry, "minItems": 1}}),
        }
    names: Schema = {"type": "array", "items": _word(*crew.INPUTS), "minItems": 1}
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
_KICKOFF: Schema = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "inputs": {
            "type": "object",
            "required": list(crew.INPUTS),
            "description": "Values of any type; other inputs are ignored.",
        },
        "meta": {"type": ["object", "null"], "description": "Comes back in every webhook."},
        "taskWebhookUrl": _WEBHOOK,
        "stepWebhookUrl": _WEBHOOK,
        "crewWebhookUrl": _WEBHOOK,
    },
}
_TASK = _object({"task_id": _TEXT, "output": _TEXT, "agent": _TEXT, "execution_time": _NUMBER})
_LAST_STEP = _object({"prompt": _TEXT, "thought": _TEXT, "result": {"type": "null"}})
_USAGE = _object({"total_tokens": _COUNT, "prompt_tokens": _COUNT, "completion_tokens": _COUNT})
_LIVE_WORD = _word("PENDING", "STARTED", "SUCCESS", "FAILED", "NOT FOUND")
_STATUS: dict[Dialect, Schema] = {
    "guide": {
        "oneOf": [
            _object(
                {
                    "status": _word("running"),
                    "current_task": _TEXT,
                    "progress": _object({"completed_tasks": _COUNT, "total_tasks": _COUNT}),
                }
            ),
            _object(
                {
                    "status": _word("completed"),
                    "result": _object({"output": _TEXT, "tasks": {"type": "array", "items": _TASK}}),
                    "execution_time": _NUMBER,
                }
            ),
            _object({"status": _word("error"), "error": _TEXT, "execution_time": _NUMBER}),
        ]
    },
    "live": _object(
        {
            "state": _LIVE_WORD,
            "status": _LIVE_WORD,
            "result": _optional(_TEXT),
            "result_json": {"type": "null"},
            "last_step": _optional(_LAST_STEP),
        },
        {"token_usage": _optional(_USAGE)},
    ),
    "legacy": {
        "oneOf": [
            _object({"status": _word("queued", "in_progress")}),
            _object({"status": _word("success"), "final_output": _TEXT}),
            _object({"status": _word("failure"), "error_message": _TEXT}),
        ]
    },
}

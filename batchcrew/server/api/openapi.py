"""The OpenAPI description of exactly what is served, in the dialect that is served."""

from collections.abc import Sequence

from batchcrew.server.api.executor import Executor
from batchcrew.server.dialects.dialect_format import DialectFormat
from batchcrew.server.dialects.schemas import COUNT, TEXT, Schema, list_schema, object_schema, word_schema
from batchcrew.server.report import Input

_WEBHOOK: Schema = {
    "type": ["string", "null"],
    "pattern": "^https?://.+",
    "description": "An http or https URL; redirects are not followed.",
}


def describe(dialect: DialectFormat, executor: Executor) -> Schema:
    """Return the document of `GET /openapi.json`."""
    real = executor.real
    required = [entry.name for entry in executor.inputs if entry.required]
    health: Schema = {
        "200": {"description": "It is up.", "content": {"text/plain": {"schema": word_schema("Healthy")}}}
    }
    paths: Schema = {
        "/": {
            "get": {"summary": "Health", "security": [], "responses": health},
            "head": {"summary": "Health", "security": [], "responses": {"200": {"description": "The server is up."}}},
        },
        "/inputs": _get("Inputs of the crew", _inputs_answer(dialect), "401"),
        "/kickoff": {"post": _kickoff("kickoff")},
        "/kickoff/": {"post": _kickoff("kickoffWithSlash")},
        "/{kickoff_id}/status": _status(dialect),
        "/stats": _get("Counts, which only the embedded server has", _answer("Counts", "Stats"), "401"),
        "/openapi.json": _get("This document", _answer("OpenAPI", {"type": "object"})),
    }
    paths["/resume"] = {"post": _RESUME}
    if real:
        paths["/metrics"] = _get("Counts as OpenMetrics", _METRICS, "401")
    paths["/openapi.json"]["get"]["security"] = []
    if not dialect.id_first_only:
        paths["/status/{kickoff_id}"] = _status(dialect)
    if real:
        _add_busy(paths)
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
                "Started": object_schema({"kickoff_id": TEXT}),
                "Status": dialect.status_schema(real=real),
                "Stats": object_schema(dict.fromkeys(_STATS + (_REAL_STATS if real else _DEMO_STATS), COUNT)),
                "Error": dialect.error_schema(),
                "MissingInputs": dialect.missing_schema(required),
                "Resume": _RESUME_BODY,
                "Resumed": _RESUMED,
            },
        },
    }


def _add_busy(paths: Schema) -> None:
    """Add the refusal that any request to real crews may get while too many are being answered."""
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


def _inputs_answer(dialect: DialectFormat) -> Schema:
    answer = _answer(
        "The inputs that a kickoff must contain, and those that it may contain.",
        object_schema({"inputs": dialect.inputs_schema(), "optional_inputs": list_schema(TEXT)}),
    )
    note = "The same Idempotency-Key starts one execution only. Not sent where that is switched off."
    answer["headers"] = {"Idempotency-Key": {"description": note, "schema": word_schema("supported")}}
    return answer


def _status(dialect: DialectFormat) -> Schema:
    path = _get("State and result of an execution", _answer("The execution as it is now.", "Status"))
    codes = ("401", "404", "500", "502", "503") if dialect.unknown_is_404 else ("401", "500", "502", "503")
    path["get"]["responses"] |= _refer(*codes)
    path["parameters"] = [{"name": "kickoff_id", "in": "path", "required": True, "schema": TEXT}]
    return path


def _kickoff(operation: str) -> Schema:
    key: Schema = {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "A kickoff with a known key is answered with the execution of that key.",
        "schema": {"type": "string", "pattern": "^[\\x20-\\x7e]{1,255}$"},
    }
    body = {"$ref": "#/components/schemas/Kickoff"}
    return {
        "summary": "Start an execution",
        "operationId": operation,
        "parameters": [key],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": _answer("The execution has started.", "Started"),
            **_refer("400", "401", "408", "409", "413", "422", "429", "500", "502", "503"),
        },
    }


def _refusals(*, real: bool) -> Schema:
    texts = {
        "400": "The body is not a kickoff: it is not JSON, or a value has a wrong type.",
        "401": "The bearer token is missing or wrong.",
        "404": "There is no such execution.",
        "408": "The body did not arrive in time.",
        "409": "This Idempotency-Key was sent with other inputs before.",
        "413": "The body is too large.",
        "429": "The limit of running executions is reached (--max-running).",
        "500": "An error on purpose (--http-error-rate), or a defect of the server.",
        "503": "An error on purpose (--http-error-rate).",
    }
    if real:
        texts |= {
            "404": "There is no such execution.",
            "429": "The limit of waiting executions is reached (--max-queue).",
            "503": "The server is about to stop, or too many requests are being answered.",
        }
    found = {code: _answer(text, "Error") for code, text in texts.items()}
    found["422"] = _answer("Required inputs are missing.", "MissingInputs")
    found["502"] = {
        "description": "An error on purpose (--http-error-rate): HTML, as a gateway answers.",
        "content": {"text/html": {"schema": TEXT}},
    }
    wait: Schema = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}}
    found["429"]["headers"] = found["503"]["headers"] = wait
    return found


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
_DEMO_STATS = ("paused", "human_answers")
_URLS: Schema = dict.fromkeys(("taskWebhookUrl", "stepWebhookUrl", "crewWebhookUrl"), _WEBHOOK)
_AUTHENTICATION: Schema = {
    "oneOf": [
        {
            "type": "object",
            "required": ["strategy", "token"],
            "properties": {
                "strategy": word_schema("bearer"),
                "token": {"type": "string", "pattern": "^[!-~]{1,8000}$"},
            },
        },
        {
            "type": "object",
            "required": ["strategy", "username", "password"],
            "properties": {
                "strategy": word_schema("basic"),
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
            "items": TEXT,
            "minItems": 1,
            "maxItems": 200,
            "description": "Names of the library's events, as in task_completed.",
        },
        "realtime": {
            "type": "boolean",
            "description": "Send each event immediately, in its own webhook.",
        },
    },
}


def _kickoff_schema(inputs: Sequence[Input], *, real: bool) -> Schema:
    """Describe the body of a kickoff."""
    given: Schema = {
        "type": "object",
        "required": [entry.name for entry in inputs if entry.required],
        "description": "Values of any type; other inputs are ignored.",
    }
    if real:
        given["description"] = "Values of any type; other inputs are passed on to the crew."
        given["properties"] = {entry.name: {"description": f"{entry.type} is expected"} for entry in inputs}
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "inputs": given,
            "meta": {"type": ["object", "null"], "description": "Repeated in every webhook."},
            **_URLS,
            "humanInputWebhook": _RECEIVER,
            **({"webhooks": _STREAM} if real else {}),
        },
    }


_RESUME_BODY: Schema = {
    "type": "object",
    "required": ["execution_id", "task_id", "is_approve"],
    "properties": {
        "execution_id": TEXT,
        "task_id": TEXT,
        "human_feedback": {
            "type": ["string", "null"],
            "maxLength": 100_000,
            "description": "What to improve; required for a rejection.",
        },
        "is_approve": {"type": "boolean"},
        **_URLS,
    },
}
_RESUMED = object_schema({"status": word_schema("resumed", "retrying"), "message": TEXT})
_RESUME: Schema = {
    "summary": "Pass human input to a paused execution",
    "description": "The webhooks of the kickoff no longer apply: from now on, only the URLs in this body are called.",
    "operationId": "resume",
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Resume"}}},
    },
    "responses": {"200": _answer("The execution continues.", "Resumed"), **_refer("400", "401", "404", "408", "413")},
}
_METRICS: Schema = {
    "description": "Counts.",
    "content": {"application/openmetrics-text": {"schema": {"type": "string", "pattern": "# EOF\n$"}}},
}

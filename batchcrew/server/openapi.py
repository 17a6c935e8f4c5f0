"""The OpenAPI description of exactly what is served."""

from typing import Any

from batchcrew.server import crew

_ANY: dict[str, Any] = {"type": "object"}
_URL = {"type": ["string", "null"], "pattern": "^https?://"}


def _answer(description: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema or _ANY}}}


def _error(description: str, dialect: str) -> dict[str, Any]:
    required = ["detail"] if dialect == "legacy" else ["error", "message"]
    return _answer(description, {"type": "object", "required": required})


def describe(dialect: str, *, id_first_only: bool) -> dict[str, Any]:
    """The document of `GET /openapi.json`."""
    unauthorized = _error("The bearer token is missing or wrong.", dialect)
    fault = _error("A rehearsed fault.", dialect)
    status = {
        "parameters": [
            {"name": "kickoff_id", "in": "path", "required": True, "schema": {"type": "string"}},
        ],
        "get": {
            "summary": "State and result of an execution",
            "responses": {
                "200": _answer("The execution as it is now."),
                "401": unauthorized,
                "404": _error("There is no such execution.", dialect),
                "500": fault,
                "502": fault,
                "503": fault,
            },
        },
    }
    paths: dict[str, Any] = {
        "/": {
            "get": {
                "summary": "Health",
                "security": [],
                "responses": {"200": {"description": "Healthy", "content": {"text/plain": {}}}},
            }
        },
        "/inputs": {
            "get": {
                "summary": "Inputs that the crew asks for",
                "responses": {
                    "200": _answer("Their names.", {"type": "object", "required": ["inputs"]}),
                    "401": unauthorized,
                },
            }
        },
        "/kickoff": {"post": _kickoff(unauthorized, fault, dialect)},
        "/kickoff/": {"post": _kickoff(unauthorized, fault, dialect)},
        "/{kickoff_id}/status": status,
        "/stats": {
            "get": {
                "summary": "What was asked and what runs (of the embedded server only)",
                "responses": {"200": _answer("Counters."), "401": unauthorized},
            }
        },
        "/openapi.json": {
            "get": {"summary": "This document", "security": [], "responses": {"200": _answer("OpenAPI.")}}
        },
    }
    if not id_first_only:
        paths["/status/{kickoff_id}"] = status
    return {
        "openapi": "3.1.0",
        "info": {"title": "batchcrew's embedded crew", "version": "1", "description": crew.NO_MODEL},
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
        "security": [{"bearer": []}],
        "paths": paths,
    }


def _kickoff(unauthorized: dict[str, Any], fault: dict[str, Any], dialect: str) -> dict[str, Any]:
    body = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "inputs": {"type": "object", "required": list(crew.INPUTS)},
            "meta": {"type": ["object", "null"]},
            "taskWebhookUrl": _URL,
            "stepWebhookUrl": _URL,
            "crewWebhookUrl": _URL,
        },
    }
    started = {
        "type": "object",
        "required": ["kickoff_id"],
        "properties": {"kickoff_id": {"type": "string"}},
    }
    return {
        "summary": "Start an execution",
        "parameters": [
            {"name": "Idempotency-Key", "in": "header", "required": False, "schema": {"type": "string"}},
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": _answer("It has started.", started),
            "400": _error("The body is not as it should be.", dialect),
            "401": unauthorized,
            "413": _error("The body is too large.", dialect),
            "422": _error("Required inputs are missing.", dialect),
            "429": _error("Too many executions are running.", dialect),
            "500": fault,
            "502": fault,
            "503": fault,
        },
    }

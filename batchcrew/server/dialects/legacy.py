"""The dialect of older self-hosted servers: the id before `status`, `final_output`, errors as `detail`."""

from collections.abc import Mapping, Sequence
from typing import Any

from batchcrew.server.dialects.dialect_format import PAUSED, Json, question_field
from batchcrew.server.dialects.guide import Guide
from batchcrew.server.dialects.schemas import QUESTION, TEXT, Schema, list_schema, object_schema, word_schema
from batchcrew.server.report import Input, Phase, Report


class Legacy(Guide):
    """Implements `DialectFormat`."""

    id_first_only = True
    _words: Mapping[Phase, str] = {"waiting": "queued", "running": "in_progress", "paused": PAUSED}

    def inputs(self, inputs: Sequence[Input]) -> Any:
        return [{"name": entry.name, "type": entry.type, "required": entry.required} for entry in inputs]

    def status(self, seen: Report) -> Json:
        if seen.failed:
            return {"status": "failure", "error_message": seen.error}
        if seen.ended:
            return {"status": "success", "final_output": seen.output}
        return {"status": self._words[seen.phase], **question_field(seen)}

    def error(self, title: str, message: str, missing: list[str] | None = None) -> Json:
        if not missing:
            return {"detail": message}
        return {
            "detail": [
                {"type": "missing", "loc": ["body", "inputs", name], "msg": "Field required"} for name in missing
            ]
        }

    def inputs_schema(self) -> Schema:
        return list_schema(object_schema({"name": TEXT, "type": TEXT, "required": {"type": "boolean"}}))

    def status_schema(self, *, real: bool) -> Schema:
        words = ["queued", "in_progress", PAUSED]
        return {
            "oneOf": [
                object_schema({"status": word_schema(*words)}, {"human_input": QUESTION}),
                object_schema({"status": word_schema("success"), "final_output": TEXT}),
                object_schema({"status": word_schema("failure"), "error_message": TEXT}),
            ]
        }

    def error_schema(self) -> Schema:
        return object_schema({"detail": TEXT})

    def missing_schema(self, required: Sequence[str]) -> Schema:
        entry = object_schema({"type": TEXT, "loc": list_schema(TEXT), "msg": TEXT})
        return object_schema({"detail": list_schema(entry, least=1)})

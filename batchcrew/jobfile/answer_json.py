"""Find the JSON in an answer."""

from typing import Any

from batchcrew.base.answer_json import NOT_JSON, json_in
from batchcrew.model.execution import Execution

__all__ = ["NOT_JSON", "json_of"]


def json_of(execution: Execution) -> Any:
    """Return the JSON value of an answer, or NOT_JSON: what the crew sent as JSON, else the JSON in the text.

    The complete text is JSON, or it contains a Markdown fence (with `json` or without a language) around JSON.
    """
    return json_in(execution.result_json, execution.output)

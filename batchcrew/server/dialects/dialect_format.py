"""Define the interface of a dialect: answers and webhooks, and their schemas for the OpenAPI description."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from batchcrew.server.dialects.schemas import Schema
from batchcrew.server.report import Input, Report, StepReport, TaskReport

Json: TypeAlias = dict[str, Any]
Meta: TypeAlias = Mapping[str, Any] | None
MAX_SHOWN = 100
"""Characters of an unknown kickoff id that an answer repeats."""
PAUSED = "Pending Human Input"
"""The status word of an execution that waits for human input, in every dialect."""


class DialectFormat(Protocol):
    """The wording of one dialect."""

    id_first_only: bool
    """True: only `GET /{kickoff_id}/status` is served, not `/status/{kickoff_id}`."""
    unknown_is_404: bool
    """True: the status of an unknown execution is answered with HTTP 404, else with 200."""

    def inputs(self, inputs: Sequence[Input]) -> Any:
        """Return the `inputs` of `GET /inputs`."""
        ...

    def status(self, seen: Report) -> Json:
        """Return the answer to a status request."""
        ...

    def unknown(self, kickoff_id: str) -> Json:
        """Return the answer to a status request for an unknown execution."""
        ...

    def error(self, title: str, message: str, missing: list[str] | None = None) -> Json:
        """Return the body of a refusal.

        Args:
            missing: required inputs that a kickoff does not give.
        """
        ...

    # A webhook carries the `meta` of its kickoff, if there was one.

    def task_webhook(self, seen: Report, task: TaskReport, meta: Meta) -> Json:
        """Return the webhook for a task that ended."""
        ...

    def step_webhook(self, seen: Report, step: StepReport, meta: Meta) -> Json:
        """Return the webhook for a thought of an agent, or its use of a tool."""
        ...

    def crew_webhook(self, seen: Report, meta: Meta) -> Json:
        """Return the webhook for the end of the execution."""
        ...

    # In the schemas, `real` is true for real crews, whose answers hold more than those of the demo crew.

    def inputs_schema(self) -> Schema:
        """Describe the result of `inputs`."""
        ...

    def status_schema(self, *, real: bool) -> Schema:
        """Describe the results of `status`, and of `unknown` where that has HTTP 200."""
        ...

    def error_schema(self) -> Schema:
        """Describe the result of `error` without missing inputs."""
        ...

    def missing_schema(self, required: Sequence[str]) -> Schema:
        """Describe the result of `error` with missing inputs.

        Args:
            required: names of the required inputs.
        """
        ...


def question_field(seen: Report) -> Json:
    """Return the part of a status about the human input that a paused execution requires."""
    return {} if seen.question is None else {"human_input": seen.question}


def artifacts_field(seen: Report) -> Json:
    """Return the part of a status that lists the files which the tasks have written."""
    return {"artifacts": list(seen.artifacts)} if seen.artifacts else {}


def meta_field(meta: Meta) -> Json:
    """Return the part of a webhook that repeats the kickoff's `meta`."""
    return {} if meta is None else {"meta": meta}

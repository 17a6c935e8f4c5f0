"""The rules of `accept:`, each a small class; `JobFileRules` applies them. This is the only place that judges answers.

No rule may hang. RE2 and the patterns of a JSON Schema match in linear time, an expression has the limits of all
templates, and JSON is nested at most 254 levels deep.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, Protocol

import orjson

from batchcrew.base.lookalikes import lookalike
from batchcrew.jobfile.answer_json import NOT_JSON, json_of
from batchcrew.jobfile.template import Template, TemplateProblem
from batchcrew.model.execution import Execution
from batchcrew.model.verdict import ACCEPTED, Answered, Verdict

QUICK_CHARACTERS = 256 * 1024
"""An answer of at most this size is judged in milliseconds by any rule but an expression."""
_REASON_CHARACTERS = 500
_SHOWN_RULE = 200
VARIABLES = ("output", "result", "tasks", "inputs", "row", "job_id", "crew", "date")
"""The names that an expression can use."""


class Answer:
    """One answer; what several rules need is computed once."""

    def __init__(self, answered: Answered) -> None:
        self.answered = answered

    @cached_property
    def text(self) -> str:
        """The answer's text: the output, else its JSON, else the output of the last task that has one."""
        execution = self.answered.execution
        output = execution.output or ""
        if output and not output.isspace():
            return output
        if execution.result_json:
            return orjson.dumps(execution.result_json, default=str).decode()
        return next((task.output for task in reversed(execution.tasks) if task.output), "")

    @cached_property
    def json(self) -> Any:
        """The answer's JSON, or NOT_JSON."""
        return json_of(self.answered.execution)


class Rule(ABC):
    """One rule."""

    @abstractmethod
    def rejects(self, answer: Answer) -> str | None:
        """Return why the answer does not count, or None."""


class NotEmpty(Rule):
    """The answer has an output."""

    def rejects(self, answer: Answer) -> str | None:
        return None if answer.answered.execution.has_output else "it is empty"


class MinLength(Rule):
    """The answer is long enough."""

    def __init__(self, characters: int) -> None:
        self._least = characters

    def rejects(self, answer: Answer) -> str | None:
        length = len(answer.text.strip())
        return None if length >= self._least else f"shorter than min_length ({length} of {self._least} characters)"


class Contains(Rule):
    """The answer contains a text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def rejects(self, answer: Answer) -> str | None:
        return None if self._text in answer.text else f"does not contain: {_shown(self._text)}"


class Pattern(Protocol):
    """A compiled regular expression of RE2."""

    def search(self, text: str) -> object | None:
        """Return the first match, or None."""
        ...


class NotMatching(Rule):
    """The answer does not match a regular expression."""

    def __init__(self, text: str, pattern: Pattern) -> None:
        self._text = text
        self._pattern = pattern

    def rejects(self, answer: Answer) -> str | None:
        try:
            found = self._pattern.search(answer.text)
        except UnicodeEncodeError:  # a lone surrogate
            found = self._pattern.search(answer.text.encode("utf-8", "replace").decode())
        return None if found is None else f"matches not_matching: {_shown(self._text)}"


class IsJson(Rule):
    """The answer is JSON."""

    def rejects(self, answer: Answer) -> str | None:
        return "it is not JSON" if answer.json is NOT_JSON else None


class Validator(Protocol):
    """A compiled JSON Schema."""

    def validate(self, instance: Any) -> None:
        """Raise an error with `message` and `instance_path` if the value is not valid."""
        ...


class MatchesSchema(Rule):
    """The answer's JSON is valid against a JSON Schema."""

    def __init__(self, validator: Validator) -> None:
        self._validator = validator

    def rejects(self, answer: Answer) -> str | None:
        if answer.json is NOT_JSON:
            return "it is not JSON"
        try:
            self._validator.validate(answer.json)
        except Exception as error:  # noqa: BLE001 - the library's errors have no common class
            path = getattr(error, "instance_path", None) or ()
            message = getattr(error, "message", None) or str(error)
            place = f" (at {'.'.join(map(str, path))[:_SHOWN_RULE]})" if path else ""
            return f"not valid against the JSON Schema: {str(message)[:_SHOWN_RULE]}{place}"
        return None


class AnswerTemplate(Template):
    """A template over an answer instead of a row."""

    def _given(self, row: Mapping[str, Any]) -> int:
        output = row.get("output")
        return len(output) if isinstance(output, str) else 0

    def _variables(self, row: Mapping[str, Any], today: str) -> Mapping[str, Any]:
        return {"date": today, **row}


class Holds(Rule):
    """An expression over the answer and its row is true."""

    def __init__(self, template: Template, today: str) -> None:
        self._template = template
        self._today = today
        self.names = template.names

    def rejects(self, answer: Answer) -> str | None:
        answered = answer.answered
        values: dict[str, Any] = {
            "output": answer.text,
            "inputs": answered.inputs,
            "row": answered.row,
            "job_id": answered.job_id,
            "crew": answered.crew,
        }
        if "result" in self.names:
            values["result"] = None if answer.json is NOT_JSON else answer.json
        if "tasks" in self.names:
            values["tasks"] = [asdict(task) for task in answered.execution.tasks]
        try:
            return None if self._template.holds(values, self._today) else "expression is false"
        except TemplateProblem as problem:
            return f"expression failed: {problem}"


class JobFileRules:
    """The rules of a job file, in the order in which they are applied; the first that rejects gives the reason."""

    def __init__(self, rules: Iterable[Rule] = (NotEmpty(),)) -> None:
        self._rules: Sequence[Rule] = tuple(rules)
        names = {name for rule in self._rules if isinstance(rule, Holds) for name in rule.names}
        self._has_expression = any(isinstance(rule, Holds) for rule in self._rules)
        self._only_empty = all(isinstance(rule, NotEmpty) for rule in self._rules)
        self.needs_row = "row" in names
        self.needs_tasks = "tasks" in names

    def is_quick(self, execution: Execution) -> bool:
        """Return whether judging this answer takes microseconds, so that no thread is needed."""
        if self._only_empty:
            return True
        return not self._has_expression and len(execution.answer) <= QUICK_CHARACTERS

    def judge(self, answered: Answered) -> Verdict:
        """Return the verdict on an answer."""
        answer = Answer(answered)
        for rule in self._rules:
            try:
                reason = rule.rejects(answer)
            except Exception as error:  # noqa: BLE001 - an error would end the run, and each next one at this answer
                reason = f"a rule cannot be applied: {type(error).__name__}: {error}"
            if reason is not None:
                return Verdict(rejected=reason[:_REASON_CHARACTERS])
        output = answered.execution.output
        found = lookalike(output) if output else None
        return ACCEPTED if found is None else Verdict(lookalike=found)


def _shown(text: str) -> str:
    """Return the text of a rule as a reason shows it: on one line, cut, without quotes, which vary from job to job."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_RULE else line[:_SHOWN_RULE] + "…"

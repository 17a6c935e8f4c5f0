"""The rules of `accept:`: what each one rejects, its mistakes with their places, and that none of them hangs."""

import json
import sys
import textwrap
import timeit
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from mistakes import Expected, fits

from batchcrew.base.errors import JobFileError
from batchcrew.base.lookalikes import lookalike
from batchcrew.jobfile import JobFile, load_jobfile
from batchcrew.jobfile.answer_rules import Answer, JobFileRules, Rule
from batchcrew.model.execution import Execution, ExecutionState, TaskResult
from batchcrew.model.verdict import Answered, Verdict

LONG = "a" * 4_000_000 + "b"


def loaded(folder: Path, accept: str) -> JobFile:
    """Load a job file with this section; its first line is line 2 of the file."""
    path = folder / "x.yaml"
    section = f"accept:\n{textwrap.indent(textwrap.dedent(accept).strip(), '  ')}\n" if accept else ""
    path.write_text(f"crew: {{url: embedded}}\n{section}jobs: [{{id: a}}]\n", encoding="utf-8")
    return load_jobfile(path, environ={}, today=date(2026, 1, 31))


def verdict(
    folder: Path,
    accept: str,
    output: str | None = None,
    *,
    row: dict[str, Any] | None = None,
    inputs: dict[str, Any] | None = None,
    **answer: Any,
) -> Verdict:
    execution = Execution(state=ExecutionState.SUCCEEDED, word="completed", output=output, **answer)
    answered = Answered(execution=execution, job_id="a", crew="default", inputs=inputs or {}, row=row or {})
    return loaded(folder, accept).rules.judge(answered)


TASK = TaskResult(task_id="t", output="the whole plan", agent="Planner", execution_time=1.5)
FENCED = 'Here is the result:\n\n```json\n{"price": 7}\n```\nBest regards'
SCHEMA = """
json:
  type: object
  required: [price]
  properties:
    price: {type: number, exclusiveMinimum: 0}
    name: {type: string, pattern: "^(a+)+$"}
"""
RULES: list[tuple[str, dict[str, Any], str | None]] = [
    ("", {"output": None}, "it is empty"),
    ("", {"output": " \n\t"}, "it is empty"),
    ("", {"output": "", "result_json": {}}, "it is empty"),
    ("", {"output": "0"}, None),
    ("", {"output": "", "result_json": {"days": 7}}, None),
    ("", {"output": None, "tasks": (TASK,)}, None),
    ("not_empty: false", {"output": None}, None),
    ("not_empty: false\nmin_length: 3", {"output": ""}, "shorter than min_length (0 of 3 characters)"),
    ("min_length: 200", {"output": "  short text  "}, "shorter than min_length (10 of 200 characters)"),
    ("min_length: 10", {"output": "  short text  "}, None),
    ("min_length: 10", {"output": None, "result_json": {"days": 7}}, None),
    ("min_length: 10", {"output": None, "tasks": (TASK,)}, None),
    ("contains: 'Summary:'", {"output": "summary: all is well"}, "does not contain: Summary:"),
    ("contains: ['Summary:', well]", {"output": "Summary: all is well"}, None),
    ("contains: ['Summary:', well]", {"output": "Summary: good"}, "does not contain: well"),
    ("not_matching: ['(?i)as an ai']", {"output": "As an AI, I cannot"}, "matches not_matching: (?i)as an ai"),
    ("not_matching: '(?i)as an ai'", {"output": "As a human, I can"}, None),
    ("not_matching: ['x', '^\\s*n/a']", {"output": " n/a"}, "matches not_matching: ^\\s*n/a"),
    ("json: true", {"output": '{"price": 7}'}, None),
    ("json: true", {"output": "7"}, None),
    ("json: true", {"output": FENCED}, None),
    ("json: true", {"output": "~~~\n[1, 2]\n~~~"}, None),
    ("json: true", {"output": "```python\nprint(1)\n```"}, "it is not JSON"),
    ("json: true", {"output": '```json\n{"price": }\n```'}, "it is not JSON"),
    ("json: true", {"output": "seven"}, "it is not JSON"),
    ("json: true", {"output": "[" * 2000 + "]" * 2000}, "it is not JSON"),
    ("json: true", {"output": "text", "result_json": {"price": 7}}, None),
    ("json: false", {"output": "seven"}, None),
    (SCHEMA, {"output": FENCED}, None),
    (SCHEMA, {"output": "seven"}, "it is not JSON"),
    (SCHEMA, {"output": "{}"}, 'not valid against the JSON Schema: "price" is a required property'),
    (
        SCHEMA,
        {"output": '{"price": "7"}'},
        'not valid against the JSON Schema: the value is not of type "number" (at price)',
    ),
    ("expression: output | length > 3", {"output": "long"}, None),
    ('expression: "{{ output | length > 3 }}"', {"output": "1"}, "expression is false"),
    ("expression: result.price > 5", {"output": FENCED}, None),
    ("expression: result is none", {"output": "text"}, None),
    ("expression: result.price < row.limit | float", {"output": FENCED, "row": {"limit": "8.5"}}, None),
    (
        "expression: row['the limit'] == inputs.most",
        {"output": "x", "row": {"the limit": 1}, "inputs": {"most": 1}},
        None,
    ),
    (
        "expression: tasks[0].agent == 'Planner' and tasks[0].output in output",
        {"output": "the whole plan", "tasks": (TASK,)},
        None,
    ),
    ("expression: job_id == 'a' and crew == 'default' and date == '2026-01-31'", {"output": "x"}, None),
]


@pytest.mark.parametrize(("accept", "answer", "rejected"), RULES)
def test_each_rule_rejects_with_its_reason(
    tmp_path: Path, accept: str, answer: dict[str, Any], rejected: str | None
) -> None:
    assert verdict(tmp_path, accept, **answer).rejected == rejected


def test_an_expression_that_fails_rejects_the_answer_with_its_words(tmp_path: Path) -> None:
    found = verdict(tmp_path, "expression: result.price > 5", output='{"cost": 7}').rejected
    assert found is not None
    assert found.startswith("expression failed: ")
    assert "price" in found


def test_a_rule_that_breaks_rejects_the_answer() -> None:
    class Broken(Rule):
        def rejects(self, answer: Answer) -> str | None:
            raise RecursionError("too deep")

    execution = Execution(state=ExecutionState.SUCCEEDED, word="completed", output="x")
    answered = Answered(execution=execution, job_id="a", crew="default", inputs={}, row={})
    assert JobFileRules([Broken()]).judge(answered).rejected == "a rule cannot be applied: RecursionError: too deep"


MISTAKES: dict[str, tuple[str, Expected]] = {
    "unknown rule": ("min_lenght: 3", ("x.yaml:3:3", "min_lenght", "min_length")),
    "not a number": ("min_length: many", ("x.yaml:3:15", "`accept.min_length`", "many")),
    "invalid pattern": ("not_matching: [ok, '(']", ("x.yaml:3:22", "`accept.not_matching`", "missing )")),
    "look-around": ("not_matching: '(?=x)'", ("x.yaml:3:17", "`accept.not_matching`", "look-around")),
    "a pattern that grows": ("not_matching: '((a{1000}){1000}){1000}'", ("x.yaml:3:17", "`accept.not_matching`")),
    "not a schema": ("json: maybe", ("x.yaml:3:9", "`accept.json`", "maybe")),
    "invalid schema": (
        "json:\n  properties:\n    a: {type: nope}",
        ("x.yaml:5:17", "`accept.json`", "properties.a.type"),
    ),
    "invalid pattern in a schema": ("json: {pattern: '(?=x)'}", ("x.yaml:3:19", "`accept.json`", "look-around")),
    "schema from elsewhere": ("json: {$ref: 'http://127.0.0.1:9/x'}", ("x.yaml:3:9", "`accept.json`", "127.0.0.1:9")),
    "unknown name": ("expression: outptu == 1", ("x.yaml:3:15", "'outptu'", "'output'")),
    "invalid expression": ("expression: 'output =='", ("x.yaml:3:15", "`accept.expression`")),
}


@pytest.mark.parametrize(("accept", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_has_its_place(tmp_path: Path, accept: str, message: Expected) -> None:
    with pytest.raises(JobFileError) as raised:
        loaded(tmp_path, accept)
    (said,) = str(raised.value).replace(f"{tmp_path}/", "").splitlines()
    assert fits(said, message), said


@pytest.mark.parametrize(("module", "accept"), [("re2", "not_matching: x"), ("jsonschema_rs", "json: {type: object}")])
def test_without_the_extra_a_rule_that_needs_it_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, accept: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(JobFileError, match=r"pip install 'batchcrew\[accept\]'"):
        loaded(tmp_path, accept)
    assert verdict(tmp_path, "json: true\ncontains: '7'\nexpression: result == 7", output="7").rejected is None


@pytest.mark.timeout(60)
@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(a|a?)+$", "(.*a){20}$", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_a_regular_expression_made_to_hang_does_not(tmp_path: Path, pattern: str) -> None:
    """With Python's `re`, each of these takes longer than the universe is old."""
    verdict(tmp_path, f"not_matching: '{pattern}'", output=LONG)
    accept = f"json: {{properties: {{text: {{pattern: '{pattern}'}}}}, patternProperties: {{'{pattern}': {{}}}}}}"
    verdict(tmp_path, accept, output=json.dumps({"text": LONG, "a" * 50 + "!": 1}))


@pytest.mark.timeout(60)
def test_a_schema_made_to_recurse_does_not_end_the_process(tmp_path: Path) -> None:
    deep = "[" * 250 + "]" * 250
    for schema in (
        "{$ref: '#'}",
        "{$defs: {n: {anyOf: [{type: string}, {items: {$ref: '#/$defs/n'}}]}}, $ref: '#/$defs/n'}",
    ):
        verdict(tmp_path, f"json: {schema}", output=deep)


@pytest.mark.timeout(60)
def test_many_fences_take_linear_time(tmp_path: Path) -> None:
    for text in (
        "```json\n" * 300_000,
        "```json\n{\n```\n" * 200_000,
        "`" * 4_000_000,
        " " * 4_000_000 + "```",
        "```" + " " * 4_000_000 + "x",
    ):
        assert verdict(tmp_path, "json: true", output=text).rejected == "it is not JSON"


LOOKALIKES: dict[str, str | None] = {
    "None": "no answer",
    "null": "no answer",
    " N/A.\n": "no answer",
    "**None**": "no answer",
    "{}": "no answer",
    "[]": "no answer",
    "I'm sorry, but I can't help with that.": "an apology",
    "I\u2019m sorry, I cannot do this": "an apology",
    "As an AI language model, I have no opinion": "an apology",
    "Agent stopped due to iteration limit or time limit.": "an apology",
    "Error code: 429 - {'error': {'message': 'Rate limit reached'}}": "an error text",
    "litellm.RateLimitError: quota": "an error text",
    "0": None,
    "no": None,
    "A plan for three days in Tokyo.": None,
    "I'm sorry to hear it was late": "an apology",
    "How servers answer when a rate limit is reached: " + "text " * 100: None,
}


@pytest.mark.parametrize(("text", "kind"), LOOKALIKES.items())
def test_answers_that_look_like_none_are_recognized_and_not_rejected(
    tmp_path: Path, text: str, kind: str | None
) -> None:
    assert lookalike(text) == kind
    found = verdict(tmp_path, "", output=text)
    assert (found.rejected, found.lookalike) == (None, kind)


def test_the_default_rules_look_at_the_beginning_of_an_answer_only(tmp_path: Path) -> None:
    """Their cost does not depend on the length of an answer: that of a long one is that of a short one, in steps."""
    rules = loaded(tmp_path, "").rules
    answers = [Execution(state=ExecutionState.SUCCEEDED, word="x", output="plan " * size) for size in (100, 1_000_000)]
    answered = [Answered(execution=answer, job_id="a", crew="c", inputs={}, row={}) for answer in answers]
    assert [rules.judge(each).rejected for each in answered] == [None, None]
    assert all(map(rules.is_quick, answers))


if __name__ == "__main__":  # python tests/unit/test_accept_rules.py: what the default rules cost for each job
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        rules = loaded(Path(folder), "").rules
        for size in (20, 200, 4000):
            execution = Execution(state=ExecutionState.SUCCEEDED, word="x", output=("A plan for " * size)[:size])
            answered = Answered(execution=execution, job_id="a", crew="c", inputs={}, row={})
            seconds = min(timeit.repeat(lambda: rules.judge(answered), number=20_000, repeat=5)) / 20_000  # noqa: B023
            print(f"{size} characters: {seconds * 1e6:.2f} µs")

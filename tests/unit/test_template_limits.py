"""Hostile templates: each ends early, with its place and the limit, and without much memory."""

import tracemalloc
from itertools import count

import pytest

from batchcrew.jobfile.answer_rules import AnswerTemplate, Holds, JobFileRules
from batchcrew.jobfile.template import Template, TemplateProblem
from batchcrew.jobfile.template_limits import MAX_STEPS
from batchcrew.model.execution import Execution, ExecutionState
from batchcrew.model.job import Location
from batchcrew.model.verdict import Answered

PLACE = Location("x.yaml", 7, 9)
BIG = {"big": "y" * 500_000, "items": list(range(5000))}
LOOPS = "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}"
HOSTILE = [
    LOOPS,
    "{% for i in range(9999) %}{% for j in range(9999) %}{% set x = i * j %}{% endfor %}{% endfor %}",
    "{% set x %}{% for i in range(9999) %}{% for j in range(999) %}{{ big }}{% endfor %}{% endfor %}{% endset %}",
    "{% set x %}{% for i in range(9999) %}{% for j in range(99) %}"
    + "z" * 1000
    + "{% endfor %}{% endfor %}{% endset %}",
    "{% macro f(x) %}{{ f(x ~ x) }}{% endmacro %}{{ f('abcdefgh') }}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% macro f(x, n) %}{% if n %}{{ f([x, x], n - 1) }}{% else %}{{ x }}{% endif %}{% endmacro %}{{ f(1, 40) }}",
    "{% macro f(x, n) %}{% if n %}{{ f(x + x, n - 1) }}{% endif %}{% endmacro %}{{ f([1], 40) }}",
    "{% for i in range(99) recursive %}{{ loop(range(99)) }}{% endfor %}",
    "{{ big ~ big ~ big }}",
    "{{ ('a' * 10**9) | length }}",
    "{{ 'abc' * 1000 * 1000 * 1000 }}",
    "{{ ([1] * 10**9) | length }}",
    "{{ 2 ** 1000000000 }}",
    "{{ 'x' | center(10**9) }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ '%(a)s%(a)s%(a)s' % {'a': big} }}",
    "{{ '{:>1000000000}'.format(1) }}",
    "{{ '{0}{0}{0}'.format(big) | length }}",
    "{{ 'x' | indent(10**9, true) }}",
    "{{ ('\n' * 9999) | indent(9999, blank=true) | length }}",
    "{{ big | replace('y', 'yyyyyyyyyy') | length }}",
    "{{ big.replace('y', 'yyyyyyyyyy') | length }}",
    "{{ ('a' * 9999) | replace('a', 'a' * 9999) | length }}",
    "{{ items | join('z' * 9999) | length }}",
    "{{ ('z' * 9999).join(items | map('string')) | length }}",
    "{{ lipsum(10**6) }}",
    "{{ items | batch(10**9, 1) | list }}",
    "{{ items | slice(10**9) | list }}",
    "{{ big | wordwrap(1) | length }}",
    "{{ big | urlize | length }}",
    "{{ 1.5 | round(10**9) }}",
    "{{ (1).to_bytes(10**9, 'big') | length }}",
    "{{ ('x'.encode() * 10**9) | length }}",
    "{{ ('%999999999d'.encode() % 1) | length }}",
    "{{ 'aaaa'.translate({97: big}) | length }}",
    "{{ [big, big, big] | tojson | length }}",
]


# those that define macros take seconds until their time is over
@pytest.mark.parametrize(
    "text", [pytest.param(text, marks=[pytest.mark.crash] if "{% macro" in text else []) for text in HOSTILE]
)
def test_a_hostile_template_ends_without_much_memory(text: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(TemplateProblem):
            Template(text, where=PLACE, name="id").render(BIG, "2026-01-31")
        assert tracemalloc.get_traced_memory()[1] < 80 * 2**20
    finally:
        tracemalloc.stop()


def test_a_loop_without_end_names_its_place_and_the_limit() -> None:
    with pytest.raises(
        TemplateProblem, match=rf"x\.yaml:7:9\): more than {MAX_STEPS:,} loop iterations and calls; use"
    ):
        Template(LOOPS, where=PLACE, name="id", clock=lambda: 0.0).render({}, "2026-01-31")


def test_the_time_of_a_rendering_is_limited() -> None:
    clock = count()
    template = Template(LOOPS, where=PLACE, name="id", clock=lambda: float(next(clock)))
    with pytest.raises(TemplateProblem, match=r"x\.yaml:7:9\): rendering takes longer than 5 s; use fewer"):
        template.render({}, "2026-01-31")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (
            "{% for a, b in [(1, 2), (3, 4)] %}{{ loop.index }}/{{ loop.length }}:{{ a }}{{ b }} {% endfor %}",
            "1/2:12 2/2:34 ",
        ),
        ("{% set a, b = 1, 2 %}{{ a ~ '-' ~ b }}", "1-2"),
        ("{% for x in [3, 1] if x > 1 %}{{ x }}{% else %}none{% endfor %}", "3"),
        ("{% macro f(n) %}<{{ n }}>{% endmacro %}{{ f(1) }}{{ f(2) }}", "<1><2>"),
        ("{{ [[1], [2]] | sum(start=[]) }}", [1, 2]),
        ("{{ [{'a': 1}, {'a': 2}] | sum('a') }}", 3),
        ("{{ [{'a': 'x'}, {'a': 'y'}] | join(', ', 'a') }}", "x, y"),
        ("{{ 'a-b' | replace('-', '+') }}", "a+b"),
        ("{{ 'a b c'.replace(' ', '', 1) }}", "ab c"),
        ("{{ '-'.join(['a', 'b']) }}", "a-b"),
        ("{{ {'a': [1, 2]} | tojson }}", '{"a": [1, 2]}'),
        ("{{ [2, 1] | sort | first }}", 1),
    ],
)
def test_ordinary_templates_render_as_before(text: str, value: object) -> None:
    found = Template(text, where=PLACE, name="id").render({}, "2026-01-31")
    assert str(found) == str(value)


def test_a_hostile_accept_expression_rejects_the_answer_and_the_next_one_is_judged() -> None:
    text = "{% if output == 'slow' %}" + LOOPS + "{% endif %}true"
    rules = JobFileRules([Holds(AnswerTemplate(text, where=PLACE, name="accept.expression"), "2026-01-31")])

    def judged(output: str) -> str | None:
        execution = Execution(state=ExecutionState.SUCCEEDED, word="completed", output=output)
        return rules.judge(Answered(execution=execution, job_id="a", crew="default", inputs={}, row={})).rejected

    reason = judged("slow")
    assert reason is not None
    assert reason.startswith("expression failed: ")
    assert "x.yaml:7:9" in reason
    assert f"more than {MAX_STEPS:,} loop iterations" in reason
    assert judged("good") is None


@pytest.mark.parametrize(
    "text", ["output | lower | length > 5", "'END' in output.upper()", "output.split() | length > 9"]
)
def test_an_answer_that_is_larger_than_the_limit_of_values_can_be_judged(text: str) -> None:
    template = AnswerTemplate(text, where=PLACE, name="accept.expression", condition=True)
    rules = JobFileRules([Holds(template, "2026-01-31")])
    execution = Execution(state=ExecutionState.SUCCEEDED, word="completed", output="a word " * 700_000 + "end")
    judged = rules.judge(Answered(execution=execution, job_id="a", crew="default", inputs={}, row={}))
    assert judged.rejected is None

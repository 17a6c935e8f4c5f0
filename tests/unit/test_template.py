"""Templates over a row: types, names, and the limits of the sandbox."""

from typing import Any

import pytest
from mistakes import Expected, fits

from batchcrew.jobfile.template import Template, TemplateProblem
from batchcrew.jobfile.template_limits import MAX_TEXT
from batchcrew.model.job import Location

ROW: dict[str, Any] = {"age": "35", "first name": "Bo", "tags": ["a", "b"], "n": 2, "email": "b@x.example"}
PLACE = Location("x.yaml", 1, 1)


def template(text: str, *, condition: bool = False) -> Template:
    return Template(text, where=PLACE, name="id", condition=condition)


def render(text: str, row: dict[str, Any] | None = None) -> Any:
    return template(text).render(ROW if row is None else row, "2026-01-31")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ age }}", "35"),
        ("{{ age | int }}", 35),
        ("{{ n }}", 2),
        ("{{ n * 2 }}", 4),
        ("{{ tags }}", ["a", "b"]),
        ("{{ n }}.", "2."),
        (" {{ n }}", " 2"),
        ("{{ n }}{{ n }}", "22"),
        ("{{ none }}", None),
        ("{{ n > 1 }}", True),
        ("{{ row['first name'] }}", "Bo"),
        ("{{ row.age }}", "35"),
        ("{{ row }}", ROW),
        ("{{ date }}", "2026-01-31"),
        ("{{ missing | default('x') }}", "x"),
        ("{{ missing is defined }}", False),
        ("{{ tags | join(', ') | upper }}", "A, B"),
        ("{{ tags | map('upper') | list }}", ["A", "B"]),
        ("{{ '<b>' | escape }}", "&lt;b&gt;"),
        ("{% for tag in tags %}{{ tag }};{% endfor %}", "a;b;"),
        ("{# nothing #}text", "text"),
        ("line\n", "line\n"),
        ("{{ 'x' * 3 }}", "xxx"),
        ("{{ 2 ** 10 }}", 1024),
        ("{{ '%05d' % n }}", "00002"),
        ("{{ '{:>3}'.format(n) }}", "  2"),
        ("{{ 'x' | center(5) }}", "  x  "),
        ("{{ 'a\nb' | indent(2) }}", "a\n  b"),
        ("{{ '%s!' | format(n) }}", "2!"),
        ("{{ range(3) | list }}", [0, 1, 2]),
    ],
)
def test_values(text: str, value: Any) -> None:
    found = render(text)
    assert found == value
    assert type(found) is type(value)


def test_a_date_column_comes_before_today_and_row_is_always_the_row() -> None:
    row = {"date": "1999-01-01", "row": "x"}
    assert render("{{ date }}", row) == "1999-01-01"
    assert render("{{ row }}", row) == row


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ emial }}", "`id` '{{ emial }}': unknown column 'emial' (did you mean 'email'?)"),
        ("{{ emial | upper }}", ("`id` '{{ emial | upper }}'", "`emial`", "`email`")),
        ("x {{ zzz }}", ("`id` 'x {{ zzz }}'", "`zzz`")),
        ("{{ row['frst name'] }}", ("`id` \"{{ row['frst name'] }}\"", "'frst name'", "`first name`")),
        ("{{ age.nope }}", "`id` '{{ age.nope }}': 'str object' has no attribute 'nope'"),
        ("{{ age if false }}", "`id` '{{ age if false }}': missing value; an `if` needs its `else`"),
        ("{{ 1 / 0 }}", "`id` '{{ 1 / 0 }}': ZeroDivisionError: division by zero"),
        ("{{ 1e200 * 1e200 }}", "`id` '{{ 1e200 * 1e200 }}': inf does not exist in JSON"),
        (
            "{{ tags | map('upper') }}",
            "`id` \"{{ tags | map('upper') }}\": invalid value: a generator (expected text, a number, a "
            "list or a mapping); end with `| list`",
        ),
        ("{% include 'x' %}", "`id` \"{% include 'x' %}\": TypeError: no loader for this environment specified"),
    ],
)
def test_a_template_that_a_row_cannot_fill_is_reported(text: str, message: Expected) -> None:
    with pytest.raises(TemplateProblem) as caught:
        render(text)
    assert fits(str(caught.value), message)


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'x' * 10**9 }}",
        "{{ [1] * 10**9 }}",
        "{{ 10**9 * 'x' }}",
        "{{ 9 ** 99999999 }}",
        "{{ range(10**9) | list }}",
        "{{ '%999999999d' % 1 }}",
        "{{ '%*d' % (10**9, 1) }}",
        "{{ '%999999999d' | format(1) }}",
        "{{ '{:999999999}'.format(1) }}",
        "{{ '{:{}}'.format(1, 10**9) }}",
        "{{ 'x' | center(10**9) }}",
        "{{ 'x\ny' | indent(10**9) }}",
        "{{ age.ljust(10**9) }}",
        "{{ age.zfill(10**9) }}",
        "{% for i in range(9999) %}{% for j in range(9999) %}0123456789{% endfor %}{% endfor %}",
        "{{ ''.__class__.__mro__ }}",
        "{{ row.__init__.__globals__ }}",
        "{{ tags.append('c') }}",
        "{{ row.update({}) }}",
        "{{ ().__class__.__base__.__subclasses__() }}",
        "{{ lipsum(n=10**6) }}",
        "{{ cycler.__init__ }}",
        "{{ tags | random }}",
    ],
)
def test_the_sandbox_keeps_in(text: str) -> None:
    with pytest.raises(TemplateProblem):
        render(text)
    assert ROW["tags"] == ["a", "b"]


def test_a_text_has_a_size() -> None:
    with pytest.raises(TemplateProblem, match=r"x.yaml:1:1\): a value is larger than 1,048,576 characters"):
        render("{{ x ~ x }}", {"x": "y" * (MAX_TEXT // 2 + 1)})


@pytest.mark.parametrize(
    "text", ["{{ age", "{% if %}", "{{ age | nope }}", "{{ }}", "{{" + "(" * 500 + "1" + ")" * 500 + "}}"]
)
def test_an_invalid_template_is_refused(text: str) -> None:
    with pytest.raises(TemplateProblem):
        template(text)


def test_the_line_of_a_mistake_in_a_long_template() -> None:
    with pytest.raises(TemplateProblem, match="in its line 2: "):
        template("a\n{{ b\n")


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("{{ age == '35' }}", True),
        ("age == '35'", True),
        ("age | int > 40", False),
        ("{{ n }}", True),
        ("{{ none }}", False),
        ("{{ tags }}", True),
        ("True", True),
        ("{{ 'yes' }}", True),
        ("{{ ' No ' }}", False),
        ("{{ '' }}", False),
        ("{% if n > 1 %}true{% endif %}", True),
    ],
)
def test_conditions(text: str, holds: bool) -> None:
    assert template(text, condition=True).holds(ROW, "2026-01-31") is holds


def test_other_text_is_not_a_condition() -> None:
    with pytest.raises(TemplateProblem, match=r"invalid value: 'b@x\.example' \(expected true or false, as in"):
        template("{{ email }}", condition=True).holds(ROW, "2026-01-31")


def test_ids_are_text() -> None:
    assert template("{{ n }}").text(ROW, "") == "2"
    with pytest.raises(TemplateProblem, match=r"\(expected text\)"):
        template("{{ tags }}").text(ROW, "")


def test_uses_date() -> None:
    assert template("{{ date }}").uses_date
    assert not template("{{ row['date'] }}").uses_date


NOT_NUMBERS: list[Any] = ["", " ", None, "unknown", "12 USD", "1,000", "1_000", True, [1], {}, "inf", "nan"]


@pytest.mark.parametrize("name", ["int", "float"])
@pytest.mark.parametrize("value", NOT_NUMBERS, ids=repr)
def test_a_value_that_is_not_a_number_is_an_error_and_a_default_replaces_it(name: str, value: Any) -> None:
    row = {"age": value}
    with pytest.raises(TemplateProblem) as raised:
        render(f"{{{{ age | {name} }}}}", row)
    assert "(at x.yaml:1:1)" in str(raised.value)
    assert f"`{name}(default=0)`" in str(raised.value)
    with pytest.raises(TemplateProblem):
        template(f"age | {name} < 60", condition=True).holds(row, "2026-01-31")
    assert render(f"{{{{ age | {name}(default=7) }}}}", row) == 7
    assert render(f"{{{{ age | {name}(7) }}}}", row) == 7
    assert render(f"{{{{ age | {name}(default=none) }}}}", row) is None


@pytest.mark.parametrize(
    ("text", "value", "number"),
    [
        ("int", " 42 ", 42),
        ("int", "-7", -7),
        ("int", "3.0", 3),
        ("int", 3.9, 3),
        ("int", "1e3", 1000),
        ("int", 2**70, 2**70),
        ("int(base=16)", "1F", 31),
        ("int(0)", "5", 5),
        ("float", " 1.5 ", 1.5),
        ("float", 2, 2.0),
        ("float(0)", "1e3", 1000.0),
    ],
)
def test_numbers_are_converted(text: str, value: Any, number: float) -> None:
    made = render(f"{{{{ age | {text} }}}}", {"age": value})
    assert made == number
    assert type(made) is type(number)


def test_a_default_does_not_hide_a_missing_column() -> None:
    with pytest.raises(TemplateProblem, match="unknown column 'ages'"):
        render("{{ ages | int(default=0) }}")

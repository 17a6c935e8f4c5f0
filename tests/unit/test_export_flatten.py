"""Answers that are JSON become columns, and columns are chosen by name."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from batchcrew.base.errors import UsageError
from batchcrew.base.export_columns import ATTEMPT_COLUMNS, EXPORT_COLUMNS, TASK_COLUMNS, TOKEN_COLUMNS, exported
from batchcrew.model.job import JobState
from batchcrew.model.views import ResultRow
from batchcrew.reports.export import groups
from batchcrew.reports.export.csv_format import cell_text
from batchcrew.reports.export.flatten import MOST_COLUMNS, MOST_LEVELS, FlatAnswers, leaves
from batchcrew.reports.export.markdown_format import MOST_CHARACTERS, markdown_cell
from batchcrew.reports.export.rows import export
from batchcrew.reports.export.table import Column, ColumnType, Table, build_table, own_column, select_columns
from batchcrew.reports.export.types import Types


def answer(output: str | None = None, *, result_json: Any = None, **row: Any) -> ResultRow:
    return ResultRow(job_id="a", crew="c", row=row, state=JobState.SUCCEEDED, output=output, result_json=result_json)


def flattened(*rows: ResultRow) -> tuple[FlatAnswers, tuple[Column, ...]]:
    flat = FlatAnswers()
    for row in rows:
        flat.see(row)
    return flat, flat.columns()


def written(table: Table, rows: list[ResultRow], format: str) -> bytes:  # noqa: A002 - its name
    async def stream() -> AsyncIterator[ResultRow]:
        for row in rows:
            yield row

    out = io.BytesIO()
    asyncio.run(export(stream(), table, format=format, path=None, stdout=out))
    return out.getvalue()


def test_keys_of_answers_are_typed_columns() -> None:
    rows = [
        answer('{"lead_score": 7, "who": {"name": "Ana", "tags": ["x"]}, "ok": true}'),
        answer('Here it is:\n```json\n{"lead_score": 8.5, "who": {"name": null}}\n```\nDone.'),
        answer(result_json={"extra": {}, "lead_score": 1}),
        answer("no JSON"),
        answer("[1, 2]"),
        answer(None),
    ]
    flat, columns = flattened(*rows)
    assert [(column.name, column.type) for column in columns] == [
        ("output.lead_score", ColumnType.NUMBER),
        ("output.who.name", ColumnType.TEXT),
        ("output.who.tags", ColumnType.JSON),
        ("output.ok", ColumnType.BOOLEAN),
        ("output.extra", ColumnType.JSON),
    ]
    assert [[column.value(row) for column in columns] for row in rows] == [
        [7, "Ana", ["x"], True, None],
        [8.5, None, None, None, None],
        [1, None, None, None, {}],
        *[[None] * 5] * 3,
    ]
    assert not flat.left_out
    data = written(build_table([], groups=columns), rows, "parquet")
    read = pyarrow.parquet.read_table(io.BytesIO(data))
    assert read.column("output.lead_score").to_pylist() == [7.0, 8.5, 1.0, None, None, None]
    assert read.column("output.ok").to_pylist()[0] is True
    assert json.loads(read.column("output.who.tags").to_pylist()[0]) == ["x"]


def test_columns_that_collide_are_all_there() -> None:
    row = answer('{"a.b": 1, "a": {"b": 2}}', **{"output.a.b": "own"})
    _, columns = flattened(row)
    table = build_table(["output.a.b"], groups=columns)
    values = json.loads(written(table, [row], "jsonl"))
    assert values["output.a.b"] == "own"
    assert values["batchcrew_output.a.b"] == 1
    assert values["batchcrew_output.a.b_2"] == 2


def test_the_number_of_columns_their_names_and_their_depth_are_limited() -> None:
    flat, columns = flattened(*(answer(json.dumps({f"k{n}": 1, f"l{n}": 2})) for n in range(MOST_COLUMNS)))
    assert (len(columns), flat.left_out) == (MOST_COLUMNS, True)
    flat, columns = flattened(answer(json.dumps({"x" * 1000: 1, "y": 2})))
    assert ([column.name for column in columns], flat.left_out) == (["output.y"], True)
    deep: Any = 1
    for _ in range(100):
        deep = {"k": deep}
    ((path, value),) = leaves(deep)
    assert len(path) == MOST_LEVELS
    assert isinstance(value, Mapping)
    _, columns = flattened(answer('{"a":' * 100_000 + "1" + "}" * 100_000))
    assert columns == ()


def test_a_formula_in_a_key_or_a_value_is_escaped() -> None:
    row = answer('{"x": "=1+1"}')
    _, columns = flattened(row)
    text = written(build_table([], groups=columns), [row], "csv").decode()
    assert text.splitlines()[1].endswith(",'=1+1")


@settings(max_examples=30)
@given(st.lists(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.just([1])))
def test_the_type_of_a_column_has_all_its_values(values: list[Any]) -> None:
    types = Types()
    for value in values:
        types.see(value)
    table = Table(columns=(own_column("v", type=types.type),))
    read = pyarrow.parquet.read_table(io.BytesIO(written(table, [answer(v=value) for value in values], "parquet")))
    found = read.column("v").to_pylist()
    if types.type is ColumnType.JSON:
        found = [None if value is None else json.loads(value) for value in found]
        values = [
            None if isinstance(value, float) and value in (float("inf"), -float("inf")) else value for value in values
        ]
    elif types.type is ColumnType.NUMBER:
        values = [None if value is None else float(value) for value in values]
    assert found == values


# columns -------------------------------------------------------------------------------------------------------------


def test_columns_are_chosen_by_name_in_their_order() -> None:
    table = build_table(["city", "output"], groups=())
    row = replace(answer("ours"), row={"city": "Ulm", "output": "own"})
    chosen = select_columns(table, ["batchcrew_output", "city", "error", "total_tokens"], groups.TOKEN_COLUMNS)
    assert written(chosen, [row], "csv").decode() == "batchcrew_output,city,error,total_tokens\nours,Ulm,,\n"
    assert json.loads(written(chosen, [row], "jsonl")) == {
        "batchcrew_output": "ours", "city": "Ulm", "error": None, "total_tokens": None}  # fmt: skip
    assert written(select_columns(table, ["output"]), [row], "csv").decode() == "output\nown\n"
    for names in (["nope"], ["city", "city"], ["city", "total_tokens"]):
        with pytest.raises(UsageError):
            select_columns(table, names)


def test_a_row_that_is_blank_is_a_line() -> None:
    assert written(select_columns(build_table(["a"]), ["a"]), [answer(a="")], "csv").decode() == 'a\n""\n'


def test_where_needed_columns_can_be_chosen() -> None:
    row = replace(answer(None, result_json={"a": 1}), possible_duplicate=True)
    table = select_columns(build_table([]), ["result_json", "possible_duplicate"])
    assert written(table, [row], "csv").decode() == 'result_json,possible_duplicate\n"{""a"":1}",true\n'


def test_the_groups_have_the_columns_that_are_recognized_when_an_export_is_read_again() -> None:
    assert [column.base for column in groups.TOKEN_COLUMNS] == list(TOKEN_COLUMNS)
    assert [column.base for column in groups.TASK_COLUMNS] == list(TASK_COLUMNS)
    assert [column.base for column in groups.ATTEMPT_COLUMNS] == list(ATTEMPT_COLUMNS)
    own = ["task_id", "attempt", "total_tokens", "output.x"]
    assert exported([*own, *EXPORT_COLUMNS]) == set(EXPORT_COLUMNS)
    added = [column.name for column in build_table(own, groups=groups.TOKEN_COLUMNS).fixed[len(own) :]]
    assert exported([*own, *added, "output.y"]) == {*added, "output.y"}
    assert "batchcrew_total_tokens" in added


# markdown ------------------------------------------------------------------------------------------------------------


def test_a_table_shows_text_and_nothing_else() -> None:
    assert markdown_cell("a|b\nc") == "a&#124;b<br>c"
    assert markdown_cell("<script>") == "&lt;script&gt;"
    assert markdown_cell("*x* `y` [z](u)") == r"\*x\* \`y\` \[z\](u)"
    assert markdown_cell("https://x www.y @z #1") == "https<!-- -->://x www<!-- -->.y @<!-- -->z #<!-- -->1"
    assert markdown_cell("\x1b[2J\u202e\0") == r"\\x1b\[2J\\u202e"
    assert markdown_cell(None) == ""
    long = markdown_cell("x" * (MOST_CHARACTERS + 7))
    assert long == "x" * MOST_CHARACTERS + " … (7 more characters)"


@settings(max_examples=50)
@given(st.text())
def test_a_cell_of_a_table_is_one_cell_and_shows_its_text(text: str) -> None:
    html = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(
        f"| a | b |\n|---|---|\n| {markdown_cell(text)} | end |\n"
    )
    assert html.count("<td>") == 2
    for tag in ("<script", "<a ", "<em", "<strong", "<code", "<s>", "<img"):
        assert tag not in html
    assert cell_text("plain") in markdown_cell("plain")

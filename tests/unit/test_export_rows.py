"""Exports: the columns of the rows file and those of batchcrew, as cells that are safe in a spreadsheet."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcrew.base.errors import UsageError
from batchcrew.base.export_columns import EXPORT_COLUMNS, WHERE_NEEDED
from batchcrew.base.export_columns import exported as export_columns
from batchcrew.model.job import JobState
from batchcrew.model.views import ResultRow
from batchcrew.reports.export.csv_format import csv_cell, json_text
from batchcrew.reports.export.export_format import ExportFormat
from batchcrew.reports.export.formats import EXPORT_FORMATS
from batchcrew.reports.export.output import Target
from batchcrew.reports.export.rows import export
from batchcrew.reports.export.table import Table, build_table, export_names


def result(row: dict[str, Any], **values: Any) -> ResultRow:
    return ResultRow(**{"job_id": "a", "crew": "default", "row": row, "state": JobState.SUCCEEDED, **values})


DONE: dict[str, Any] = {
    "output": "Seven days in Tokyo.",
    "attempts_used": 2,
    "kickoff_id": "abcd-1234",
    "kicked_off_at": "2026-02-03T04:05:06.000Z",
    "ended_at": "2026-02-03T04:07:06.000Z",
    "execution_time": 108.5,
}


async def stream(rows: Iterable[ResultRow]) -> AsyncIterator[ResultRow]:
    for row in rows:
        yield row


async def exported(rows: Iterable[ResultRow], columns: Iterable[str], format: str) -> str:  # noqa: A002 - its name
    out = io.BytesIO()
    rows = list(rows)
    assert await export(stream(rows), build_table(list(columns)), format=format, path=None, stdout=out) == len(rows)
    return out.getvalue().decode()


def read_csv(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def read_row(format: str, data: bytes) -> dict[str, Any]:  # noqa: A002 - its name
    """Return the only row of an export, by the headers."""
    match format:
        case "csv":
            header, row = read_csv(data.decode())
        case "tsv":
            header, row = csv.reader(io.StringIO(data.decode(), newline=""), delimiter="\t", strict=True)
        case "md":
            header, _, row = ([cell.strip().replace("\\", "") for cell in line[1:-1].split("|")]
                              for line in data.decode().splitlines())  # fmt: skip
        case "xlsx":
            header, row = openpyxl.load_workbook(io.BytesIO(data)).active.iter_rows(values_only=True)
        case "parquet":
            (values,) = pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist()
            return dict(values)
        case _:
            return dict(json.loads(data.strip(b"[]\n")))
    return dict(zip(header, row, strict=True))


# shapes --------------------------------------------------------------------------------------------------------------


class BinaryWriter:
    """Writes bytes that are not UTF-8, all at the end, as a workbook is written."""

    def __init__(self, table: Table) -> None:
        self._rows = 0

    def begin(self, target: Target) -> None:
        pass

    def add(self, target: Target, rows: Sequence[ResultRow]) -> None:
        self._rows += len(rows)

    def end(self, target: Target) -> None:
        target.write(b"\xff\x00" * self._rows)


async def test_a_binary_format_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXPORT_FORMATS, "bin", ExportFormat(name="bin", writer=BinaryWriter, binary=True))
    rows, out, path = [result({"a": "1"}), result({"a": "2"})], io.BytesIO(), tmp_path / "out.bin"
    assert await export(stream(rows), build_table(["a"]), format="bin", path=path, stdout=out) == 2
    assert await export(stream(rows), build_table(["a"]), format="bin", path=None, stdout=out) == 2
    assert path.read_bytes() == out.getvalue() == b"\xff\x00\xff\x00"


async def test_a_binary_format_is_not_written_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXPORT_FORMATS, "bin", ExportFormat(name="bin", writer=BinaryWriter, binary=True))

    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    with pytest.raises(UsageError, match="--output"):
        await export(stream([result({"a": "1"})]), build_table(["a"]), format="bin", path=None, stdout=terminal)
    assert terminal.getvalue() == b""


async def test_csv_is_the_same_spreadsheet_with_its_answers() -> None:
    rows = [
        result({"email": "jane@x.example", "hobby": "games, food"}, **DONE),
        result(
            {"email": "joe@x.example", "hobby": 'a "quote"\nand a line'}, state=JobState.FAILED, reason="no flights"
        ),
    ]
    assert await exported(rows, ["email", "hobby"], "csv") == (
        "email,hobby,batchcrew_state,job_id,output,error,attempts,kickoff_id,started_at,ended_at,execution_time\n"
        'jane@x.example,"games, food",succeeded,a,Seven days in Tokyo.,,2,abcd-1234,'
        "2026-02-03T04:05:06.000Z,2026-02-03T04:07:06.000Z,108.5\n"
        'joe@x.example,"a ""quote""\nand a line",failed,a,,no flights,0,,,,\n'
    )


async def test_jsonl_keeps_types_and_gives_result_json_where_there_is_one() -> None:
    rows = [
        result(
            {"n": 5, "tags": ["a", None], "ok": True, "none": None, "deep": {"x": 1.5}}, **DONE, result_json={"a": 1}
        ),
        result({"n": 6}, possible_duplicate=True),
    ]
    lines = [
        json.loads(line) for line in (await exported(rows, ["n", "tags", "ok", "none", "deep"], "jsonl")).splitlines()
    ]
    assert lines[0] == {
        "n": 5,
        "tags": ["a", None],
        "ok": True,
        "none": None,
        "deep": {"x": 1.5},
        "batchcrew_state": "succeeded",
        "job_id": "a",
        "error": None,
        "output": "Seven days in Tokyo.",
        "attempts": 2,
        "kickoff_id": "abcd-1234",
        "started_at": "2026-02-03T04:05:06.000Z",
        "ended_at": "2026-02-03T04:07:06.000Z",
        "execution_time": 108.5,
        "result_json": {"a": 1},
    }
    assert list(lines[0]) == ["n", "tags", "ok", "none", "deep", *EXPORT_COLUMNS, "result_json"]
    assert list(lines[1]) == ["n", *EXPORT_COLUMNS, "possible_duplicate"]


@pytest.mark.parametrize("number", [0, 1, 3, 1200])
async def test_json_is_an_array_of_what_jsonl_has(number: int) -> None:
    rows = [result({"n": n}, **DONE) for n in range(number)]
    lines = (await exported(rows, ["n"], "jsonl")).splitlines()
    assert json.loads(await exported(rows, ["n"], "json")) == [json.loads(line) for line in lines]
    assert len(lines) == number


async def test_csv_values_that_are_not_text() -> None:
    row = {"a": 1, "b": -2.5, "c": True, "d": False, "e": None, "f": ["x", 1], "g": {"k": "v"}, "i": 2**70}
    text = await exported([result(row)], [*row, "missing"], "csv")
    assert read_csv(text)[1][:9] == ["1", "-2.5", "true", "false", "", '["x",1]', '{"k":"v"}', str(2**70), ""]


async def test_an_empty_batch_has_its_header() -> None:
    assert read_csv(await exported([], ["a"], "csv")) == [["a", *EXPORT_COLUMNS]]
    assert await exported([], ["a"], "jsonl") == ""
    assert await exported([], ["a"], "json") == "[]\n"


def test_columns_that_the_file_has_already_stay_its_own() -> None:
    assert export_names(["city"]) == {name: name for name in (*EXPORT_COLUMNS, *WHERE_NEEDED)}
    names = export_names(["output", "error", "batchcrew_error", "batchcrew_state", "attempts", "batchcrew_attempts_2"])
    assert names["output"] == "batchcrew_output"
    assert names["error"] == "batchcrew_error_2"
    assert names["batchcrew_state"] == "batchcrew_state_2"
    assert names["attempts"] == "batchcrew_attempts"
    assert names["kickoff_id"] == "kickoff_id"


@pytest.mark.parametrize("format", ["csv", "jsonl"])
async def test_an_export_that_is_run_and_exported_again_keeps_both(format: str) -> None:  # noqa: A002 - its name
    columns = ["city", *EXPORT_COLUMNS]
    text = await exported([result(dict.fromkeys(columns, "old"), **DONE)], columns, format)
    if format == "csv":
        header, row = read_csv(text)
        values: dict[str, Any] = dict(zip(header, row, strict=True))
    else:
        values = json.loads(text)
    assert values["output"] == "old"
    assert values["batchcrew_output"] == DONE["output"]
    assert values["batchcrew_state"] == "old"
    assert values["batchcrew_state_2"] == "succeeded"


async def test_a_rows_own_key_is_not_lost_to_ours_even_outside_the_columns() -> None:
    row = json.loads(await exported([result({"output": "own"}, output="ours")], ["city"], "jsonl"))
    assert (row["output"], row["batchcrew_output"]) == ("own", "ours")


@pytest.mark.parametrize("format", list(EXPORT_FORMATS))
@pytest.mark.parametrize("own", [True, False])
async def test_every_format_has_the_job_id_next_to_a_column_of_that_name(
    format: str,  # noqa: A002 - its name
    own: bool,
) -> None:
    row = {"city": "Ulm", **({"job_id": "mine"} if own else {})}
    out = io.BytesIO()
    table = build_table(list(row))
    await export(stream([result(row, job_id="theirs")]), table, format=format, path=None, stdout=out)
    values = read_row(format, out.getvalue())
    assert values["batchcrew_job_id" if own else "job_id"] == "theirs"
    assert values["job_id"] == ("mine" if own else "theirs")
    assert export_columns(list(values)) == set(values) - set(row)


def test_the_job_id_of_a_file_in_an_export_of_an_earlier_version_is_the_files_own() -> None:
    earlier = ["job_id", "city", *(column for column in EXPORT_COLUMNS if column != "job_id")]
    assert export_columns(earlier) == set(EXPORT_COLUMNS) - {"job_id"}


# hostile cells -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+cmd|' /C calc'!A0", "-2+3+cmd|x", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1",
     "\u00a0=1", "\ufeff=1",
     "\x00=1", "\x01=1", "\u200b=1",
     "\uff1d1", "\uff0bA1", "\uff0dA1", "\uff20x", "\tx", "\rx", "=", "+A1", "-item", "+1e", "- 1 item",
     '=HYPERLINK("http://x")', "@handle", "-5 USD"],
)  # fmt: skip
async def test_cells_of_a_crew_that_a_spreadsheet_would_run_are_made_harmless(cell: str) -> None:
    text = await exported([result({"=a": cell}, output=cell, reason=cell, kickoff_id=cell)], ["=a"], "csv")
    values = dict(zip(*read_csv(text), strict=True))
    for column in ("output", "error", "kickoff_id"):
        assert values[column] == "'" + cell.replace("\x00", "")
    assert values["=a"] == cell.replace("\x00", "")  # the file's own columns are as they were
    own = json.loads(await exported([result({"a": cell})], ["a"], "jsonl"))["a"]
    assert own == cell


@pytest.mark.parametrize(
    "cell",
    ["-5", "+5", "-5.25", "-1,000.50", "+49 151 234-5678", "+49 (0)151/234", "-", "--", "-5%", "-1.5e-7", "+1E10",
     "-€5", "5=5", "a@b.c", "a-b", "'=1", "  indented", "", " ", "2026-02-03", "\u00fc"],
)  # fmt: skip
async def test_numbers_and_telephone_numbers_stay_untouched(cell: str) -> None:
    text = await exported([result({"a": cell}, output=cell)], ["a"], "csv")
    values = dict(zip(*read_csv(text), strict=True))
    assert values["a"] == cell
    assert values["output"] == cell


async def test_formulas_of_a_crew_are_kept_on_request() -> None:
    table = replace(build_table(["a"]), formulas="keep")
    out = io.BytesIO()
    await export(stream([result({"a": "1"}, output="=1+1")]), table, format="csv", path=None, stdout=out)
    assert read_csv(out.getvalue().decode())[1][3] == "=1+1"


async def test_nul_characters_and_lone_surrogates() -> None:
    rows = [result({"a": "x\x00y"}, output="\ud800\x00", result_json={"k\udfff": 2**70, "nan": float("nan")})]
    values = dict(zip(*read_csv(await exported(rows, ["a"], "csv")), strict=True))
    assert (values["a"], values["output"]) == ("xy", "\ufffd")
    row = json.loads(await exported(rows, ["a"], "jsonl"))
    assert (row["a"], row["output"]) == ("x\x00y", "\ud800\x00")
    assert row["result_json"] == {"k\udfff": 2**70, "nan": None}


def test_json_that_is_too_deep_or_odd_is_still_json() -> None:
    deep: Any = "end"
    for _ in range(900):
        deep = [deep]
    assert "nested deeper" in json_text(deep)
    assert json.loads(json_text({1: {None: Path("x")}})) == {"1": {"None": "x"}}
    assert json_text(float("inf")) == "null"


@pytest.mark.parametrize("format", ["csv", "jsonl", "json"])
async def test_large_outputs_survive(format: str, tmp_path: Path) -> None:  # noqa: A002 - its name
    output = 'é,"\n\x00' * 1_000_000
    path = tmp_path / "out"
    rows = [result({"n": str(n)}, output=output) for n in range(3)]
    assert await export(stream(rows), build_table(["n"]), format=format, path=path, stdout=io.BytesIO()) == 3
    text = path.read_bytes().decode()
    if format == "csv":
        csv.field_size_limit(10_000_000)
        assert [row[3] for row in read_csv(text)[1:]] == [output.replace("\x00", "")] * 3
    else:
        values = json.loads(text) if format == "json" else [json.loads(line) for line in text.splitlines()]
        assert [row["output"] for row in values] == [output] * 3


# round trips ---------------------------------------------------------------------------------------------------------

CELLS = st.text(st.characters(codec="utf-8"))
SAFE_CELLS = CELLS.map(lambda text: "x" + text.replace("\x00", ""))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.lists(st.tuples(SAFE_CELLS, SAFE_CELLS, CELLS), max_size=5))
def test_csv_gives_back_the_files_own_columns(rows: list[tuple[str, str, str]]) -> None:
    columns = ["first", "second, with a comma"]
    results = [result(dict(zip(columns, row[:2], strict=True)), output=row[2]) for row in rows]
    table = read_csv(asyncio.run(exported(results, columns, "csv")))
    assert table[0][:2] == columns
    assert [tuple(row[:2]) for row in table[1:]] == [row[:2] for row in rows]
    for row, (_, _, output) in zip(table[1:], rows, strict=True):
        assert row[4] in {(output).replace("\x00", ""), "'" + output.replace("\x00", "")}


def test_megabytes_of_blanks_do_not_slow_the_formula_check() -> None:
    assert csv_cell("-" + " " * 5_000_000 + "x").startswith("'-")


@given(CELLS)
def test_no_cell_of_csv_begins_a_formula(text: str) -> None:
    (cell,) = read_csv(csv_cell(text) + ",")[0][:1]
    begin = cell.lstrip()[:1]
    if begin and begin in "=@\uff1d\uff0b\uff0d\uff20":
        raise AssertionError(cell)
    if begin and begin in "+-":
        assert not any(character.isalpha() and character not in "eE" for character in cell)
        assert not set(cell) & set("=@|!'\"")


@given(st.dictionaries(st.text(), JSON, max_size=4), JSON)
def test_jsonl_gives_back_the_files_own_values(row: dict[str, Any], answer: Any) -> None:
    text = asyncio.run(exported([result(row, result_json=answer)], list(row), "jsonl"))
    assert text.count("\n") == 1
    values = json.loads(text)
    assert {key: values[key] for key in row} == row
    assert list(values)[: len(row)] == list(row)
    assert values.get(export_names(list(row))["result_json"]) == answer

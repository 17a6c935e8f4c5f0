"""The columns of the report's table come back as they were, whatever their encoding."""

import asyncio
import json
import zlib
from array import array
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchcrew.ledger.reads.job_table import JobPage
from batchcrew.reports.html import jobs_table
from batchcrew.reports.html.columns import LONGEST_TEXT, Encoded, NumberColumn, Spools, TextColumn, duration_code
from batchcrew.reports.html.jobs_table import JobsTable, read_table
from batchcrew.reports.html.markdown import as_html


def planes(data: bytes, rows: int, width: int) -> list[int]:
    return [sum(data[plane * rows + row] << (8 * plane) for plane in range(width)) for row in range(rows)]


def decoded(column: Encoded, rows: int) -> list[Any]:
    """Decode a column as `report.js` does."""
    facts, data = column.facts, zlib.decompress(column.data.read(), 31)
    assert len(data) == facts["raw"]
    if facts["kind"] == "dictionary":
        return [facts["values"][code] for code in planes(data, rows, facts["width"])]
    if facts["kind"] == "number":
        codes = planes(data, rows, facts["width"])
        if facts["delta"]:
            for row in range(1, rows):
                codes[row] = (codes[row] + codes[row - 1]) % 2 ** (8 * facts["width"])
        return [code - 1 if code else None for code in codes]
    lengths, start = planes(data, rows, 2), (3 if facts["front"] else 2) * rows
    texts: list[bytes] = []
    for row, length in enumerate(lengths):
        shared = data[2 * rows + row] if facts["front"] else 0
        texts.append((texts[-1][:shared] if shared else b"") + data[start : start + length])
        start += length
    assert start == len(data)
    assert sum(map(len, texts)) == facts["bytes"]
    return [text.decode("utf-8") for text in texts]


def text_column(values: Sequence[str], **options: Any) -> tuple[str, list[str]]:
    with Spools() as spools:
        column = TextColumn(spools, **options)
        for start in range(0, len(values), 7):
            column.add(values[start : start + 7])
        encoded = column.finish()
        return encoded.facts["kind"], decoded(encoded, len(values))


@settings(max_examples=30)
@given(st.lists(st.text(max_size=20), max_size=60))
def test_texts_come_back(values: list[str]) -> None:
    expected = [value.encode("utf-8", "replace").decode() for value in values]
    assert text_column(values)[1] == expected
    assert text_column([f"{place}-{value}" for place, value in enumerate(values * 3)])[1] == [
        f"{place}-{value}" for place, value in enumerate(expected * 3)
    ]


@given(st.lists(st.none() | st.integers(0, 2**32 - 2), min_size=1, max_size=60))
def test_numbers_come_back(values: list[int | None]) -> None:
    with Spools() as spools:
        column = NumberColumn(spools)
        column.add(values)
        assert decoded(column.finish(), len(values)) == values


def test_the_encoding_fits_the_values() -> None:
    sequence = [f"lead-{place:06d}" for place in range(500)]
    assert text_column(sequence) == ("text", sequence)
    assert text_column(["a", "b", ""] * 100) == ("dictionary", ["a", "b", ""] * 100)
    assert text_column(sequence, filtered=True) == ("dictionary", sequence)
    assert text_column(["x" * 10**6])[1] == ["x" * (LONGEST_TEXT - 1) + "…"]


def test_values_that_are_numbers_are_sorted_as_numbers() -> None:
    with Spools() as spools:
        column = TextColumn(spools)
        column.add(["10", "9", "", "-2.5"] * 20)
        assert column.finish().facts["values"] == ["", "-2.5", "9", "10"]


@given(st.lists(st.floats(0, 10**6), min_size=2))
def test_durations_keep_their_order_and_are_as_exact_as_they_are_shown(seconds: list[float]) -> None:
    codes = [duration_code(one) for one in sorted(seconds)]
    assert codes == sorted(code for code in codes if code is not None)
    assert duration_code(None) is None
    assert [duration_code(one) for one in (0.25, 12.34, 9.999, 100, 3600.4)] == [25, 1023, 1000, 1900, 5400]


def pages(rows: Sequence[dict[str, str]]) -> AsyncIterator[JobPage]:
    async def made() -> AsyncIterator[JobPage]:
        number = len(rows)
        yield JobPage(
            job_ids=tuple(f"job-{place}" for place in range(number)),
            states=("succeeded",) * number,
            crews=("default",) * number,
            fingerprints=("",) * number,
            reasons=("",) * number,
            attempts_used=(1,) * number,
            started=(0.0,) * number,
            seconds=(1.5,) * number,
            tokens=(None,) * number,
            rows=tuple(json.dumps(row) for row in rows),
        )

    return made()


def table(rows: Sequence[dict[str, str]], columns: Sequence[str]) -> JobsTable:
    with Spools() as spools:
        return asyncio.run(read_table(pages(rows), columns, ["job-1"], spools=spools))


def test_columns_beyond_the_limit_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"small": "x", "large": str(place * 7919**9), "id": f"job-{place}"} for place in range(400)]
    monkeypatch.setattr(jobs_table, "TABLE_LIMIT", 3000)
    made = table(rows, ["large", "small", "id"])
    assert [column.name for column in made.columns if not column.key] == ["small"]  # `id` is what job_id is
    assert (made.left_out, made.more_left_out, made.wanted) == (["large"], 0, {"job-1": 1})


def test_a_file_with_thousands_of_columns_has_some_of_them() -> None:
    columns = [f"column {place}" for place in range(10_000)]
    made = table([dict.fromkeys(columns, "x")], columns)
    assert (len([column for column in made.columns if not column.key]), made.more_left_out) == (60, 9940)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# One\n\n*two* <b>three</b>", "<h4>One</h4>\n<p><em>two</em> &lt;b&gt;three&lt;/b&gt;</p>\n"),
        ('{"a": "<script>"}', "<pre>{\n  &quot;a&quot;: &quot;&lt;script&gt;&quot;\n}</pre>"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>\n"),
        ("![a pixel](https://example.com/p.png)", "<p>[image: a pixel]</p>\n"),
        ("a\x00b\x1b[1m", "<p>a\\x00b\\x1b[1m</p>\n"),
        (
            "[x](https://example.com)",
            '<p><a href="https://example.com" rel="noopener noreferrer nofollow">x</a></p>\n',
        ),
    ],
)
def test_markdown_of_answers_can_do_nothing(text: str, html: str) -> None:
    assert as_html(text) == html


def test_templates_are_in_the_wheel() -> None:
    """Hatch takes every file of the package that Git does not ignore."""
    templates = Path(jobs_table.__file__).parent / "templates"
    assert {path.name for path in templates.iterdir()} >= {
        "report.css",
        "report.js",
        "report.html.j2",
        "sections.html.j2",
    }
    assert array("I").itemsize == 4  # of the columns' numbers

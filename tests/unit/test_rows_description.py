"""How a job file describes its rows files: rows, encoding, delimiter, columns; and likely slips in YAML rows."""

from datetime import date
from pathlib import Path

import pytest

from batchcrew.jobfile import JobFile, Problems, Question, RowsDescription, load_jobfile
from batchcrew.model.job import Location
from batchcrew.reports.rows_files import questions_json, render_questions, render_rows_files, rows_files_json

TODAY = date(2026, 1, 31)


def load(folder: Path, jobs: str) -> JobFile:
    (folder / "x.yaml").write_text(f"crew: {{url: embedded}}\njobs:\n{jobs}")
    return load_jobfile(folder / "x.yaml", environ={}, today=TODAY)


def read(jobfile: JobFile) -> int:
    problems = Problems()
    number = sum(1 for _ in jobfile.jobs(problems))
    problems.raise_if_any()
    return number


FILES: dict[str, tuple[str, bytes, str, int, str, str | None, tuple[str, ...]]] = {
    "csv": ("r.csv", b"id, a \n1,x\n2,y\n", "", 2, "UTF-8", ",", ("id", "a")),
    "found": ("r.csv", b"id;a\n1;x\n", "", 1, "UTF-8", ";", ("id", "a")),
    "given": ("r.csv", b"id#a\n1#x\n", ', delimiter: "#"', 1, "UTF-8", "#", ("id", "a")),
    "sep line": ("r.csv", b"sep=|\r\nid|a\r\n1|x\r\n", "", 1, "UTF-8", "|", ("id", "a")),
    "tsv": ("r.tsv", b"id\ta\n1\tx\n", "", 1, "UTF-8", "\t", ("id", "a")),
    "cp1252": ("r.csv", b"id,\xe9\n1,x\n", ", encoding: cp1252", 1, "cp1252", ",", ("id", "é")),
    "UTF-8 by name": ("r.csv", b"\xef\xbb\xbfid,a\n1,x\n", ", encoding: utf8", 1, "UTF-8", ",", ("id", "a")),
    "jsonl": ("r.jsonl", b'{"id": "1", "a": 1}\n{"id": "2", "b": 1}\n', "", 2, "UTF-8", None, ("id", "a")),
    "json": ("r.json", b'[{"id": "1", "a": 1}]', "", 1, "UTF-8", None, ("id", "a")),
    "yaml": ("r.yaml", b"- {id: x, a: y}\n", "", 1, "UTF-8", None, ("id", "a")),
    "where": ("r.csv", b"id,a\n1,x\n2,y\n", ", where: \"{{ a == 'x' }}\"", 2, "UTF-8", ",", ("id", "a")),
}


@pytest.mark.parametrize(
    ("name", "content", "options", "rows", "encoding", "delimiter", "columns"), FILES.values(), ids=FILES
)
def test_description(
    tmp_path: Path,
    name: str,
    content: bytes,
    options: str,
    rows: int,
    encoding: str,
    delimiter: str | None,
    columns: tuple[str, ...],
) -> None:
    (tmp_path / name).write_bytes(content)
    jobfile = load(tmp_path, f"  - {{rows: {name}{options}}}\n")
    (before,) = jobfile.describe()
    assert before.rows is None
    read(jobfile)
    for _ in range(2):  # a second reading counts from the start
        read(jobfile)
        assert jobfile.describe() == (
            RowsDescription(
                name=str(tmp_path / name), rows=rows, encoding=encoding, delimiter=delimiter, columns=columns
            ),
        )


def test_a_file_of_several_entries_is_described_once_for_each_way_of_reading(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("id,a\n1,x\n")
    (tmp_path / "s.csv").write_text("k,b\n1,x\n")
    jobfile = load(tmp_path, '  - rows: r.csv\n  - rows: s.csv\n  - rows: r.csv\n  - {rows: r.csv, delimiter: ";"}\n')
    assert [Path(file.name).name for file in jobfile.describe()] == ["r.csv", "s.csv", "r.csv"]
    read(jobfile)
    assert [file.rows for file in jobfile.describe()] == [1, 1, 1]


def test_a_file_that_is_gone_is_described_without_columns(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("id,a\n1,x\n")
    jobfile = load(tmp_path, "  - rows: r.csv\n")
    (tmp_path / "r.csv").unlink()
    (file,) = jobfile.describe()
    assert (file.rows, file.delimiter, file.columns) == (None, None, ())
    assert jobfile.questions() == ()


NUMBERS = {
    "007": ("007", "7", "zeros"),
    "telephone": ("+49170", "49170", "text"),
    "version": ("3.10", "3.1", "text"),
    "exponent": ("12e5", "1200000.0", "text"),
    "hexadecimal": ("0x1F", "31", "text"),
    "octal": ("0o17", "15", "text"),
    "point": (".5", "0.5", "text"),
}


@pytest.mark.parametrize(("text", "number", "kept"), NUMBERS.values(), ids=NUMBERS)
def test_a_yaml_row_whose_number_comes_back_differently_is_reported(
    tmp_path: Path, text: str, number: str, kept: str
) -> None:
    (tmp_path / "r.yaml").write_text(f"- {{k: x, a: {text}}}\n")
    jobfile = load(tmp_path, "  - rows: r.yaml\n")
    assert jobfile.row_warnings() == ()
    assert read(jobfile) == 1
    assert jobfile.row_warnings() == (
        f"{tmp_path}/r.yaml:1:13: {text} is read as the number {number}; quote it to keep its {kept} (column `a`)",
    )


def test_slips_are_reported_once_for_each_column(tmp_path: Path) -> None:
    rows = "".join(f"- {{k: x{number}, a: +{number}, b: {{c: [1.0, 1.50]}}, d: 3}}\n" for number in range(1, 1_001))
    (tmp_path / "r.yaml").write_text(rows)
    jobfile = load(tmp_path, "  - rows: r.yaml\n")
    for _ in range(2):
        read(jobfile)
        a, b = jobfile.row_warnings()
        assert a.endswith("(column `a`); 999 more values of this column are alike")
        assert "1.50" in b
    (tmp_path / "r.yaml").write_text("- {k: x, a: +1}\n- {k: y, a: +2}\n")
    read(jobfile)
    assert jobfile.row_warnings()[0].endswith("(column `a`); 1 more value of this column is alike")


@pytest.mark.parametrize("row", ['{k: x, a: "+1"}', "{k: x, a: 1, b: 1.5, c: -3, +1: x}", "{k: x, a: [1, 2]}"])
def test_values_that_are_read_as_written_are_not_reported(tmp_path: Path, row: str) -> None:
    (tmp_path / "r.yaml").write_text(f"- {row}\n")
    (tmp_path / "r.json").write_text('[{"a": 1.50}]')
    jobfile = load(tmp_path, "  - rows: r.yaml\n  - rows: r.json\n")
    read(jobfile)
    assert jobfile.row_warnings() == ()


def test_slips_in_many_columns_and_in_a_long_number_stay_short(tmp_path: Path) -> None:
    columns = ", ".join(f"c{number}: +1{'0' * 3_000}" for number in range(100))
    (tmp_path / "r.yaml").write_text(f"- {{{columns}}}\n")
    jobfile = load(tmp_path, "  - rows: r.yaml\n")
    read(jobfile)
    assert sum(map(len, jobfile.row_warnings())) < 10_000


def described(*columns: str, rows: int | None = 1_200, delimiter: str | None = ";") -> RowsDescription:
    return RowsDescription(name="leads.csv", rows=rows, encoding="UTF-8", delimiter=delimiter, columns=columns)


def test_render_rows_files() -> None:
    files = [described("name", "email", "notes"), described("a", rows=1, delimiter="\t"), described(delimiter=None)]
    assert list(render_rows_files(files, width=80)) == [
        "  leads.csv: 1,200 rows, UTF-8, delimiter ';', 3 columns: name, email, notes",
        "  leads.csv: 1 row, UTF-8, delimiter tab, 1 column: a",
        "  leads.csv: 1,200 rows, UTF-8",
    ]
    assert list(render_rows_files(files[:1], width=73)) == [
        "  leads.csv: 1,200 rows, UTF-8, delimiter ';', 3 columns: name, email, …"
    ]
    assert list(render_rows_files(files[:1], width=10)) == [
        "  leads.csv: 1,200 rows, UTF-8, delimiter ';', 3 columns: name, …"
    ]
    many = list(render_rows_files(files * 10, width=80))
    assert len(many) == 21
    assert many[-1] == "  and 10 more rows files"


@pytest.mark.parametrize("width", range(70, 95))
def test_columns_are_cut_at_the_width(width: int) -> None:
    (line,) = render_rows_files([described(*["abcdef"] * 50)], width=width)
    assert len(line) <= width


def test_hostile_names_are_cleaned() -> None:
    (line,) = render_rows_files([described("a\x1b[2J", "x\u202e" * 500)], width=300)
    assert line.isprintable()
    assert len(line) < 200
    (_, asked) = render_questions([Question(where=Location("a\x1b.csv", 1), message="x\ny")])
    assert asked == r"    a\x1b.csv:1: x y"


def test_render_questions() -> None:
    question = Question(where=Location("r.csv", 3), message="is it right?")
    assert list(render_questions([])) == []
    assert list(render_questions([question])) == ["  1 question about rows files:", "    r.csv:3: is it right?"]
    many = list(render_questions([question] * 25))
    assert many[0] == "  25 questions about rows files:"
    assert many[-1] == "    and 5 more"
    assert str(Question(where=Location("r.csv"), message="x")) == "r.csv: x"


def test_json() -> None:
    assert rows_files_json([described("a")]) == [
        {"name": "leads.csv", "rows": 1_200, "encoding": "UTF-8", "delimiter": ";", "sheet": None, "columns": ("a",)}
    ]
    question = Question(where=Location("r.csv", 3), message="is it right?")
    assert questions_json([question]) == [{"file": "r.csv", "line": 3, "message": "is it right?"}]

"""Questions about rows files that can be read and may lie; and that files without a fault get none."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchcrew.jobfile.rows.data_like import data_in_header, kind_of, repeated_header
from batchcrew.jobfile.rows.misread import better_encoding, find_control, find_lost, find_misread, find_page
from batchcrew.jobfile.rows.questions import Question, questions_about
from batchcrew.jobfile.rows.rows_file import RowsFile


def asked(path: Path, content: str | bytes, **options: Any) -> tuple[Question, ...]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return questions_about(RowsFile(path=path, name=path.name, **options))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "r.csv"


DATA = {
    "number": "12,Berlin\n7,Ulm\n",
    "amount": "1.200,50;Berlin\n99,90;Ulm\n",
    "money": '"$1,200.50",Berlin\n$7,Ulm\n',
    "quantity": "7 days,Berlin\n10 days,Ulm\n",
    "date": "2024-01-31,Berlin\n2024-02-01,Ulm\n",
    "German date": "31.01.2024,Berlin\n1.2.24,Ulm\n",
    "time": "2024-01-31T10:00:00Z,Berlin\n2024-02-01 11:30,Ulm\n",
    "e-mail address": "Anna,anna@example.com\nBob,bob@example.org\n",
    "URL": "Anna,https://example.com/a\nBob,http://example.org\n",
    "UUID": "Anna,123e4567-e89b-12d3-a456-426614174000\nBob,123e4567-e89b-12d3-a456-426614174001\n",
    "telephone number": "Anna,+49 170 1234567\nBob,0170 7654321\n",
    "telephone numbers of two kinds": "Anna,+49 170 1234567\nBob,01707654321\n",
    "year of birth": "Anna,1987\nBob,1990\n",
    "true or false": "Anna,true\nBob,false\n",
    "own ids": "lead-001,Anna\nlead-002,Bob\n",
    "equal values": "Berlin,open\nUlm,closed\nBonn,open\nBerlin,new\n",
    "one column": "anna@example.com\nbob@example.com\n",
    "an index": "0,Anna\n1,Bob\n",
    "an index and an address": "0,1,anna@example.com\n1,5,bob@example.com\n",
    "small numbers": "3,3,4\n5,4,4\n",
    "half of the values": "12,Berlin\n7,Ulm\nunknown,Bonn\n",
    "blank lines before it": "\n\n12,Berlin\n7,Ulm\n",
}


@pytest.mark.parametrize("content", DATA.values(), ids=DATA)
def test_a_first_line_of_data_is_questioned(path: Path, content: str) -> None:
    (question,) = asked(path, content)
    assert question.where.line == content.index(content.strip()[0]) + 1
    assert "the first line may be a row" in question.message
    assert "add a first line that names the columns" in question.message


HEADERS = {
    "names": "name,email,age\nAnna,anna@example.com,35\nBob,b@example.com,40\n",
    "years over numbers": "region,2023,2024\nNorth,1500,1700\nSouth,300,200\n",
    "dates over numbers": "region,2024-01-01,2024-02-01\nNorth,1500,1700\nSouth,300,200\n",
    "URLs over text": "https://schema.org/name,https://schema.org/age\nAnna,35\nBob,40\n",
    "fiscal years": "region,2023-2024\nNorth,1500\nSouth,300\n",
    "numbered by a program": "0,1,2\n12,7,8\n3,4,5\n",
    "numbered from one": "1,2\n12,7\n3,4\n",
    "numbered by pandas": "team,0,1,2\nUlm,12,7,8\nBonn,3,4,5\n",
    "a series of pandas": "0\n12\n7\n",
    "numbered before names": "0,1,2,class\n12,7,8,a\n3,4,5,b\n",
    "numbered in pairs": "net,1,1,2,2,3,3\nx,12,7,8,7,8,9\ny,3,4,5,1,2,3\n",
    "years that are old": "region,1700,1900,2030\nNorth,34.5,34.5,34.5\nSouth,12,11,10\n",
    "limits": "city,1,5,10,50,100,500\nUlm,12,7,8,7,8,9\nBonn,3,4,5,1,2,3\n",
    "an id": "id,12\n1,7\n2,8\n",
    "tags": "name,vip,newsletter\nAnna,vip,\nBob,,newsletter\nEva,vip,newsletter\n",
    "one value that is the name": "priority,name\npriority,Anna\nstandard,Bob\nlow,Eva\n",
    "a row alone": "name,age\nAnna,35\n",
    "no row": "12,13\n",
    "questions": "What is your age?,How many pets?\n35,2\n12,1\n",
    "numbered names": "address1,address2\nRoad 1,Road 2\n",
}


@pytest.mark.parametrize("content", HEADERS.values(), ids=HEADERS)
def test_a_header_is_not_questioned(path: Path, content: str) -> None:
    assert asked(path, content) == ()


WORD = st.text(st.characters(categories=["Lu", "Ll", "Lo"]), min_size=1, max_size=10)
PLAIN_NAME = st.one_of(
    st.builds("".join, st.lists(WORD, min_size=1, max_size=2)),
    st.builds(" ".join, st.lists(WORD, min_size=2, max_size=4)),
    st.builds("_".join, st.lists(WORD, min_size=2, max_size=4)),
    st.builds(lambda word, unit: f"{word} ({unit})", WORD, st.sampled_from(["USD", "€", "%", "2024", "kg/m²"])),
    st.builds(lambda word, number: f"{word} {number}", WORD, st.sampled_from(["?", "*", "No.", "#"])),
    st.sampled_from(["%", "#", "€", "2nd phone", "1st", "E-Mail", "Q1 2024", "A/B", "x.y", "@", "URL", "https", "No."]),
).filter(lambda name: name.casefold() not in {"true", "false", "yes", "no"})
VALUE = st.one_of(
    st.integers().map(str),
    st.floats(allow_nan=False).map(str),
    st.emails(),
    st.uuids().map(str),
    st.dates().map(str),
    st.datetimes().map(str),
    st.sampled_from(["", "true", "yes", "+49 170 1234567", "https://example.com", "12 USD", "lead-001", "1,200.50"]),
    st.text(max_size=12),
)


@settings(max_examples=80, deadline=None)
@given(data=st.data(), header=st.lists(PLAIN_NAME, min_size=1, max_size=5, unique=True))
def test_plain_names_are_never_taken_for_data(data: st.DataObject, header: list[str]) -> None:
    names = {name.strip() for name in header}
    cells = VALUE.filter(lambda value: value.strip() not in names)
    row = st.lists(cells, min_size=len(header), max_size=len(header))
    rows = list(enumerate(data.draw(st.lists(row, max_size=8)), start=2))
    assert data_in_header(header, rows) is None
    assert repeated_header(header, rows) is None


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.emails(), st.dates(), st.integers(2_101, 10**9)), min_size=2, max_size=8, unique=True),
    number=st.integers(0, 2),
)
def test_rows_without_a_header_are_questioned(rows: list[tuple[Any, ...]], number: int) -> None:
    lines = [(line, ["Berlin", str(row[number])]) for line, row in enumerate(rows, start=1)]
    assert data_in_header(lines[0][1], lines[1:]) is not None


@pytest.mark.parametrize("cell", ["1" * 200, "1 " * 100, "a@" * 100, "+" + "(" * 199, "-" * 200, "1," * 100])
def test_the_kind_of_a_hostile_cell_is_found(cell: str) -> None:
    kind_of(cell)  # a pattern that goes back and forth would take years


def test_a_header_that_comes_again_is_questioned(path: Path) -> None:
    (question,) = asked(path, "name,age\nAnna,35\nname,age\nBob,40\n")
    assert question.where.line == 3
    assert "repeats the header of line 1" in question.message


def test_a_header_of_another_file_is_questioned(path: Path) -> None:
    (question,) = asked(path, "name,age,city,pets\nAnna,35,Ulm,1\nname,age,city,cats\nBob,40,Rom,0\n")
    assert question.where.line == 3


ONE_COLUMN: dict[str, tuple[str, str, dict[str, str], str]] = {
    "semicolon": ("r.csv", "email;city\na@b.c;Ulm\nb@b.c;Bonn\n", {"delimiter": ","}, '`delimiter: ";"`'),
    "comma": ("r.csv", "email,city\na@b.c,Ulm\nb@b.c,Bonn\n", {"delimiter": ";"}, '`delimiter: ","`'),
    "tab": ("r.csv", "email\tcity\na@b.c\tUlm\nb@b.c\tBonn\n", {"delimiter": ","}, "--delimiter tab"),
    "bar": ("r.csv", "email|city\na@b.c|Ulm\nb@b.c|Bonn\n", {"delimiter": ";"}, '--delimiter "|"'),
    "tsv with semicolons": ("r.tsv", "email;city\na@b.c;Ulm\nb@b.c;Bonn\n", {}, '`delimiter: ";"`'),
    "a title above": ("r.csv", "Leads\na;b;c\n1;x;y\n2;v;w\n3;t;u\n", {}, "would give 3"),
    "sep line": ("r.csv", "sep=,\nemail;city\na@b.c;Ulm\nb@b.c;Bonn\n", {}, '`delimiter: ";"`'),
}


@pytest.mark.parametrize(("name", "content", "options", "words"), ONE_COLUMN.values(), ids=ONE_COLUMN)
def test_a_delimiter_that_leaves_one_column_is_questioned(
    tmp_path: Path, name: str, content: str, options: dict[str, str], words: str
) -> None:
    (question,) = asked(tmp_path / name, content, **options)
    assert "gives 1 column" in question.message
    assert words in question.message


@pytest.mark.parametrize(
    "content",
    [
        "name\nAnna\nBob\n",
        "name\nHart, Amelia\nMorita, Kenji\nVogel, Hannah\n",
        'name\n"Hart, Amelia"\n"Morita, Kenji"\n"Vogel, Hannah"\n',
        "prompt\nWrite, quickly, a poem\nSing\nHum; then sing\n",
        "name\na;b\nBob\nEva;x\n",
    ],
)
def test_one_column_is_not_questioned(tmp_path: Path, content: str) -> None:
    assert asked(tmp_path / "r.tsv", content) == ()


def test_several_columns_are_not_questioned(path: Path) -> None:
    assert asked(path, "a;b,c;d\n1;2,3;4\n", delimiter=",") == ()


RIGHT_TEXT = (
    "naïve café Ünïcode Größe",
    "„Spaß“ und „Maß“…",
    "“We met at the café…”",
    "AMANHÃ” NÃO MAÇÃ®",
    "též“ uvidíš… íš“",
    "«À» É…",
    "Ångström 5 Å, Ärger, ÄÖÜ",
    "20 °C · 4 m² ½ §5",
    "žluťoučký kůň, zażółć gęślą jaźń",
    "Привет, мир",
    "日本語テキスト",
    "smile 😀",
    "Âge, Île, Æther, Øre",
    "l\u2019été \u2013 déjà vu",
)


@pytest.mark.parametrize("text", RIGHT_TEXT)
def test_text_that_is_right_is_not_questioned(path: Path, text: str) -> None:
    assert asked(path, f"name,note\nx,{text}\n".replace(", ", " ")) == ()
    for encoding in ("cp1252", "latin-1", "cp1250", "cp1251", "shift_jis", "utf-16"):
        try:
            raw = f"name;note\nx;{text}\n".encode(encoding)
        except UnicodeEncodeError:
            continue
        assert asked(path, raw, encoding=encoding) == ()


@settings(max_examples=120)
@given(
    st.lists(
        st.builds(
            lambda first, word, last: first + word + last,
            st.sampled_from(["", "(", "\u201e", "\u201c", "\u00ab"]),
            st.one_of(st.text("abcàáâãäåçèéêëìíîïñòóôõöøùúûüýÿßšžœ", min_size=1), st.text("ABÇÉÈÖØÑÜ", min_size=1)),
            st.sampled_from(["", ".", "…", "\u201d", "\u201c", "…\u201d", "\u00bb", "\u2019s", "®", "™", " \u2013"]),
        ),
        max_size=6,
    )
)
def test_words_with_accents_are_not_taken_for_misread_text(words: list[str]) -> None:
    assert find_misread(" ".join(words)) is None


@settings(max_examples=120)
@given(
    before=st.sampled_from(["", "caf", "x ", "(", "12"]),
    letter=st.sampled_from("äöüéèñçßÄÖÜàêîôåøæÉ€°£©«\u00a0\u2019\u201c\u2026"),
    after=st.sampled_from(["", "ller", " x", ", "]),
    codec=st.sampled_from(["cp1252", "latin-1"]),
)
def test_utf_8_that_was_misread_is_found(before: str, letter: str, after: str, codec: str) -> None:
    right = before + letter + after
    try:
        wrong = right.encode().decode(codec)
    except UnicodeDecodeError:  # cp1252 does not have every byte
        return
    found = find_misread(wrong)
    assert found is not None
    assert found.meant == right


MISREAD: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "UTF-8 as cp1252": ("name,x\nMüller,1\n".encode(), {"encoding": "cp1252"}, 2, "`encoding: utf-8`"),
    "UTF-8 as latin-1": ("name,x\nIt\u2019s,1\n".encode(), {"encoding": "latin-1"}, 2, "`encoding: utf-8`"),
    "UTF-8 as cp1251": (
        "name,x\na,1\nжизнь,1\n".encode(),
        {"encoding": "cp1251"},
        3,
        "'жизнь'",
    ),
    "UTF-8 as UTF-16": (b"name,x\nabc,1\nd,1\n", {"encoding": "utf-16"}, 1, "`encoding: utf-8`"),
    "its mark as cp1252": (b"\xef\xbb\xbfname,x\nabc,1\n", {"encoding": "cp1252"}, 1, "`encoding: utf-8`"),
    "UTF-16 as cp1252": ("name,x\nabc,1\n".encode("utf-16"), {"encoding": "cp1252"}, 1, "`encoding: utf-16`"),
    "UTF-16 as UTF-8": ("name,x\nabc,1\n".encode("utf-16-le"), {}, 1, "`encoding: utf-16-le`"),
    "UTF-16 the other way": ("name,x\nabc,1\n".encode("utf-16-be"), {"encoding": "utf-16"}, 1, "utf-16-be`"),
    "cp1252 as latin-1": (b"name,x\nabc,it\x92s\n", {"encoding": "latin-1"}, 2, "`encoding: cp1252`"),
    "cp850 as cp1252": (b"name,x\nabc,M\x84rz\n", {"encoding": "cp1252"}, 2, "`encoding: cp850`"),
    "Macintosh as cp1252": (b"name,x\nabc,K\x8ase\n", {"encoding": "cp1252"}, 2, "`encoding: mac-roman`"),
    "misread before": ("name,x\nabc,MÃ¼ller\n".encode(), {}, 2, "(column `x`) may be 'Müller'"),
    "misread in the header": ("name,GrÃ¶ÃŸe\nabc,1\n".encode(), {}, 1, "(in the header) may be 'Größe'"),
    "control characters": ("name,x\nabc,it\x92s\n".encode(), {}, 2, r"'it\x92s' (column `x`)"),
    "replacement character": ("name,x\nabc,M\ufffdller\n".encode(), {}, 2, "U+FFFD"),
}


@pytest.mark.parametrize(("content", "options", "line", "words"), MISREAD.values(), ids=MISREAD)
def test_text_of_another_encoding_is_questioned(
    path: Path, content: bytes, options: dict[str, str], line: int, words: str
) -> None:
    found = asked(path, content, **options)
    assert [question.where.line for question in found] == [line]
    assert words in found[0].message


@pytest.mark.parametrize("name", ["r.jsonl", "r.json", "r.yaml"])
def test_misread_text_in_json_and_yaml_is_questioned(tmp_path: Path, name: str) -> None:
    text = {
        "r.jsonl": '{"a": 1}\n{"a": "MÃ¼ller"}\n',
        "r.json": '[{"a": 1},\n{"a": "MÃ¼ller"}]',
        "r.yaml": "- a: 1\n- a: MÃ¼ller\n",
    }
    (question,) = asked(tmp_path / name, text[name])
    assert question.where.line == 2
    assert "Müller" in question.message


@pytest.mark.parametrize("name", ["r.csv", "r.jsonl", "r.json", "r.yaml"])
@pytest.mark.parametrize(
    "content", ["a,b\n1,2\n".encode("utf-16"), b"PK\x03\x04\x14\x00\x81\xc3\xbc"], ids=["UTF-16", "xlsx"]
)
def test_files_that_cannot_be_read_are_not_questioned(tmp_path: Path, name: str, content: bytes) -> None:
    assert asked(tmp_path / name, content) == ()


def test_a_format_without_an_encoding_gets_no_advice_to_name_one(tmp_path: Path) -> None:
    assert asked(tmp_path / "r.json", '[{"a": 1}]'.encode("utf-16-le"), encoding="cp1252") == ()


def test_questions_show_no_control_characters(path: Path) -> None:
    hostile = "\x1b[2J\u202e\x9b31mM\u00c3\u00bcller\ufffd"
    for content in (f"name,x\nabc,{hostile}\n", f"name,x{hostile}\nabc,{hostile}\n"):
        for encoding in ("utf-8", "latin-1"):
            for question in asked(path, content, encoding=encoding):
                assert str(question).isprintable()
    assert asked(path, f"{hostile}@x.de,a\nb@x.de,c\n")


def test_a_long_first_line_is_not_read_on(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**30)  # 1 GiB of zeros that take no space on the disk
    assert questions_about(RowsFile(path=path, name="r.csv")) == ()


def test_a_fault_behind_the_beginning_costs_nothing(path: Path) -> None:
    assert asked(path, "name,x\n" + "abc,1\n" * 50_000 + "MÃ¼ller,2\n") == ()


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xff", b'a,"b\n1,2', b"a,b\n1,\xe9\n", b"\0" * 100])
def test_a_file_that_cannot_be_read_gives_no_question_and_no_exception(path: Path, content: bytes) -> None:
    assert asked(path, content) == ()
    path.unlink()
    assert questions_about(RowsFile(path=path, name="r.csv")) == ()


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    content=st.binary(max_size=200),
    encoding=st.sampled_from([None, "utf-8", "cp1252", "latin-1", "utf-16", "utf-16-be", "utf-32", "cp1251", "utf-7"]),
    suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".json", ".yaml"]),
)
def test_any_bytes_give_printable_questions(tmp_path: Path, content: bytes, encoding: str | None, suffix: str) -> None:
    for question in asked(tmp_path / f"r{suffix}", content, encoding=encoding):
        assert str(question).isprintable()


def test_cut_sequences_at_the_end_are_not_a_fault() -> None:
    assert better_encoding("id\nMüller ä".encode()[:-1], codec="cp1252", complete=False) == (
        "the file looks like UTF-8",
        "utf-8",
    )
    assert better_encoding("id\nMüller ä".encode()[:-1], codec="cp1252", complete=True) is None
    assert find_control("abc", latin=True) is None
    assert find_lost("é") is None
    assert find_page("é", "cp850") is None

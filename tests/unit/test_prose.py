"""Plain English in what people read: no banned word, and for each one the words to use instead.

The vocabulary is in docs/glossary.md. To scan more files, add a glob to SCANNED or to SCANNED_TESTS. In SCANNED, the
comments, docstrings and other texts of Python files are scanned, their code is not. In SCANNED_TESTS, the comments,
docstrings and names of tests are scanned: other texts there are data, or output that a test expects.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCANNED = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/*.md",
    "docs/systemd/*",
    "jobs/*.yaml",
    "jobs/travel_crew/*.md",
    "jobs/travel_crew/*.yaml",
    "Makefile",
    "pyproject.toml",
    "constraints.txt",
    "tests/*.txt",
    "tests/real/*.txt",
    "batchcrew/app/*.py",
    "batchcrew/base/*.py",
    "batchcrew/base/xlsx/*.py",
    "batchcrew/cli/*.py",
    "batchcrew/config/*.py",
    "batchcrew/crew/*.py",
    "batchcrew/engine/*.py",
    "batchcrew/engine/limits/*.py",
    "batchcrew/engine/observe/*.py",
    "batchcrew/jobfile/*.py",
    "batchcrew/jobfile/rows/*.py",
    "batchcrew/ledger/*.py",
    "batchcrew/ledger/reads/*.py",
    "batchcrew/ledger/writes/*.py",
    "batchcrew/model/*.py",
    "batchcrew/progress/*.py",
    "batchcrew/reports/*.py",
    "batchcrew/reports/export/*.py",
    "batchcrew/reports/html/*.py",
    "batchcrew/server/**/*.py",
    "batchcrew/telling/*.py",
    "batchcrew/web/*.py",
    "batchcrew/web/**/*.html",
    "batchcrew/web/**/*.js",
    "batchcrew/web/**/*.css",
)
SCANNED_TESTS = ("tests/**/*.py", "benchmarks/*.py")
EXCLUDED = {
    "docs/commands.md",  # generated from the help texts in the code
    "batchcrew/ledger/migrations/versions_1_to_7.py",  # released scripts never change, their comments included
}

# Patterns ignore case and match across line ends: a space stands for any white space.
BANNED = {
    r"\b(told|tells?|telling)\b": "report, notify, print, show, recognize",
    r"\bask(s|ed|ing)?\b": "request, poll, prompt, require",
    r"\b(go|goes|going|gone|went) on\b": "continue, resume",
    r"\b(take|takes|taken|taking|took) up\b": "resume",
    r"\b(take|takes|taken|taking|took)( (it|them|what is|executions))? in\b": "record, read, ingest",
    r"\bill\b": "failing",
    r"\b(is|are|was|were|be|being|been|goes|stays?) away\b": "unreachable",
    r"(?<!as\s)\bwell\b(?!-)": "succeeded, healthy, without a problem",
    r"\b(a|any|no|one|the) person\b|\bpersons?'s?\b": "you, the operator",
    r"\b(some|any|no)(body|one)\b": "you, the operator",
    r"\bstands?\b(?! for\b)": "is, exists",
    r"\bbeside\b": "next to, in addition to",
    r"\bso (many|much|large|long)\b(?! (as|that)\b)": "this many, this share, for this long",
    r"\bsuch a (share|count|number)\b": "this share, this many",
    r"\black(s|ed|ing)?\b": "is missing, has no",
    r"\bwhat (is|was|has|had|were) (in flight|in progress|due|running|kicked off|ended|waiting|paid|new|wrong)\b": (
        "name the thing: executions in progress, the jobs that are left"
    ),
    r"(?<!there\s)\b(is|are|was|were) no\b(?! (longer|more)\b)": "is not a valid …, is not a …, has no …",
    r"\b(anew|afresh)\b": "again, a new …",
    r"\blest\b": "so that … not",
    r"\bfor ever\b": "forever",
    r"\bwhole or not\b|\b(written|replaced|read|ledger|kept|it|is|are|happened) whole\b": "complete, consistent",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bby (itself|themselves)\b|\bof (its|their|his) own\b": "omit it, or write: its own …, separate",
    r"\b(doors?|houses?|gates?|rooms?|lives|greet\w*|neighbou?rs?)\b": "package, module, API, limit, preflight",
    r"\blife\b(?!-?(time|cycle))": "name the thing: execution, attempt, process",
    r"\b(if|unless) not said\b|\bif you say so\b": "by default, default: …",
    r"\blets? (it|them|one|the|each|all|what) \w+": "name who does what",
    r"\ball the same\b": "anyway",
    r"\bnow and then\b": "occasional",
    r"\btill\b": "until",
}
# Also banned, except in tests, benchmarks and the parts of the server in NOT_YET.
BANNED_IN_PRODUCT = {
    r"\bsays? (nothing|little|too little|something)\b": "is ignored, is not used, does not show",
    r"\bdecides? nothing\b": "is not used, does not show, only …",
    r"\bwhat (becomes?|became|comes?|came) of\b": "the result of, the state of",
    r"\bwhom?ever\b": "name who: a program, a client, the user",
    r"\bhowever (it|that|they) ends?\b": "in any case",
    r"\bheld against\b": "compared with",
    r"\blet(s|ting)? go\b": "stop watching, release, cancel",
    r"\bmet in the field\b": "known",
    r"\banswers? that (may be|are) none\b": "an answer that may be useless",
    r"\b(left|leaves?|leaving) out\b": "omit, ignore",
    r"\bput(s|ting)? back\b": "reset",
    r"\btelephones?\b(?! numbers?\b)": "phone",
    r"\btime(out)? (that )?(is|was) over\b": "has passed, has ended",
    r"(?<=\"\"\")What\b": "begin a docstring with a verb or with the thing: Return …, The result of …",
}
NOT_YET = ("tests/", "benchmarks/", "batchcrew/server/worker/ends.py")


def _compiled(banned: dict[str, str]) -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE), instead) for pattern, instead in banned.items()]


_RULES = _compiled(BANNED)
_RULES_OF_PRODUCT = _compiled(BANNED | BANNED_IN_PRODUCT)

_FENCE = re.compile(r"^[ ]*```.*?^[ ]*```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`(?:[^`\n]|\n(?!\s*\n))*`")
_FIELD = re.compile(r"\{[^{}]*\}")
_LINK_TARGET = re.compile(r"\]\([^)]*\)")
_NOT_A_COMMENT = re.compile(r"^(?:[^#\n]|(?<![\s])#)*", re.MULTILINE)
_WITH_DOCSTRINGS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def blank(match: re.Match[str]) -> str:
    """Replace a match by as many blanks, and keep its line ends: places in the text do not change."""
    return re.sub(r"[^\n]", " ", match[0])


class Blanks:
    """As many blanks as a text has characters, in the same lines; parts of the text are put back at their places."""

    def __init__(self, text: str) -> None:
        self._lines = [[" "] * len(line) for line in text.split("\n")]

    def put(self, place: tuple[int, int], part: str) -> None:
        """Put back a part of the text; its place is a row, counted from 1, and a column."""
        row, column = place
        for offset, line in enumerate(part.split("\n")):
            start = column if offset == 0 else 0
            self._lines[row - 1 + offset][start : start + len(line)] = line

    def __str__(self) -> str:
        return "\n".join("".join(line) for line in self._lines)


def prose_of_python(text: str) -> str:
    """Return only the comments and texts of a Python module, at their places."""
    prose = Blanks(text)
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in kinds and " " in token.string:  # a text without a blank is a key, not prose
            formatted = token.type == tokenize.STRING and "f" in token.string.lower().split(token.string[-1])[0]
            prose.put(token.start, _FIELD.sub(blank, token.string) if formatted else token.string)
    return str(prose)


def docstring_places(text: str) -> set[tuple[int, int]]:
    """Return the rows and columns where a docstring starts, also that of an attribute."""
    bodies = [node.body for node in ast.walk(ast.parse(text)) if isinstance(node, _WITH_DOCSTRINGS)]
    found = [each.value for body in bodies for each in body if isinstance(each, ast.Expr)]
    return {
        (value.lineno, value.col_offset)
        for value in found
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    }


def prose_of_tests(text: str) -> str:
    """Return only the comments, docstrings and names of tests of a Python module, at their places."""
    prose, docstrings, previous = Blanks(text), docstring_places(text), ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or token.start in docstrings:
            prose.put(token.start, token.string)
        elif previous == "def" and token.string.startswith("test_"):
            prose.put(token.start, token.string.replace("_", " "))
        previous = token.string
    return str(prose)


def prose_of(name: str, text: str) -> str:
    """Return the prose of a file: code and the targets of links become blanks."""
    match Path(name).suffix:
        case ".md":
            text = _FENCE.sub(blank, text)
        case ".py" if name.startswith(("tests/", "benchmarks/")):
            text = prose_of_tests(text)
        case ".py":
            text = prose_of_python(text)
        case _:  # YAML, TOML, the Makefile, requirements, units of systemd: only comments
            text = _NOT_A_COMMENT.sub(blank, text).replace("#", " ")
    return _LINK_TARGET.sub(blank, _CODE.sub(blank, text))


def banned_words(name: str, text: str) -> Iterator[str]:
    """Yield each banned word with its place and what to write instead."""
    prose = prose_of(name, text)
    for pattern, instead in _RULES if name.startswith(NOT_YET) else _RULES_OF_PRODUCT:
        for match in pattern.finditer(prose):
            line = prose.count("\n", 0, match.start()) + 1
            yield f"{name}:{line}: {' '.join(match[0].split())!r}: write {instead}"


def scanned_files() -> list[str]:
    patterns = (*SCANNED, *SCANNED_TESTS)
    found = {str(path.relative_to(ROOT)) for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    return sorted(found - EXCLUDED)


@pytest.mark.parametrize("name", scanned_files())
def test_no_banned_word_is_used(name: str) -> None:
    found = sorted(banned_words(name, (ROOT / name).read_text(encoding="utf-8")))
    assert not found, "\n" + "\n".join(found)


def test_every_pattern_of_scanned_files_finds_one() -> None:
    for pattern in (*SCANNED, *SCANNED_TESTS):
        assert list(ROOT.glob(pattern)), pattern


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("A batch that is finished is told once.", "told"),
        ("the ledger is\nwhole", "is whole"),
        ("it ended well", "well"),
        ("This is no rate", "is no"),
        ("after so many failed jobs", "so many"),
        ("a crew that is ill", "ill"),
        ("held for a person", "a person"),
        ("next to\na file of its own", "of its own"),
        ("what is in\n  flight goes on", "goes on"),
        ("one attempt's life", "life"),
        ("a neighbour of the ledger", "neighbour"),
        ("Such an answer says nothing", "says nothing"),
        ("what became of\neach decision", "what became of"),
        ("Whoever holds the lock", "Whoever"),
        ("NUL characters are left out", "left out"),
    ],
)
def test_a_banned_word_is_found(text: str, word: str) -> None:
    assert any(repr(word) in line for line in banned_words("page.md", text))


@pytest.mark.parametrize(
    "text",
    [
        "a well-known crew, and flows as well",
        "There is no ledger; it is no longer needed",
        "the lifetime of a task, and the life-cycle of a run",
        "so long as the run lasts; so long that it is refused",
        "`*` stands for one word",
        "a standard gateway, a black mask, tasks, basket, amended, still",
        "a telephone number; the reason says so; overtime",
        "the whole batch",
        "the `told` column, [a page](docs/door.md)",
        "```\nnothing is asked\n```",
    ],
)
def test_other_words_are_not_found(text: str) -> None:
    assert list(banned_words("page.md", text)) == []


def test_only_comments_of_a_yaml_file_are_prose() -> None:
    text = "told: 'http://door#ill'\nkey: value  # it is told\n"
    assert [line.split(": write")[0] for line in banned_words("jobs.yaml", text)] == ["jobs.yaml:2: 'told'"]


def test_comments_and_texts_of_a_python_file_are_prose() -> None:
    text = '"""Say what\n\nis told."""\ntold = ask("ill")  # beside it\nraise ValueError(f"{told} is no rate")\n'
    assert [line.split(": write")[0] for line in sorted(banned_words("module.py", text))] == [
        "module.py:3: 'told'",
        "module.py:4: 'beside'",
        "module.py:5: 'is no'",
    ]


def test_comments_docstrings_and_names_of_tests_are_prose() -> None:
    text = (
        '"""Say what is\ntold."""\n\n\ndef test_it_is_ill() -> None:\n    """Nobody."""\n'
        '    assert ask("is told") == """is no rate"""  # beside it\n\n\nX = 1\n"""So many."""\n'
    )
    assert [line.split(": write")[0] for line in sorted(banned_words("tests/unit/test_x.py", text))] == [
        "tests/unit/test_x.py:11: 'So many'",
        "tests/unit/test_x.py:2: 'told'",
        "tests/unit/test_x.py:5: 'ill'",
        "tests/unit/test_x.py:6: 'Nobody'",
        "tests/unit/test_x.py:7: 'beside'",
    ]

"""A server's text is printed as one clean line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcrew.crew.secrets import REDACTED, Secrets
from batchcrew.crew.server_text import clean, server_words


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain words", "plain words"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jcleared", "cleared"),
        ("\x1bPq#0\x1b\\sixel", "sixel"),
        ("a\x00b\x07c", "a b c"),
        ("safe\u202etxt.exe", "safe txt.exe"),
        ("ends with escape\x1b", "ends with escape"),
    ],
)
def test_escapes_and_control_characters_go(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(st.text(max_size=300), st.integers(min_value=5, max_value=100))
def test_whatever_comes_the_line_is_printable_and_bounded(text: str, limit: int) -> None:
    cleaned = clean(text, limit)
    assert len(cleaned) <= limit
    assert cleaned.isprintable()


@given(st.text(alphabet="\x1b[31m]P;\\\x9babc secret\x07", max_size=200))
def test_no_escape_hides_a_secret(text: str) -> None:
    assert "secret" not in Secrets("secret", {}).clean(text)


def test_a_secret_at_the_edge_of_the_cut_leaves_no_half() -> None:
    for length in range(440, 520):
        assert "hunter" not in Secrets("hunter2-token", {}).clean("x" * length + "hunter2-token", 500)
    assert Secrets("hunter2-token", {}).clean("said: hunter2-token") == f"said: {REDACTED}"


@pytest.mark.parametrize("token", ["t", "abc"])
def test_a_token_that_is_in_ordinary_words_leaves_them_readable(token: str) -> None:
    assert Secrets(token, {}).clean("no connection to abc:8123") == "no connection to abc:8123"


def test_a_longer_token_is_removed_from_messages() -> None:
    assert Secrets("abcd", {}).clean("Bearer abcd") == f"Bearer {REDACTED}"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": "Unauthorized", "message": "Invalid token"}', "Unauthorized: Invalid token"),
        (b'{"error": "same", "message": "same"}', "same"),
        (b'{"detail": "Not authenticated"}', "Not authenticated"),
        (
            b'{"detail": [{"loc": ["body", "inputs", "budget"], "msg": "field required", "type": "missing"},'
            b' {"loc": ["body", "age"], "msg": "not a number"}]}',
            "inputs.budget: field required; age: not a number",
        ),
        (
            b'{"error": "Validation Error", "message": "Missing", "details": {"missing_inputs": ["budget", "age"]}}',
            "Validation Error: Missing: missing inputs: budget, age",
        ),
        (
            b'{"error": "Validation Error", "message": "Validation error: age is missing"}',
            "Validation error: age is missing",
        ),
        (b'{"message": "Validation Error: age", "detail": "validation error"}', "Validation Error: age"),
        (b'{"error": "Same.", "message": "same"}', "Same."),
        (b'{"error": "in", "message": "inputs wrong"}', "in: inputs wrong"),
        (b'{"error": {"code": 3, "message": "nested"}}', "nested"),
        (b'{"code": 3}', '{"code":3}'),
        (b'["a", {"msg": "b"}]', "a; b"),
        (b"plain text\n", "plain text"),
        (b"", ""),
        (b"null", ""),
        (b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>", "502 Bad Gateway"),
        (b"<html><style>x{}</style><body><h1>Down</h1> &amp; out<script>x</body>", "Down  & out"),
        (b"bad \xff utf-8", "bad \ufffd utf-8"),
    ],
)
def test_what_an_error_answer_says(body: bytes, words: str) -> None:
    assert " ".join(server_words(body).split()) == " ".join(words.split())


def test_deep_lists_are_words_too() -> None:
    assert server_words(b"[" * 500 + b"]" * 500)

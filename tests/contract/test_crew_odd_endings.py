"""Final words that do not mean success, and answers that are not quite JSON, as literal payloads."""

import pytest

from batchcrew.crew import dialect
from batchcrew.crew.payload import NotUnderstood
from batchcrew.crew.server_text import as_utf8
from batchcrew.model.execution import ExecutionState

NO_SUCCESS = [
    "cancelled",
    "canceled",
    "CANCELLED",
    "revoked",
    "REVOKED",
    "aborted",
    "expired",
    "timeout",
    "timed out",
    "TIMED_OUT",
    "timed-out",
    "terminated",
    "skipped",
    "rejected",
]


@pytest.mark.parametrize("word", NO_SUCCESS)
@pytest.mark.parametrize("key", ["state", "status"])
def test_a_final_word_that_does_not_mean_success_is_a_failure(word: str, key: str) -> None:
    found = dialect.execution(f'{{"{key}": "{word}"}}'.encode())
    assert (found.state, found.known_word) == (ExecutionState.FAILED, True)
    assert found.error == f"{word} (the crew gave no reason)"


@pytest.mark.parametrize(
    "rest",
    [
        '"error": "over budget"',
        '"error": {"message": "over budget"}',
        '"error_message": "over budget"',
        '"result": "over budget"',
    ],
)
def test_the_crews_own_text_follows_the_word(rest: str) -> None:
    found = dialect.execution(f'{{"state": "REVOKED", {rest}}}'.encode())
    assert found.error == "REVOKED: over budget"


def test_an_ordinary_failure_keeps_its_own_words() -> None:
    assert dialect.execution(b'{"state": "FAILED", "error": "no flights"}').error == "no flights"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have_are_read_as_null(number: str) -> None:
    body = f'{{"status": "completed", "result": {{"score": {number}, "text": "NaN is fine"}}}}'.encode()
    found = dialect.execution(body)
    assert found.state is ExecutionState.SUCCEEDED
    assert found.result_json == {"score": None, "text": "NaN is fine"}
    assert found.answer == body.decode()  # as it came


@pytest.mark.parametrize("charset", ["latin-1", "ISO-8859-1", "iso8859_15", "windows-1252", "utf-16"])
def test_the_charset_of_the_answer_is_believed_where_the_bytes_are_not_utf8(charset: str) -> None:
    text = '{"status": "completed", "result": "Café Zürich"}'
    assert dialect.execution(as_utf8(text.encode(charset), charset)).output == "Café Zürich"


@pytest.mark.parametrize("charset", ["latin-1", "utf-8", "ascii", "no-such-charset", "", None])
def test_utf8_is_read_whatever_the_charset_says(charset: str | None) -> None:
    body = '{"status": "completed", "result": "Café Zürich"}'.encode()
    assert dialect.execution(as_utf8(body, charset)).output == "Café Zürich"


@pytest.mark.parametrize("encoding", ["latin-1", "windows-1252"])
def test_latin_1_is_read_also_if_no_charset_is_named(encoding: str) -> None:
    body = '{"status": "completed", "result": "Café Zürich \xa35"}'.encode(encoding)
    found = dialect.execution(as_utf8(body, None))
    assert found.output == "Café Zürich £5"
    assert found.answer == '{"status": "completed", "result": "Café Zürich \xa35"}'
    assert dialect.execution(as_utf8(b'{"status": "done", "raw": "5 \x80 \x93ok\x94"}', None)).output == "5 € “ok”"
    assert dialect.execution(as_utf8(b'{"status": "done", "raw": "\x81\xe9"}', None)).output == "\x81é"


@pytest.mark.parametrize("charset", ["utf-8", "ascii", "utf-7x"])
def test_bytes_of_no_named_encoding_are_an_error_of_that_answer(charset: str) -> None:
    with pytest.raises(NotUnderstood):
        dialect.execution(as_utf8('{"status": "completed", "result": "Café"}'.encode("latin-1"), charset))

"""A `.env` without python-dotenv."""

import os
import sys
from pathlib import Path

import pytest

from batchcrew.server.worker.env_file import read_env, simple_values

TEXT = """
# a comment
PLAIN=value
export EXPORTED = spaced  # a comment
HASH=a#b
SINGLE='as it is: \\n "$X" # too'
DOUBLE="two\\nlines and \\"quotes\\"" # a comment
EMPTY=
not a variable
1ST=no
URL=https://example.com/?a=b&c=d
"""


def test_the_values_of_a_file() -> None:
    assert simple_values(TEXT) == {
        "PLAIN": "value",
        "EXPORTED": "spaced",
        "HASH": "a#b",
        "SINGLE": 'as it is: \\n "$X" # too',
        "DOUBLE": 'two\nlines and "quotes"',
        "EMPTY": "",
        "URL": "https://example.com/?a=b&c=d",
    }


@pytest.mark.parametrize("installed", [True, False])
def test_the_environment_takes_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    monkeypatch.setenv("TAKEN", "before")
    monkeypatch.setenv("GIVEN", "x")
    monkeypatch.delenv("GIVEN")
    if not installed:
        monkeypatch.setitem(sys.modules, "dotenv", None)
    (tmp_path / ".env").write_text("TAKEN=file\nGIVEN='a word'\n")
    read_env(tmp_path / ".env")
    assert (os.environ["TAKEN"], os.environ["GIVEN"]) == ("before", "a word")
    read_env(tmp_path / "nothing")

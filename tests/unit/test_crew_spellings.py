"""The tables of spellings: how places and words are read, whichever entries the tables have."""

from typing import Any

import pytest

from batchcrew.crew import spellings
from batchcrew.model.execution import ExecutionState


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        ({}, None),
        ({"a": None, "b": {"c": 0}}, 0),
        ({"a": "", "b": {"c": 1}}, ""),
        ({"b": "text"}, "last"),
        ({"b": {"c": None}}, "last"),
        ({"b": [{"c": 1}]}, "last"),
    ],
)
def test_the_first_place_that_is_not_null_counts(payload: dict[str, Any], found: Any) -> None:
    fields = ("a", "b.c", lambda answer: "last" if answer else None)
    assert spellings.first(payload, fields) == found


def test_every_word_is_found_in_any_spelling() -> None:
    for word, meaning in spellings.STATUS_WORDS.items():
        for spelt in (word, word.upper(), word.replace(" ", "_"), word.replace(" ", "-"), word.replace(" ", "")):
            assert spellings.meaning_of(spelt) == (meaning, False)
    for word in spellings.ENDED_WITHOUT_RESULT:
        assert spellings.meaning_of(word.replace(" ", "_").title()) == (ExecutionState.FAILED, True)


def test_no_word_has_two_meanings() -> None:
    words = [spellings.fold(word) for word in (*spellings.STATUS_WORDS, *spellings.ENDED_WITHOUT_RESULT)]
    assert len(set(words)) == len(words)

"""Suggest a known word for a misspelled one."""

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 200
"""Longest word that gets a suggestion; comparing two words takes time in the product of their lengths."""


def most_similar(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most similar, whatever its case; None if none is similar."""
    by_fold = {name.casefold(): name for name in known if len(name) <= _LONGEST}
    match = get_close_matches(word.casefold(), by_fold, n=1, cutoff=0.6) if len(word) <= _LONGEST else []
    return by_fold[match[0]] if match else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the known word that is most similar, or nothing if none is."""
    match = most_similar(word, known)
    return "" if match is None else f" (did you mean {match!r}?)"

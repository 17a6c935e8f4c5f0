"""Compare messages about errors in a file with what tests expect."""

Expected = str | tuple[str, ...]
"""The sentence, if a test is about its text; otherwise (`file:line:column`, key or value, …)."""


def fits(message: str, expected: Expected) -> bool:
    """Return whether a message is the expected sentence, or begins with the place and names the keys and values.

    The kind of quotes around a key or a value does not matter.
    """
    if isinstance(expected, str):
        return message == expected
    place, *named = (part.replace("`", "'") for part in expected)
    said = message.replace("`", "'")
    return said.startswith(f"{place}: ") and all(name in said for name in named)

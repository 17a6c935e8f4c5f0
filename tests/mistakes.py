"""What tests expect of a message about a mistake in a file."""

Expected = str | tuple[str, ...]
"""The sentence, where it is what a test is about; else (`file:line:column`, key or value, …)."""


def fits(message: str, expected: Expected) -> bool:
    """Return whether a message is the expected sentence, or begins with the place and names the keys and values.

    Which quotes are around a key or a value makes no difference.
    """
    if isinstance(expected, str):
        return message == expected
    place, *named = (part.replace("`", "'") for part in expected)
    said = message.replace("`", "'")
    return said.startswith(f"{place}: ") and all(name in said for name in named)

"""What tests expect of a message about a mistake in a file."""

Expected = str | tuple[str, ...]
"""The sentence, where it is what a test is about; else (`file:line:column`, key or value, …)."""


def fits(message: str, expected: Expected) -> bool:
    """Return whether a message is the expected sentence, or begins with the place and names the keys and values."""
    if isinstance(expected, str):
        return message == expected
    place, *named = expected
    return message.startswith(f"{place}: ") and all(name in message for name in named)

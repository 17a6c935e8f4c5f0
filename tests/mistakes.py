"""What tests expect of a message about a mistake in a file."""


def fits(message: str, expected: str | tuple[str, ...]) -> bool:
    """Return whether a message is the expected sentence, or begins with the place and names the keys and values.

    Args:
        expected: a sentence, asserted where it is the subject; else (`file:line:column`, key or value, …).
    """
    if isinstance(expected, str):
        return message == expected
    place, *named = expected
    return message.startswith(f"{place}: ") and all(name in message for name in named)

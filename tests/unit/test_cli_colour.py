"""Colours of states: on terminals only, where no variable turns them off, and never in a pipe."""

import io
import re

import pytest

from batchcrew.cli.colour import coloured, has_colour


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "terminal", "expected"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({}, True, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "0", "TERM": "xterm"}, True, False),
        ({"FORCE_COLOR": "", "TERM": "xterm"}, True, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
    ],
)
def test_who_gets_colours(environ: dict[str, str], terminal: bool, expected: bool) -> None:
    stream = Terminal() if terminal else io.StringIO()
    assert has_colour(stream, environ) is expected
    assert ("\x1b" in coloured("2 failed", stream, environ)) is expected


def test_a_closed_stream_gets_none() -> None:
    assert not has_colour(None, {"FORCE_COLOR": "1"})


def test_only_words_for_states_get_a_colour_and_the_text_stays_the_same() -> None:
    text = "t: 1 succeeded, 0 failed, 3 in progress; batchcrew retry t --held /tmp/failed/x failed-1 unfailed"
    styled = coloured(text, Terminal(), {"TERM": "xterm"})
    assert re.findall(r"\x1b\[\d+m(.+?)\x1b\[0m", styled) == ["1 succeeded", "3 in progress"]
    assert re.sub(r"\x1b\[\d+m", "", styled) == text

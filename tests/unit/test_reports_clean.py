"""Hostile text is made harmless, and printed commands can be pasted into a shell."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcrew.base.text import clean_block, clean_name, clean_text, display_width, pad, shorten
from batchcrew.reports.commands import export_command, quoted, retry_command, run_command, show_command, status_command


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain [red]text[/red] stays, so do é and 東京", "plain [red]text[/red] stays, so do é and 東京"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\r\nb\tc\n\n d", "a b c d"),
        ("  around  ", "around"),
        ("\x9b31m\x00\x07\x7f", "\\x9b31m\\x00\\x07\\x7f"),
        ("\u202eabc\u2066\u200f", "\\u202eabc\\u2066\\u200f"),
        ("\ud800 \udcff", "\\ud800 \\udcff"),
        ("\U000e0041\ufeff", "\\U000e0041\\ufeff"),
        ("a\u2028b\u0085c", "a b c"),
        ("", ""),
    ],
)
def test_clean_text(text: str, clean: str) -> None:
    assert clean_text(text) == clean


def test_clean_block_keeps_lines_and_tabs() -> None:
    assert clean_block("a\tb\r\n  c\rd\x1b[2J\n") == "a\tb\n  c\\x0dd\\x1b[2J\n"


@pytest.mark.parametrize(
    ("text", "limit", "short"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde…"),
        ("日本語", 6, "日本語"),
        ("日本語語", 6, "日本…"),
        ("ab cdef", 4, "ab…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
        ("x" * 5_000_000, 5, "xxxx…"),
        (" " * 5_000_000, 5, "…"),
    ],
)
def test_clean_text_with_a_limit(text: str, limit: int, short: str) -> None:
    assert clean_text(text, limit=limit) == short


@pytest.mark.parametrize(
    ("name", "limit", "short"),
    [
        ("customer-2026-000417", 20, "customer-2026-000417"),
        ("customer-2026-000417", 12, "custom…00417"),
        ("日本語日本語日本語", 9, "日本…本語"),
        ("日本語日本語日本語", 8, "日本…語"),
        ("abc", 2, "a…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
        ("a\x1b[2J\u202ez", 40, "a\\x1b[2J\\u202ez"),
        ("aaaae\u0301\u0301zz", 6, "aaa…zz"),
        ("h" + "x" * 5_000_000 + "t", 5, "hx…xt"),
    ],
)
def test_a_long_name_keeps_its_head_and_its_tail(name: str, limit: int, short: str) -> None:
    assert clean_name(name, limit) == short


@given(st.text(st.characters()), st.integers(min_value=0, max_value=40))
def test_a_name_is_one_line_within_its_limit(name: str, limit: int) -> None:
    clean = clean_name(name, limit)
    assert display_width(clean) <= limit
    assert len(clean.splitlines()) <= 1
    if display_width(clean_text(name)) <= limit and len(name) <= 8 * limit:
        assert clean == clean_text(name)


@given(st.text(st.characters()), st.integers(min_value=0, max_value=40))
def test_clean_text_is_one_printable_line_within_its_limit(text: str, limit: int) -> None:
    clean = clean_text(text, limit=limit)
    assert display_width(clean) <= limit
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in clean)
    whole = clean_text(text)
    assert len(whole.splitlines()) <= 1
    assert clean_text(whole) == whole


def test_padding_counts_terminal_columns() -> None:
    assert pad("日本", 6) == "日本  "
    assert pad("日本", 6, right=True) == "  日本"
    assert pad("日本語語", 6) == "日本… "
    assert shorten("e\u0301" * 5, 5) == "e\u0301" * 5


def test_commands_are_complete() -> None:
    default = "results/batchcrew.db"
    assert run_command("jobs.yaml", default) == "batchcrew run jobs.yaml"
    assert run_command("my jobs.yaml", "x.db", "--retry-failed") == (
        "batchcrew run 'my jobs.yaml' --retry-failed --ledger x.db"
    )
    assert retry_command("travel", "a b.db", "--held") == "batchcrew retry travel --held --ledger 'a b.db'"
    assert status_command("travel", "./results/batchcrew.db") == "batchcrew status travel"
    assert show_command("travel", "it's", "") == """batchcrew show travel 'it'"'"'s'"""
    assert export_command("travel", default) == "batchcrew export travel -f csv -o travel-results.csv"
    assert export_command("../a b", default) == "batchcrew export '../a b' -f csv -o a-b-results.csv"


def test_a_name_that_begins_with_a_dash_is_not_an_option() -> None:
    assert retry_command("-rf", "x.db", "--held") == "batchcrew retry --held --ledger x.db -- -rf"


def test_a_name_that_cannot_be_printed_can_still_be_typed() -> None:
    assert quoted("a   b") == r"$'a \x20 b'"
    assert quoted("a\x1b'\\\n\u202e\udcff") == r"$'a\x1b\'\\\x0a\U0000202e\xff'"


@given(st.text(st.characters(codec="utf-8")))
def test_quoting_is_printable_and_one_word(text: str) -> None:
    word = quoted(text)
    assert word.isprintable()
    if not word.startswith("$'"):
        assert shlex.split(word) == [text]

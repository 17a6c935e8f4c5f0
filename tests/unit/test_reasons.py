"""Which reasons are the same one, and which are permanent."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchcrew.base.reasons import (
    LONGEST_PATTERN,
    PERMANENT_REASONS,
    is_permanent,
    matches_reason,
    reason_fingerprint,
    reason_pattern,
)

ALIKE = {
    "numbers": ("row 7 of 50 failed", "row 12 of 1,050 failed"),
    "durations": ("no end after 30m 00s", "no end after 45m 10s"),
    "units": ("answer of 12.5 MB is too large", "answer of 700KB is too large"),
    "percent": ("quota 80% used", "quota 99.5% used"),
    "amounts": ("needs $1,234.50 more", "needs $0.20 more"),
    "amounts with a code": ("needs 12 USD more", "needs 3.50 USD more"),
    "uuids": (
        "no kickoff 7f3c2b1a-0000-4000-8000-123456789abc",
        "no kickoff 01234567-89AB-cdef-0123-456789abcdef",
    ),
    "ulids": ("no kickoff 01HV3XK5M2Q8ZT", "no kickoff 01HV4YB6N3R9WS"),
    "short ids": ("no kickoff k-17", "no kickoff k-2041"),
    "provider ids": ("failed (request req_AbCdEfGhIjKl)", "failed (request req_ZyXwVuTsRqPo)"),
    "hex": ("object at 0x7f12ab is gone", "object at 0xdeadbeef is gone"),
    "host and port": ("cannot connect to db1.example.com:5432", "cannot connect to db2.internal:5433"),
    "localhost": ("cannot connect to localhost:80", "cannot connect to localhost:41231"),
    "ipv4": ("10.0.0.1 refused", "192.168.1.254:8080 refused"),
    "ipv6": ("[fe80::1]:8080 refused", "[2001:db8::8a2e:370:7334]:1 refused"),
    "urls": ("see https://a.example/x?id=1, please", "see http://b.example:80/y, please"),
    "e-mail": ("no such user ann@example.com", "no such user bob.b+x@mail.example.org"),
    "iso times": ("due at 2026-11-25T04:35:10.123Z", "due at 2025-01-02 23:59:59+01:00"),
    "dates": ("due on 2026-11-25", "due on 2025-01-02"),
    "times of day": ("since 04:35:10", "since 23:59:59.5"),
    "unix paths": ("cannot open /srv/a/leads.csv", "cannot open ~/b.csv"),
    "windows paths": (r"cannot open C:\a\b.txt", r"cannot open D:\x.txt"),
    "lines of a file": ("in /app/crew.py:12", "in /app/flow.py:345"),
    "quoted": ("no tool 'search' here", "no tool 'a browser, it seems' here"),
    "double quotes": ('no tool "search" here', 'no tool "web \\"2\\" x" here'),
    "backticks": ("no tool `search` here", "no tool `browse` here"),
    "other quotes": ("no tool “search” here", "no tool “browse” here"),
    "case and blanks": ("Credit balance\n is TOO low", "credit balance is too low"),
    "a job's data in json": (
        '{"error": {"message": "bad input", "row": {"name": "Ann"}}}',
        '{"error": {"message": "bad input", "row": {"name": "Bob B."}}}',
    ),
    "cyrillic": ("ошибка в строке 7", "ошибка в строке 12"),
    "chinese": ("訂單A12345失敗", "訂單B99失敗"),
    "arabic digits": ("خطأ ٣", "خطأ ٤٥"),
    "long tails": ("too low " + "x " * 5000, "too low " + "x " * 90_000),
}

DIFFERENT = [
    ("credit balance is too low", "context length exceeded"),
    ("can't find the tool", "can't find the agent"),
    ("the crew's model isn't there", "the crew's model isn't allowed"),
    ("litellm.AuthenticationError: no", "litellm.RateLimitError: no"),
    (
        "Error code: 429 - {'error': {'message': 'You exceeded your current quota', 'type': 'insufficient_quota'}}",
        "Error code: 429 - {'error': {'message': 'Rate limit reached', 'type': 'tokens'}}",
    ),
    ('{"error": {"type": "not_found_error"}}', '{"error": {"type": "overloaded_error"}}'),
    ("訂單A12345失敗", "用戶A12345失敗"),
    ("ошибка сети", "ошибка входа"),
    ("Foo::bar failed", "Foo::baz failed"),
    ("and/or", "either/or"),
]


@pytest.mark.parametrize("pair", ALIKE.values(), ids=ALIKE.keys())
def test_reasons_that_differ_in_what_varies_are_one(pair: tuple[str, str]) -> None:
    first, second = pair
    assert reason_pattern(first) == reason_pattern(second)
    assert reason_fingerprint(first) == reason_fingerprint(second)


@pytest.mark.parametrize("pair", DIFFERENT)
def test_reasons_that_say_something_else_are_not(pair: tuple[str, str]) -> None:
    first, second = pair
    assert reason_fingerprint(first) != reason_fingerprint(second)


def test_no_reason_has_no_fingerprint() -> None:
    assert (reason_fingerprint(None), reason_fingerprint("")) == (None, None)


@given(st.text(st.characters()) | st.text(alphabet="ab1-_.:/@'\"\\ \n{}[]0x`“%$"))
def test_any_text_has_a_fingerprint(text: str) -> None:
    assert len(reason_pattern(text)) <= LONGEST_PATTERN
    assert (reason_fingerprint(text) is None) is (text == "")
    assert reason_fingerprint(text) == reason_fingerprint(text)
    assert is_permanent(text, PERMANENT_REASONS) in (True, False)


@settings(max_examples=25)
@given(st.text(alphabet="aZ1-_.:/@'\"\\ {}[]x`“%$,+~", min_size=1, max_size=4))
def test_a_megabyte_of_anything_ends(unit: str) -> None:
    """Time that grows with the square of the length would be hours here, and the test's time limit ends it."""
    text = unit * (2**20 // len(unit))
    assert reason_fingerprint(text)
    is_permanent(text, [f"{unit}*{unit}x", "!a*a*b", "1*-"])


def test_lone_surrogates_are_not_an_error() -> None:
    assert reason_fingerprint("half \ud83d an emoji")


@pytest.mark.parametrize(
    "reason",
    [
        "Your credit balance is too low to access the Anthropic API.",
        "litellm.RateLimitError: OpenAIException - You exceeded your current quota, please check your plan and billing",
        "Error code: 429 - {'error': {'type': 'insufficient_quota', 'code': 'insufficient_quota'}}",
        "Insufficient  credits.\nAdd more",
        "Incorrect API key provided: sk-x",
        "API key not valid. Please pass a valid API key.",
        '{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}',
        "The model `gpt-9` does not exist or you do not have access to it.",
        'model "llama9" not found, try pulling it first',
        "models/gemini-9 is not found for API version v1beta",
        "This model's maximum context length is 8192 tokens",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "cancelled (the crew gave no reason)",
        "REVOKED (the crew gave no reason)",
        "Traceback (most recent call last):\n" + "  File x\n" * 20_000 + "ValueError: model not found",
    ],
)
def test_permanent_reasons(reason: str) -> None:
    assert is_permanent(reason, PERMANENT_REASONS)


@pytest.mark.parametrize(
    "reason",
    [
        "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000. Please try again in 2s. You can increase"
        " your rate limit by adding a payment method at https://platform.example/account/billing",
        "429 Too Many Requests",
        "429 You exceeded your current quota, please check your plan and billing details. Please retry in 34.07s.",
        "This request would exceed your organization's rate limit of 50,000 input tokens per minute",
        "overloaded_error",
        "the model said that this file does not exist",
        "503 Service Unavailable",
        "",
    ],
)
def test_reasons_that_pass_are_retried(reason: str) -> None:
    assert not is_permanent(reason, PERMANENT_REASONS)


@pytest.mark.parametrize(
    ("pattern", "reason", "found"),
    [
        ("No Such Row", "there is no  such\nrow 7", True),
        ("row * is bad", "row a-7 is bad", True),
        ("row * is bad", "row a 7 is bad", False),
        ("*bad row*", "a bad row.", True),
        ("e*r", "error", True),
        ("x*y*z", "xaybz", True),
        ("x*y*z", "xay bz", False),
        ("***", "anything", False),
        ("a.c", "abc", False),
    ],
)
def test_a_pattern_is_found_anywhere_and_a_star_is_one_word(pattern: str, reason: str, *, found: bool) -> None:
    assert is_permanent(reason, [pattern]) is found


def test_an_exception_wins_wherever_it_is_listed() -> None:
    assert is_permanent("quota spent", ["quota"])
    assert not is_permanent("quota spent, retry in 5s", ["! retry in", "quota"])
    assert not is_permanent("quota spent, retry in 5s", ["quota", "!RETRY IN"])
    assert not is_permanent("quota spent", [])


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("RateLimit*", True),
        ("ratelimit*req_*", True),
        ("*429*", True),
        ("*", True),
        ("RateLimit", False),
        ("429*", False),
        ("RateLimitError: 429 retry after 3 s (req_1)", True),
        ("RateLimitError:*retry*retry*", False),
        ("*(req_?)", False),
        ("", False),
    ],
)
def test_a_pattern_of_retry_describes_the_whole_reason(pattern: str, matched: bool) -> None:
    assert matches_reason("RateLimitError: 429\n  retry after 3 s (req_1)", pattern) is matched


def test_parts_of_a_pattern_do_not_overlap_and_the_empty_one_is_for_no_reason() -> None:
    assert not matches_reason("aba", "ab*ba")
    assert matches_reason("abba", "ab*ba")
    assert matches_reason("", "")
    assert matches_reason("x" * 1_000_000, "*".join("x" * 50))
    assert not matches_reason("x" * 1_000_000, "*".join("x" * 50) + "y")

"""What an HTTP code means for a kickoff, and how long a wait a server may request."""

from datetime import UTC, datetime

import pytest

from batchcrew.crew.answers import Refusal, kickoff_refusal, retry_after_seconds
from batchcrew.model.crew_answers import BadInputs, Busy, Doubtful, Unusable

NOW = datetime(2025, 6, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("codes", "kind"),
    [
        ((401, 402, 403, 404, 405, 407), Unusable),
        ((400, 422, 406, 409, 410, 411, 413, 414, 415, 418, 451, 499), BadInputs),
        ((408, 425, 429, 503), Busy),
        ((500, 501, 502, 504, 505, 507, 520, 529, 599), Doubtful),
        ((101, 300, 303, 304, 600, 999), Doubtful),
    ],
)
def test_every_code_means_one_thing(codes: tuple[int, ...], kind: type[Refusal]) -> None:
    for code in codes:
        answer = kickoff_refusal(code, "the server's words", url="http://crew/kickoff", retry_after=7.0)
        assert type(answer) is kind, code
        assert str(code) in answer.reason
        assert "the server's words" in answer.reason or code in {404, 405}


def test_busy_carries_the_wait() -> None:
    assert kickoff_refusal(429, "", url="", retry_after=7.0) == Busy(
        "refused for now: 429 Too Many Requests", 7.0, too_many=True
    )


@pytest.mark.parametrize(("code", "mend"), [(401, "token"), (404, "base URL"), (407, "proxy"), (402, "account")])
def test_an_unusable_crew_is_reported_with_its_fix(code: int, mend: str) -> None:
    assert mend in kickoff_refusal(code, "", url="http://crew/kickoff", retry_after=None).reason


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "-5"}, 0.0),
        ({"Retry-After": "999999999"}, 3600.0),
        ({"Retry-After": "9" * 5000}, 3600.0),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "1 Jan 99999 00:00:00 GMT"}, None),
        ({"Retry-After": "Sun, 01 Jun 2025 12:00:30 GMT"}, 30.0),
        ({"Retry-After": "Sun, 01 Jun 2025 12:00:30 -0000"}, 30.0),
        ({"Retry-After": "Sun, 01 Jun 2025 11:00:00 GMT"}, 0.0),
        ({"Retry-After": "Mon, 01 Jun 2026 11:00:00 GMT"}, 3600.0),
        ({"Retry-After": "Sun, 01 Jun 2025 14:00:10 GMT", "Date": "Sun, 01 Jun 2025 14:00:00 GMT"}, 10.0),
        ({"Retry-After": "Sun, 01 Jun 2025 12:00:30 GMT", "Date": "garbage"}, 30.0),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers, NOW) == seconds

"""The signature of `humanInputWebhook`: right, wrong, replayed, malformed."""

from datetime import UTC, datetime, timedelta

import pytest

from batchcrew.crew.webhook_signature import signature, wrong_signature

NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
SECRET, BODY = "a-secret-of-the-tests", b'{"execution_id": "x", "task_id": "t"}'
SECONDS = str(int(NOW.timestamp()))


def verdict(
    timestamp: str = SECONDS, *, given: str | None = None, body: bytes = BODY, secret: str = SECRET
) -> str | None:
    signed = signature(BODY, timestamp, SECRET) if given is None else given
    return wrong_signature({"X-Signature": signed, "X-Timestamp": timestamp}, body, secret=secret, now=NOW)


def test_a_literal_signature() -> None:
    """Computed with `openssl dgst -sha256 -hmac s`."""
    digest = "e9232c9945da8456c2dea6b39da7786c07b00bca7a64d5dd1283674713a7b72a"
    assert signature(b"{}", "1700000000", "s") == f"sha256={digest}"


@pytest.mark.parametrize("timestamp", [SECONDS, SECONDS + "000", "2026-11-28T09:00:00Z", "2026-11-28T10:00:00+01:00"])
def test_a_right_signature_is_accepted(timestamp: str) -> None:
    assert verdict(timestamp) is None


def test_the_case_of_the_hexadecimal_digits_does_not_matter() -> None:
    assert verdict(given=signature(BODY, SECONDS, SECRET).upper().replace("SHA256", "sha256")) is None


@pytest.mark.parametrize("given", ["sha256=00", "00", "sha1=00", "sha256=ä", "\udce4", "sha256=" + "0" * 64])
def test_a_wrong_signature_is_refused(given: str) -> None:
    assert verdict(given=given) == "X-Signature is wrong"


def test_another_body_another_secret_and_another_timestamp_are_refused() -> None:
    assert verdict(body=BODY + b" ") is not None
    assert verdict(secret="another") is not None
    later = str(int(NOW.timestamp()) + 1)
    assert verdict(later, given=signature(BODY, SECONDS, SECRET)) is not None


def test_a_replay_is_refused() -> None:
    old = str(int((NOW - timedelta(seconds=301)).timestamp()))
    assert "300 s" in (verdict(old) or "")
    assert verdict(str(int((NOW - timedelta(seconds=299)).timestamp()))) is None


@pytest.mark.parametrize("timestamp", ["soon", "1e400", "9" * 30, "-1", "٣"])
def test_a_timestamp_that_is_not_a_moment_is_refused(timestamp: str) -> None:
    assert verdict(timestamp) is not None


def test_missing_headers_are_refused() -> None:
    assert wrong_signature({}, BODY, secret=SECRET, now=NOW) == "X-Signature or X-Timestamp is missing"

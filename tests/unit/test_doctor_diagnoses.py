"""What the facts about a crew's server mean: the level of each check of `doctor`, at its boundaries."""

from datetime import UTC, datetime, timedelta

import pytest
from yarl import URL

from batchcrew.crew import diagnoses
from batchcrew.crew.diagnoses import Certificate
from batchcrew.crew.failures import FailureKind
from batchcrew.model.crew_answers import CrewInput, CrewInputs, Unclear
from batchcrew.model.diagnosis import Diagnosis, Level

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
OK, WARNING, PROBLEM = Level.OK, Level.WARNING, Level.PROBLEM


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (FailureKind.DNS, "reachable"),
        (FailureKind.CONNECTION, "reachable"),
        (FailureKind.CONNECTION_TIMEOUT, "reachable"),
        (FailureKind.TLS, "tls"),
        (FailureKind.PROXY, "proxy"),
        (FailureKind.ANSWER, "reachable"),
    ],
)
def test_a_crew_that_is_not_reached_is_a_problem_with_a_fix(kind: FailureKind, check: str) -> None:
    found = diagnoses.not_reached(kind, "no luck")
    assert (found.check, found.level, found.text) == (check, PROBLEM, "no luck")
    assert found.fix


def test_a_reason_that_names_its_fix_keeps_it() -> None:
    assert diagnoses.not_reached(FailureKind.TLS, "not trusted; add it").fix == "add it"
    assert diagnoses.not_reached(FailureKind.ANSWER, "a; moved; set it", refused=True) == Diagnosis(
        "url", PROBLEM, "a; moved", "set it"
    )


@pytest.mark.parametrize(("days", "level"), [(-1, WARNING), (13, WARNING), (14, OK), (400, OK)])
def test_a_certificate_that_expires_soon_is_a_warning(days: int, level: Level) -> None:
    found = Certificate(expires=NOW + timedelta(days=days, hours=1), protocol="TLSv1.3")
    assert diagnoses.certificate(found, NOW).level is level
    assert diagnoses.certificate(None, NOW).level is OK


@pytest.mark.parametrize(
    ("given", "with_token", "without", "level"),
    [
        (True, 401, None, PROBLEM),
        (True, 403, None, PROBLEM),
        (False, 401, None, PROBLEM),
        (True, 402, None, PROBLEM),
        (True, 407, None, PROBLEM),
        (True, 200, 401, OK),
        (True, 200, 200, WARNING),
        (True, 200, None, OK),
        (True, 404, None, OK),
        (False, 200, None, OK),
    ],
)
def test_the_token(given: bool, with_token: int, without: int | None, level: Level) -> None:
    assert diagnoses.token(given=given, with_token=with_token, without_token=without).level is level


@pytest.mark.parametrize(
    ("code", "page", "passing", "level"),
    [
        (404, False, False, WARNING),
        (404, True, False, WARNING),
        (200, True, False, PROBLEM),
        (503, False, True, PROBLEM),
    ],
)
def test_inputs_that_are_not_listed(code: int, page: bool, passing: bool, level: Level) -> None:
    assert diagnoses.inputs(Unclear("no list", passing=passing), code=code, page=page).level is level


def test_listed_inputs_are_named_up_to_a_limit() -> None:
    many = CrewInputs(inputs=tuple(CrewInput(name=f"n{number}", type="str", required=False) for number in range(30)))
    text = diagnoses.inputs(many, code=200, page=False).text
    assert "n0 (str) (optional)" in text
    assert text.endswith("and 10 more")
    assert diagnoses.inputs(CrewInputs(inputs=()), code=200, page=False).level is OK


@pytest.mark.parametrize(
    ("code", "missing", "lists_inputs", "level"),
    [
        (405, 404, True, OK),
        (204, 404, False, OK),
        (404, 404, True, WARNING),
        (405, 405, True, WARNING),  # this server answers OPTIONS in the same way everywhere
        (404, 404, False, PROBLEM),
        (405, 405, False, PROBLEM),
        (None, None, False, WARNING),
        (502, 404, False, WARNING),
    ],
)
def test_the_path_of_kickoffs(code: int | None, missing: int | None, lists_inputs: bool, level: Level) -> None:
    assert diagnoses.kickoff_path(code, missing, lists_inputs=lists_inputs).level is level


def test_the_paths_of_status_requests() -> None:
    assert diagnoses.status_paths(["/status/{id}"], 404).level is OK
    assert diagnoses.status_paths([], None).level is WARNING


@pytest.mark.parametrize(
    ("first", "later", "level"), [(0.1, [0.05], OK), (5.0, [0.1, 0.1], WARNING), (0.1, [4.0, 4.0, 0.1], WARNING)]
)
def test_the_latency(first: float, later: list[float], level: Level) -> None:
    assert diagnoses.latency(first, later).level is level


@pytest.mark.parametrize(
    ("offset", "level"), [(None, OK), (0.0, OK), (30.0, OK), (31.0, WARNING), (-31.0, WARNING), (-30.0, OK)]
)
def test_the_clock(offset: float | None, level: Level) -> None:
    assert diagnoses.clock(offset).level is level


@pytest.mark.parametrize(
    ("reused", "idle_limit", "level"),
    [(True, None, OK), (True, 5.0, OK), (True, 1.0, WARNING), (True, 0.0, OK), (False, None, WARNING)],
)
def test_keep_alive(reused: bool, idle_limit: float | None, level: Level) -> None:
    found = diagnoses.connection(http_version="1.1", closes=False, reused=reused, idle_limit=idle_limit, keepalive=1.0)
    assert found.level is level


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("http://127.0.0.1:8000", "on this machine"),
        ("http://[::1]:8000", "on this machine"),
        ("http://10.1.2.3", "in a private network"),
        ("http://crew.internal", "in a private network"),
        ("http://crew", "in a private network"),
        ("https://crew.example.com", "it is elsewhere"),
        ("https://8.8.8.8", "it is elsewhere"),
    ],
)
def test_where_webhooks_would_come_from(url: str, named: str) -> None:
    assert named in diagnoses.webhooks(URL(url), declared=True).text
    assert diagnoses.webhooks(URL(url), declared=False).level is OK

"""What `failures` prints: groups with their share, kinds, money, times and commands; and costs as text."""

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from batchcrew.base.costs import cost_by_price, sum_of_costs
from batchcrew.base.text import display_width
from batchcrew.model.failures import FailureGroup, FailureGroups, GroupDetail
from batchcrew.model.run import Counts
from batchcrew.reports.failures import (
    FailuresView,
    failures_head,
    group_json,
    group_lines,
    group_retry,
    json_head,
    json_piece,
    more_groups_line,
)

VIEW = FailuresView(
    batch="leads",
    ledger="results/batchcrew.db",
    program="batchcrew",
    counts=Counts(succeeded=763, failed=35, held=2),
    width=80,
)
GROUP = FailureGroup(
    fingerprint="1a2b3c4d5e6f",
    jobs=20,
    example_job="lead-17",
    reason="RateLimitError: 429 " + "Too Many Requests " * 20,
    first_at="2026-11-28T02:10:03.000Z",
    last_at="2026-11-28T02:38:41.500Z",
    least_attempts=3,
    most_attempts=3,
    retried=20,
)
GROUPS = FailureGroups(groups=(GROUP,), number=4, jobs=37)
DETAIL = GroupDetail(kinds={"timed_out": 2, "failed": 18}, kickoffs=60, cost="30.00 USD")


def test_a_group_has_its_share_words_attempts_money_times_and_commands() -> None:
    assert failures_head(VIEW, GROUPS) == "leads: 35 of 800 jobs failed, 2 held; 4 groups"
    lines = [*group_lines(VIEW, GROUPS, GROUP, DETAIL)]
    assert lines == [
        "",
        "20 jobs (54% of the failures, 2.5% of all jobs)",
        f"  {lines[2].strip()}",
        "  3 attempts each, 20 jobs retried; latest: 18 failed, 2 timed out",
        "  60 kickoffs, 30.00 USD",
        "  from 2026-11-28 02:10:03Z to 2026-11-28 02:38:41Z",
        "  example: batchcrew show leads lead-17",
        "  retry:   batchcrew retry leads --fingerprint 1a2b3c4d5e6f",
    ]
    assert lines[2].startswith("  RateLimitError: 429 Too Many")
    assert lines[2].endswith("…")
    assert max(map(display_width, lines)) <= 80
    more = more_groups_line(VIEW, GROUPS)
    assert more is not None
    assert more.strip() == "and 3 more groups (17 jobs): batchcrew failures leads --json"


def test_the_retry_command_names_the_states_and_the_missing_reason() -> None:
    assert group_retry(VIEW, replace(GROUP, held=20)).endswith(" leads --held --fingerprint 1a2b3c4d5e6f")
    mixed = group_retry(VIEW, replace(GROUP, held=2))
    assert mixed.endswith(" leads --state failed --held --fingerprint 1a2b3c4d5e6f")
    assert group_retry(VIEW, replace(GROUP, fingerprint=None)).endswith(" leads --reason ''")


def test_refused_kickoffs_and_rejected_answers_are_different_kinds() -> None:
    detail = GroupDetail(kinds={"rejected": 2, "answer_rejected": 1, "not_kicked_off": 3})
    lines = [*group_lines(VIEW, GROUPS, GROUP, detail)]
    assert lines[3].endswith("latest: 3 not kicked off, 2 refused by the server, 1 with a rejected answer")


def test_a_batch_without_failures_says_so() -> None:
    view = replace(VIEW, counts=Counts(succeeded=800))
    assert failures_head(view, FailureGroups()) == "leads: none of 800 jobs has failed or is on hold"
    assert more_groups_line(view, FailureGroups()) is None


def test_the_json_of_a_group_has_stable_keys() -> None:
    assert json.loads(json_piece(json_head(VIEW, GROUPS), 0)) == {
        "batch": "leads",
        "total": 800,
        "failed": 35,
        "held": 2,
        "more_groups": 3,
        "more_jobs": 17,
    }
    said = json.loads(json_piece(group_json(VIEW, GROUPS, GROUP, DETAIL, "all of it\x1b"), 4))
    assert said == {
        "fingerprint": "1a2b3c4d5e6f",
        "jobs": 20,
        "failed": 20,
        "held": 0,
        "share": 0.025,
        "share_of_failures": 0.5405,
        "example_job": "lead-17",
        "reason": "all of it\x1b",
        "first_at": "2026-11-28T02:10:03.000Z",
        "last_at": "2026-11-28T02:38:41.500Z",
        "attempts": {"least": 3, "most": 3},
        "retried": 20,
        "kinds": {"timed_out": 2, "failed": 18},
        "kickoffs": 60,
        "cost": "30.00 USD",
        "retry": "batchcrew retry leads --fingerprint 1a2b3c4d5e6f",
    }


@given(st.text(st.characters()))
def test_no_text_of_a_failure_reaches_the_terminal_as_it_came(text: str) -> None:
    view, group = replace(VIEW, batch=text), replace(GROUP, example_job=text, reason=text)
    said = "\n".join([failures_head(view, GROUPS), *group_lines(view, GROUPS, group, DETAIL)])
    said += json_piece(group_json(view, GROUPS, group, DETAIL, text), 4)
    assert not any(c != "\n" and (ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c == "\u202e") for c in said)
    assert said.encode()


def test_costs_are_added_by_currency_and_may_be_ranges() -> None:
    assert cost_by_price({"0.50 USD": (3, 5), "0.25 USD": (2, 2), "1": (1, 1)}) == "2.00 to 3.00 USD + 1.00"
    assert cost_by_price({}) is None
    assert sum_of_costs(["1.00 USD", "2.00 to 3.00 USD + 4.00 €", "5.00"]) == "3.00 to 4.00 USD + 4.00 € + 5.00"
    assert sum_of_costs([]) is None

"""The exit codes of errors, of a recheck and of a check; those of a run are in test_reports_summary.py."""

import ast
from pathlib import Path

import pytest

import batchcrew
from batchcrew.base.errors import (
    BatchBusy,
    BatchcrewError,
    CrewUnusable,
    JobFileError,
    LedgerError,
    LedgerTooNew,
    LedgerTooOld,
    NeedsConsent,
    NotInLedger,
    NotRecorded,
    OutputClosed,
    OutputError,
    StoppedEarly,
    UsageError,
)
from batchcrew.model.exit_codes import MEANINGS, SHORT_MEANINGS, ExitCode, of_check, of_error, of_recheck
from batchcrew.model.run import Counts


def all_errors(kind: type[BatchcrewError] = BatchcrewError) -> set[type[BatchcrewError]]:
    return {kind}.union(*(all_errors(below) for below in kind.__subclasses__() if "batchcrew" in below.__module__))


CODES: list[tuple[BatchcrewError, int]] = [
    (BatchcrewError(), 70),
    (UsageError(), 2),
    (JobFileError([]), 2),
    (NeedsConsent(), 3),
    (StoppedEarly(), 3),
    (BatchBusy(), 4),
    (CrewUnusable(), 5),
    (OutputError(), 2),
    (OutputClosed(), 0),
    (LedgerError(), 70),
    (LedgerTooNew(), 70),
    (LedgerTooOld(), 2),
    (NotRecorded("", spilled=False), 70),
    (NotInLedger(), 2),
]


@pytest.mark.parametrize(("error", "code"), CODES, ids=lambda value: type(value).__name__)
def test_every_error_has_an_exit_code(error: BatchcrewError, code: int) -> None:
    assert of_error(error) == code


def test_no_error_is_left_out() -> None:
    assert {type(error) for error, _ in CODES} == all_errors()


def test_every_exit_code_has_its_meanings() -> None:
    assert set(MEANINGS) == set(SHORT_MEANINGS) == set(ExitCode)


@pytest.mark.parametrize(
    ("counts", "stopped", "no_clear_answer", "code"),
    [
        (Counts(succeeded=2), False, False, ExitCode.SUCCEEDED),
        (Counts(succeeded=2), True, False, ExitCode.STOPPED),
        (Counts(succeeded=2), True, True, ExitCode.CREW_UNUSABLE),
        (Counts(succeeded=1, pending=1), False, False, ExitCode.STOPPED),
        (Counts(succeeded=1, held=1), False, False, ExitCode.JOBS_FAILED),
    ],
)
def test_a_recheck(counts: Counts, stopped: bool, no_clear_answer: bool, code: ExitCode) -> None:
    assert of_recheck(counts, stopped=stopped, no_clear_answer=no_clear_answer) is code


@pytest.mark.parametrize(
    ("missing_inputs", "crew_unusable", "needs_consent", "code"),
    [
        (True, True, True, ExitCode.USAGE),
        (False, True, True, ExitCode.CREW_UNUSABLE),
        (False, False, True, ExitCode.STOPPED),
        (False, False, False, ExitCode.SUCCEEDED),
    ],
)
def test_a_check(missing_inputs: bool, crew_unusable: bool, needs_consent: bool, code: ExitCode) -> None:
    checked = of_check(missing_inputs=missing_inputs, crew_unusable=crew_unusable, needs_consent=needs_consent)
    assert checked is code


def test_every_error_that_has_a_class_is_raised_somewhere() -> None:
    raised: set[str] = set()
    for path in Path(batchcrew.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                raised.add(ast.unparse(node.exc.func))
    leaves = {kind.__name__ for kind in all_errors() if not kind.__subclasses__()}
    assert leaves - raised == set()

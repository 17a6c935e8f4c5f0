"""Groups of columns that an export has on request: tokens, files, and the task or attempt of a row."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from batchcrew.base import export_columns
from batchcrew.model.execution import TaskResult
from batchcrew.model.result_selection import RowPer
from batchcrew.model.views import AttemptDetail, ResultRow
from batchcrew.reports.export.table import Column, ColumnType, Origin


def _column(
    base: str, value: Callable[[ResultRow], Any], type_: ColumnType = ColumnType.TEXT, origin: Origin = Origin.BATCHCREW
) -> Column:
    return Column(name=base, header=base, type=type_, origin=origin, value=value, base=base)


def _tokens(name: str) -> Callable[[ResultRow], Any]:
    def value(row: ResultRow) -> Any:
        found = getattr(row if row.attempt is None else row.attempt, name)
        return float(found) if isinstance(found, Decimal) else found

    return value


def _artifacts(row: ResultRow) -> tuple[str, ...]:
    return row.artifacts if row.attempt is None else row.attempt.artifacts


def _task(read: Callable[[TaskResult], Any]) -> Callable[[ResultRow], Any]:
    return lambda row: None if row.task is None else read(row.task)


def _attempt(read: Callable[[AttemptDetail], Any]) -> Callable[[ResultRow], Any]:
    return lambda row: None if row.attempt is None else read(row.attempt)


_CREW, _NUMBER, _TIME = Origin.CREW, ColumnType.NUMBER, ColumnType.TIME
_TYPES = {"cost": ColumnType.NUMBER, "currency": ColumnType.TEXT}
TOKEN_COLUMNS = tuple(
    _column(name, _tokens(name), _TYPES.get(name, ColumnType.INTEGER)) for name in export_columns.TOKEN_COLUMNS
)
"""`--tokens`: of all attempts of the job; of the row's attempt, where each has a row."""
ARTIFACT_COLUMNS = tuple(
    _column(name, lambda row: list(_artifacts(row)) or None, ColumnType.JSON, Origin.CREW)
    for name in export_columns.ARTIFACT_COLUMNS
)
"""`--artifacts`: of the latest attempt; of the row's attempt, where each has a row."""
TASK_COLUMNS = (
    _column("task_id", _task(lambda task: task.task_id), origin=_CREW),
    _column("task_agent", _task(lambda task: task.agent), origin=_CREW),
    _column("task_output", _task(lambda task: task.output), origin=_CREW),
    _column("task_execution_time", _task(lambda task: task.execution_time), _NUMBER),
)
"""`--tasks`: of the latest attempt."""
ATTEMPT_COLUMNS = (
    _column("attempt", _attempt(lambda attempt: attempt.number), ColumnType.INTEGER),
    _column("attempt_state", _attempt(lambda attempt: attempt.state.value)),
    _column("attempt_output", _attempt(lambda attempt: attempt.output), origin=_CREW),
    _column("attempt_error", _attempt(lambda attempt: attempt.reason), origin=_CREW),
    _column("attempt_kickoff_id", _attempt(lambda attempt: attempt.kickoff_id), origin=_CREW),
    _column("attempt_started_at", _attempt(lambda attempt: attempt.kicked_off_at), _TIME),
    _column("attempt_ended_at", _attempt(lambda attempt: attempt.ended_at), _TIME),
    _column("attempt_execution_time", _attempt(lambda attempt: attempt.execution_time), _NUMBER),
)
"""`--attempts`."""
DETAIL_COLUMNS = {RowPer.JOB: (), RowPer.TASK: TASK_COLUMNS, RowPer.ATTEMPT: ATTEMPT_COLUMNS}

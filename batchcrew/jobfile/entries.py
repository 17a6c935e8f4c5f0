"""The entries of `jobs:`, each a stream of jobs: an inline job, the rows of a file, a grid."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from batchcrew.base.export_columns import exported
from batchcrew.jobfile.hashing import content_id
from batchcrew.jobfile.ids import ID_COLUMNS, WrongName, job_id
from batchcrew.jobfile.problems import Problems, nearest, shown
from batchcrew.jobfile.rows.rows_file import RowsFile
from batchcrew.jobfile.sending import Sending
from batchcrew.jobfile.template import Template, TemplateProblem
from batchcrew.model.job import Duplicates, Job, Location

Values: TypeAlias = dict[str, Any]
RESERVED_META = "batchcrew"
"""The key of `meta` by which batchcrew recognizes executions."""


class Entry(Protocol):
    """One entry of `jobs:`."""

    @property
    def rows_file(self) -> Path | None:
        """The rows file that the jobs come from, in addition to the job file."""
        ...

    @property
    def undecided_crew(self) -> str | None:
        """The crew whose answer decides which columns are sent; None: the entry names them."""
        ...

    def jobs(self, problems: Problems, sending: Sending) -> Iterator[Job]:
        """Yield the jobs in order, one at a time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An inline job; it was checked when the file was loaded."""

    job: Job

    @property
    def rows_file(self) -> Path | None:
        return None

    @property
    def undecided_crew(self) -> str | None:
        return None

    def jobs(self, problems: Problems, sending: Sending) -> Iterator[Job]:
        del problems, sending
        yield self.job


Fill: TypeAlias = Callable[[Values], Values]


def filling(values: Mapping[str, Any], today: str) -> Fill:
    """Return a function that renders these values for a row; they may contain `Template`s at any depth."""
    parts = {name: _filler(value, today) for name, value in values.items()}
    return lambda row: {name: part(row) for name, part in parts.items()}


def _filler(value: Any, today: str) -> Callable[[Values], Any]:
    if isinstance(value, Template):
        return lambda row: value.render(row, today)
    if isinstance(value, dict):
        return filling(value, today)
    if isinstance(value, list):
        parts = [_filler(item, today) for item in value]
        return lambda row: [part(row) for part in parts]
    return lambda row: value


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Makes jobs from rows, for rows files and grids."""

    crew: str
    today: str
    id: Template | None = None
    inputs: Fill | None = None
    """None: the columns, except for the id's."""
    send: Literal["all"] | frozenset[str] | None = None
    """Columns that are sent if `inputs` is None; None: those that the crew requests."""
    named: frozenset[str] = frozenset()
    """Names that the templates use."""
    meta: Fill | None = None
    where: Template | None = None
    default_inputs: Values = field(default_factory=dict)
    default_meta: Values = field(default_factory=dict)
    duplicates: Duplicates = "error"
    """Treatment of a row without an id that is identical to an earlier one."""

    def jobs(
        self,
        rows: Iterable[tuple[Location, Values]],
        problems: Problems,
        *,
        id_columns: tuple[str, ...],
        uniform: bool,
        sending: Sending | None = None,
    ) -> Iterator[Job]:
        """Yield a job for each row; a row with a mistake is added to `problems`, and reading continues.

        Args:
            id_columns: columns that may hold the id; the first that a row has is used.
            uniform: whether all rows have the same columns. Then an unknown name ends reading.
            sending: the columns that are sent; None: all.
        """
        shape = None if sending is None else RowShapes(self, sending, id_columns)
        crew, today, defaults, meta = self.crew, self.today, self.default_inputs, self.default_meta
        fill_inputs, fill_meta, where = self.inputs, self.meta, self.where
        id_column: str | None = None
        id_column_found = False
        for place, row in rows:
            try:
                if where is not None and not where.holds(row, today):
                    continue
                if not id_column_found:
                    id_column = _id_column(row, id_columns)
                    id_column_found = uniform
                if fill_inputs is not None:
                    inputs = {**defaults, **fill_inputs(row)}
                else:
                    sent = row if shape is None else shape.sent(row)
                    inputs = {**defaults, **sent}
                    if (
                        id_column is not None
                        and id_column in sent
                        and (shape is None or not shape.requested(id_column))
                    ):
                        _drop(inputs, id_column, defaults)
                if fill_meta is not None:
                    meta = {**self.default_meta, **fill_meta(row)}
                name = self._id(row, id_column, inputs)
            except (TemplateProblem, WrongName, ValueError, RecursionError) as exc:
                kind = _VALUE.sub("#", str(exc)) if isinstance(exc, TemplateProblem) and not exc.unknown else None
                problems.at(place, str(exc), kind=kind)
                if problems.full or (uniform and isinstance(exc, TemplateProblem) and exc.unknown):
                    return
                continue
            yield Job(
                job_id=name,
                crew=crew,
                inputs=inputs,
                meta=meta,
                row=row if shape is None else shape.stored(row),
                where=place,
                duplicates=self.duplicates if self.id is None and id_column is None else None,
            )

    def _id(self, row: Values, id_column: str | None, inputs: Values) -> str:
        if self.id is not None:
            return job_id(self.id.text(row, self.today), "the id")
        return (
            content_id(self.crew, inputs) if id_column is None else job_id(row[id_column], f"the column `{id_column}`")
        )


_VALUE = re.compile(r"(?<=: )(?:'[^']*'|\"[^\"]*\"|\d+)")
"""A value of the row in the message of a template's mistake."""


def _id_column(columns: Collection[str], id_columns: tuple[str, ...]) -> str | None:
    """Return the first of `id_columns` that a row has and that no export has added, or None.

    The `job_id` of an export is not the id of a job: a job whose id is made from its inputs gets another one if they
    change.
    """
    added = exported(columns) if id_columns else frozenset()
    return next((name for name in id_columns if name in columns and name not in added), None)


def _drop(inputs: Values, column: str, defaults: Values) -> None:
    """Replace the id's column in the inputs by the default of that name, or remove it."""
    if column in defaults:
        inputs[column] = defaults[column]
    else:
        del inputs[column]


class RowShapes:
    """The columns of a row that are sent and that are stored, computed once for all rows with the same columns.

    A column that `batchcrew export` has added is stored and sent only if `send` or a template names it.
    """

    _MOST = 1000
    """Shapes that are cached: the rows of a CSV file have one, JSON lines may have many."""

    def __init__(self, recipe: Recipe, sending: Sending, id_columns: tuple[str, ...]) -> None:
        self._recipe = recipe
        self._sending = sending
        self._id_columns = id_columns
        self._known: dict[tuple[str, ...], tuple[tuple[str, ...] | None, tuple[str, ...] | None]] = {}

    def sent(self, row: Values) -> Values:
        """Return the columns that are sent, including the id's.

        Raises:
            WrongName: `send` names a column that the row does not have.
        """
        names, _ = self._of(row)
        return row if names is None else {name: row[name] for name in names}

    def requested(self, column: str) -> bool:
        """Return whether the crew, or `send`, names the column."""
        send = self._recipe.send
        wanted = (
            send if isinstance(send, frozenset) else self._sending.wanted(self._recipe.crew) if send is None else None
        )
        return wanted is not None and column in wanted

    def stored(self, row: Values) -> Values:
        """Return the columns that are stored."""
        _, names = self._of(row)
        return row if names is None else {name: row[name] for name in names}

    def _of(self, row: Values) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
        shape = tuple(row)
        found = self._known.get(shape)
        if found is None:
            found = self._columns_of(shape)
            if len(self._known) < self._MOST:
                self._known[shape] = found
        return found

    def _columns_of(self, shape: tuple[str, ...]) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
        """Return the names of the columns that are sent, and of those that are stored; None: all."""
        recipe, sending = self._recipe, self._sending
        added = frozenset() if sending.exported else exported(shape)
        chosen: frozenset[str] | None = None
        if isinstance(recipe.send, frozenset):
            chosen = recipe.send
            for name in sorted(chosen.difference(shape)):
                raise WrongName(f"unknown column in `send`: {shown(name)}{nearest(name, shape)}")
        elif recipe.send is None and recipe.inputs is None:
            id_column = _id_column(shape, self._id_columns)
            sending.offer(recipe.crew, (name for name in shape if name not in added and name != id_column), id_column)
            chosen = sending.wanted(recipe.crew)
        sent = tuple(
            name
            for name in shape
            if (name not in added if chosen is None else name in chosen)
            and (name not in added or isinstance(recipe.send, frozenset))
        )
        stored = tuple(name for name in shape if name not in added or name in recipe.named or name in (chosen or ()))
        return (None if sent == shape else sent), (None if stored == shape else stored)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A `rows:` entry: a job for each row of a file."""

    file: RowsFile
    recipe: Recipe

    @property
    def rows_file(self) -> Path | None:
        return self.file.path

    @property
    def undecided_crew(self) -> str | None:
        return self.recipe.crew if self.recipe.inputs is None and self.recipe.send is None else None

    def jobs(self, problems: Problems, sending: Sending) -> Iterator[Job]:
        name = self.file.name
        rows: Iterator[tuple[Location, Values]]
        if self.file.format.has_sheets:
            found = self.file.found
            rows = ((Location(name, line, sheet=found.sheet), row) for line, row in self.file.read(problems))
        else:
            rows = ((Location(name, line), row) for line, row in self.file.read(problems))
        uniform = self.file.textual
        jobs = self.recipe.jobs(rows, problems, id_columns=ID_COLUMNS, uniform=uniform, sending=sending)
        return self._with_quoting(jobs) if uniform else jobs

    def _with_quoting(self, jobs: Iterator[Job]) -> Iterator[Job]:
        """Yield the jobs with the quoting of their rows: the file has not been read any further yet."""
        found = self.file.found
        for job in jobs:
            marks = found.quoting
            if marks is not None:
                if len(job.row) != len(marks):  # columns of an export are not stored
                    marks = "".join(mark for name, mark in zip(found.columns, marks, strict=True) if name in job.row)
                job.quoting = marks
            yield job


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A `grid:` entry: a job for every combination; the last name varies fastest."""

    where: Location
    values: dict[str, list[Any]]
    recipe: Recipe

    @property
    def rows_file(self) -> Path | None:
        return None

    @property
    def size(self) -> int:
        """The number of combinations, before `where`."""
        return prod(len(choices) for choices in self.values.values())

    @property
    def undecided_crew(self) -> str | None:
        return None

    def jobs(self, problems: Problems, sending: Sending) -> Iterator[Job]:
        del sending  # a grid names its inputs
        names = tuple(self.values)
        rows = ((self.where, dict(zip(names, choice, strict=True))) for choice in product(*self.values.values()))
        return self.recipe.jobs(rows, problems, id_columns=(), uniform=True)


def written_job(
    where: Location, crew: str, given_id: str | None, inputs: Values, meta: Values, defaults: tuple[Values, Values]
) -> Job:
    """Return an inline job.

    Args:
        defaults: the file's default inputs and meta.

    Raises:
        WrongName: the id is not valid.
        ValueError: the inputs contain a value that JSON does not have.
    """
    all_inputs, all_meta = {**defaults[0], **inputs}, {**defaults[1], **meta}
    name = content_id(crew, all_inputs) if given_id is None else job_id(given_id, "`id`")
    return Job(
        job_id=name,
        crew=crew,
        inputs=all_inputs,
        meta=all_meta,
        row=inputs if given_id is None else {"id": name, **inputs},
        where=where,
    )

"""The entries of `jobs:`, each a stream of jobs: one written out, the rows of a file, a grid."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from batchcrew.base.export_columns import exported
from batchcrew.jobfile.hashing import content_id
from batchcrew.jobfile.ids import ID_COLUMNS, WrongName, job_id
from batchcrew.jobfile.problems import Problems, named, nearest
from batchcrew.jobfile.rows.rows_file import RowsFile
from batchcrew.jobfile.sending import Sending
from batchcrew.jobfile.template import Template, TemplateProblem
from batchcrew.model.job import Duplicates, Job, Location

Values: TypeAlias = dict[str, Any]
RESERVED_META = "batchcrew"
"""batchcrew's own part of `meta`: it is how an execution is found again."""


class Entry(Protocol):
    """One entry of `jobs:`."""

    @property
    def rows_file(self) -> Path | None:
        """The file that decides the jobs next to the job file."""
        ...

    @property
    def unsaid_crew(self) -> str | None:
        """The crew whose answer decides which columns are sent; None: the entry says it itself."""
        ...

    def jobs(self, problems: Problems, sending: Sending) -> Iterator[Job]:
        """The jobs in order, one at a time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A job that stands in the job file itself; it was checked when the file was loaded."""

    job: Job

    @property
    def rows_file(self) -> Path | None:
        return None

    @property
    def unsaid_crew(self) -> str | None:
        return None

    def jobs(self, problems: Problems, sending: Sending) -> Iterator[Job]:
        del problems, sending
        yield self.job


Fill: TypeAlias = Callable[[Values], Values]


def filling(values: Mapping[str, Any], today: str) -> Fill:
    """A function that makes these values for a row; `Template`s stand in place of their texts, at any depth."""
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
    """How a row becomes a job; what rows and grids have in common."""

    crew: str
    today: str
    id: Template | None = None
    inputs: Fill | None = None
    """None: the columns themselves, but for the one that gives the id."""
    send: Literal["all"] | frozenset[str] | None = None
    """Which columns, where `inputs` does not say; None: those that the crew asks for."""
    named: frozenset[str] = frozenset()
    """Names that the templates use."""
    meta: Fill | None = None
    where: Template | None = None
    default_inputs: Values = field(default_factory=dict)
    default_meta: Values = field(default_factory=dict)
    duplicates: Duplicates = "error"
    """What happens to a row without an id that is identical to an earlier one."""

    def jobs(
        self,
        rows: Iterable[tuple[Location, Values]],
        problems: Problems,
        *,
        id_columns: tuple[str, ...],
        alike: bool,
        sending: Sending | None = None,
    ) -> Iterator[Job]:
        """A job for each row; a row that gives none is added to `problems`, and reading goes on.

        Args:
            id_columns: columns that may give the id; the first that a row has does.
            alike: all rows have the same columns, so a name that is missing once is missing in all of them.
            sending: which columns are sent; None: all of them.
        """
        shape = None if sending is None else RowShapes(self, sending, id_columns)
        crew, today, defaults, meta = self.crew, self.today, self.default_inputs, self.default_meta
        fill_inputs, fill_meta, where, make_id = self.inputs, self.meta, self.where, self.id
        id_column: str | None = None
        looked = False
        for place, row in rows:
            try:
                if where is not None and not where.holds(row, today):
                    continue
                if not looked:
                    id_column = next((name for name in id_columns if name in row), None)
                    looked = alike
                if fill_inputs is not None:
                    inputs = {**defaults, **fill_inputs(row)}
                else:
                    sent = row if shape is None else shape.sent(row)
                    inputs = {**defaults, **sent}
                    if id_column is not None and id_column in sent and (shape is None or not shape.asked(id_column)):
                        _drop(inputs, id_column, defaults)
                if fill_meta is not None:
                    meta = {**self.default_meta, **fill_meta(row)}
                if make_id is not None:
                    name = job_id(make_id.text(row, today), "the id")
                elif id_column is not None:
                    name = job_id(row[id_column], f"the column `{id_column}`")
                else:
                    name = content_id(crew, inputs)
            except (TemplateProblem, WrongName, ValueError, RecursionError) as exc:
                problems.at(place, str(exc))
                if problems.full or (alike and isinstance(exc, TemplateProblem) and exc.unknown):
                    return
                continue
            own_id = make_id is not None or id_column is not None
            yield Job(
                job_id=name,
                crew=crew,
                inputs=inputs,
                meta=meta,
                row=row if shape is None else shape.own(row),
                where=place,
                duplicates=None if own_id else self.duplicates,
            )


def _drop(inputs: Values, column: str, defaults: Values) -> None:
    """Take the id's column out of the inputs; a default of that name stands again."""
    if column in defaults:
        inputs[column] = defaults[column]
    else:
        del inputs[column]


class RowShapes:
    """What becomes of the columns of a rows file, looked up once for rows with the same columns.

    A column that an export of ours has added is never sent unless `send` or a template names it, and it is not one of
    the file's own.
    """

    _MOST = 1000
    """Shapes that are remembered: rows of a CSV have one, JSON lines may have many."""

    def __init__(self, recipe: Recipe, sending: Sending, id_columns: tuple[str, ...]) -> None:
        self._recipe = recipe
        self._sending = sending
        self._id_columns = id_columns
        self._known: dict[tuple[str, ...], tuple[tuple[str, ...] | None, tuple[str, ...] | None]] = {}

    def sent(self, row: Values) -> Values:
        """Return the columns that are sent, the id's included. Raises WrongName: `send` names one that is not there."""
        names, _ = self._of(row)
        return row if names is None else {name: row[name] for name in names}

    def asked(self, column: str) -> bool:
        """Return whether the crew, or `send`, names the column."""
        send = self._recipe.send
        wanted = (
            send if isinstance(send, frozenset) else self._sending.wanted(self._recipe.crew) if send is None else None
        )
        return wanted is not None and column in wanted

    def own(self, row: Values) -> Values:
        """Return the file's own columns."""
        _, names = self._of(row)
        return row if names is None else {name: row[name] for name in names}

    def _of(self, row: Values) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
        shape = tuple(row)
        found = self._known.get(shape)
        if found is None:
            found = self._look_at(shape)
            if len(self._known) < self._MOST:
                self._known[shape] = found
        return found

    def _look_at(self, shape: tuple[str, ...]) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
        """Return the names that are sent and those that are the file's own; None: all of them."""
        recipe, sending = self._recipe, self._sending
        ours = frozenset() if sending.exported else exported(shape)
        chosen: frozenset[str] | None = None
        if isinstance(recipe.send, frozenset):
            chosen = recipe.send
            for name in sorted(chosen.difference(shape)):
                raise WrongName(f"`send` names {named(name)}, which is not a column{nearest(name, shape)}")
        elif recipe.send is None and recipe.inputs is None:
            id_column = next((name for name in self._id_columns if name in shape), None)
            sending.offer(recipe.crew, (name for name in shape if name not in ours and name != id_column), id_column)
            chosen = sending.wanted(recipe.crew)
        sent = tuple(
            name
            for name in shape
            if (name not in ours if chosen is None else name in chosen)
            and (name not in ours or isinstance(recipe.send, frozenset))
        )
        own = tuple(name for name in shape if name not in ours or name in recipe.named or name in (chosen or ()))
        return (None if sent == shape else sent), (None if own == shape else own)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """`rows:`, a job for each row of a file."""

    file: RowsFile
    recipe: Recipe

    @property
    def rows_file(self) -> Path | None:
        return self.file.path

    @property
    def unsaid_crew(self) -> str | None:
        return self.recipe.crew if self.recipe.inputs is None and self.recipe.send is None else None

    def jobs(self, problems: Problems, sending: Sending) -> Iterator[Job]:
        name = self.file.name
        rows = ((Location(name, line), row) for line, row in self.file.read(problems))
        return self.recipe.jobs(rows, problems, id_columns=ID_COLUMNS, alike=self.file.textual, sending=sending)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """`grid:`, a job for every combination; the last name varies fastest."""

    where: Location
    values: dict[str, list[Any]]
    recipe: Recipe

    @property
    def rows_file(self) -> Path | None:
        return None

    @property
    def size(self) -> int:
        """Combinations, before `where`."""
        return prod(len(choices) for choices in self.values.values())

    @property
    def unsaid_crew(self) -> str | None:
        return None

    def jobs(self, problems: Problems, sending: Sending) -> Iterator[Job]:
        del sending  # the job file names these values itself
        names = tuple(self.values)
        rows = ((self.where, dict(zip(names, choice, strict=True))) for choice in product(*self.values.values()))
        return self.recipe.jobs(rows, problems, id_columns=(), alike=True)


def written_job(
    where: Location, crew: str, given_id: str | None, inputs: Values, meta: Values, defaults: tuple[Values, Values]
) -> Job:
    """A job that stands in the job file.

    Args:
        defaults: the file's default inputs and meta.

    Raises:
        WrongName: the id cannot be used.
        ValueError: the inputs hold something that JSON has not.
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

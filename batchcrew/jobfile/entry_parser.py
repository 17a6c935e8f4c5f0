"""Read the `jobs:` part of a document: check each entry, compile its templates, find its file."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from batchcrew.config.crews import CrewSettings
from batchcrew.jobfile.crews import choose_crew
from batchcrew.jobfile.entries import RESERVED_META, Entry, Fill, Grid, Recipe, Rows, Written, filling, written_job
from batchcrew.jobfile.findings import Findings
from batchcrew.jobfile.ids import WrongName
from batchcrew.jobfile.nodes import ListNode, MapNode, Node, ScalarNode, written_text
from batchcrew.jobfile.options import JobFileOptions
from batchcrew.jobfile.problems import Problems, nearest, shown
from batchcrew.jobfile.rows.formats import ENCODED_SUFFIXES, ROWS_SUFFIXES, SEPARATED_SUFFIXES, SHEET_SUFFIXES
from batchcrew.jobfile.rows.rows_file import RowsFile, parse_delimiter
from batchcrew.jobfile.rows.text_encoding import encoding_error
from batchcrew.jobfile.schema import GridEntry, InlineEntry, RowsEntry, entry_kind
from batchcrew.jobfile.template import Template, TemplateProblem
from batchcrew.jobfile.validation_errors import found, validated
from batchcrew.model.job import Location

OTHERS = ("rows", "grid")
OTHER_WORKBOOKS = frozenset({".xls", ".xlsb", ".ods", ".numbers"})
MAX_GRID = 1_000_000
"""Combinations of one grid."""


@dataclass(slots=True, kw_only=True)
class EntryReader:
    """Reads the entries below `jobs:`."""

    path: Path
    today: date
    crews: Mapping[str, CrewSettings] | None
    """None if a crew has a problem: then entries are not checked for theirs."""
    defaults: tuple[dict[str, Any], dict[str, Any]]
    """Inputs and meta."""
    options: JobFileOptions
    findings: Findings
    uses_date: bool = field(default=False, init=False)
    """Whether a template uses `date`: on another day the same file may give other jobs."""
    _ids: dict[str, Location] = field(default_factory=dict, init=False)
    _names: set[str] = field(default_factory=set, init=False)
    """Names that the templates of the current entry use."""

    @property
    def problems(self) -> Problems:
        return self.findings.problems

    @property
    def broken(self) -> set[Location]:
        return self.findings.broken

    def read_jobs(self, root: MapNode) -> list[Entry]:
        """Return the entries without a problem."""
        node = root.items.get("jobs")
        example = "`jobs:` and under it `- rows: leads.csv`"
        if node is None:
            self.problems.at(root.where, f"missing key 'jobs' (expected {example})")
            return []
        if not isinstance(node, ListNode) or not node.items:
            self.problems.at(node.where, f"invalid `jobs`: {_found_list(node)} (expected a list, as in {example})")
            return []
        entries = []
        for item in node.items:
            if self.problems.full:
                break
            entry = self._entry(item)
            if entry is not None:
                entries.append(entry)
        return entries

    def _entry(self, node: Node) -> Entry | None:
        if not isinstance(node, MapNode):
            right = f"`- rows: {node.text}`" if isinstance(node, ScalarNode) and node.text else "`- rows: leads.csv`"
            message = f"invalid entry of `jobs`: {found(node)} (expected a mapping; for a file write {right})"
            self.problems.at(node.where, message)
            return None
        for key in ("id", "crew"):
            if isinstance(item := node.items.get(key), ScalarNode):
                written_text(item)
        if "rows" in node.items and "grid" in node.items:
            self.problems.at(node.keys["grid"], "`rows` and `grid` exclude each other; make it two entries")
            return None
        kind = entry_kind(node.items)
        if kind == "rows":
            return self._rows(node)
        return self._grid(node) if kind == "grid" else self._written(node)

    def _written(self, node: MapNode) -> Entry | None:
        entry = validated(InlineEntry, node, node.where, "an entry of `jobs`", self.findings, also=OTHERS)
        self._meta(node)
        crew = self._crew(node)
        if entry is None or crew is None:
            return None
        if any("{{" in value for value in entry.inputs.values() if isinstance(value, str)):
            place = node.items["inputs"].where
            self.findings.warnings.append(
                f"{place.file}:{place.line}: {{{{ is sent unchanged; templates work only in `rows` and `grid` entries"
            )
        id_place = node.items["id"].where if entry.id is not None else node.where
        try:
            job = written_job(node.where, crew, entry.id, entry.inputs, entry.meta, self.defaults)
        except (WrongName, ValueError) as exc:
            if id_place not in self.broken:
                self.problems.at(id_place, str(exc))
            return None
        first = self._ids.setdefault(job.job_id, id_place)
        if first is not id_place and id_place not in self.broken:
            what = f"duplicate id {shown(job.job_id)}" if entry.id is not None else "duplicate inputs without an id"
            self.problems.at(id_place, f"{what} (first used in line {first.line}); each job needs its own id")
        return Written(job=job)

    def _rows(self, node: MapNode) -> Entry | None:
        entry = validated(RowsEntry, node, node.where, "a rows entry", self.findings)
        recipe = self._recipe(node)
        if entry is None:
            return None
        encoding = self._encoding(entry.encoding, node)
        delimiter = self._delimiter(entry.delimiter, node)
        self._check_applies(entry, node)
        path = self._path(entry.rows, node.items["rows"].where)
        if path is None or recipe is None:
            return None
        file = RowsFile(
            path=path,
            name=str(path),
            encoding=encoding,
            delimiter=delimiter,
            sheet=entry.sheet if entry.sheet is not None else self.options.sheet,
        )
        if entry.send is not None and entry.inputs is not None:
            self.problems.at(
                node.keys["send"],
                "`send` has no effect next to `inputs`, which names everything that is sent; remove one of them",
            )
            return None
        send = frozenset(entry.send) if isinstance(entry.send, list) else entry.send
        return Rows(file=file, recipe=replace(recipe, duplicates=entry.duplicates, send=send))

    def _grid(self, node: MapNode) -> Entry | None:
        entry = validated(GridEntry, node, node.where, "a grid entry", self.findings)
        recipe = self._recipe(node)
        if entry is None or recipe is None:
            return None
        place = node.items["grid"].where
        grid = Grid(where=Location(place.file, node.where.line, node.where.column), values=entry.grid, recipe=recipe)
        if grid.size > MAX_GRID:
            self.problems.at(place, f"the grid has {grid.size:,} combinations (at most {MAX_GRID:,} are allowed)")
            return None
        return grid

    def _recipe(self, node: MapNode) -> Recipe | None:
        """Read the keys that rows and grids have in common; return None after a problem."""
        known = len(self.problems)
        today = self.today.isoformat()
        crew = self._crew(node)
        self._names = set()
        recipe = Recipe(
            crew=crew or "",
            today=today,
            id=self._id(node),
            inputs=self._filling(node, "inputs", today),
            meta=self._filling(node, "meta", today),
            where=self._where(node),
            default_inputs=self.defaults[0],
            default_meta=self.defaults[1],
            named=frozenset(self._names),
        )
        self._meta(node)
        return recipe if crew is not None and len(self.problems) == known else None

    def _id(self, node: MapNode) -> Template | None:
        item = node.items.get("id")
        if not isinstance(item, ScalarNode) or not isinstance(item.value, str) or item.where in self.broken:
            return None
        if "{{" not in item.value and "{%" not in item.value:
            name = item.value if item.value.isidentifier() else "email"
            message = f"invalid `id`: {shown(item.text)} is the same for every job (expected a template, as in "
            self.problems.at(item.where, message + f'"{{{{ {name} }}}}")')
            return None
        return self._template(item.value, item.where, "id")

    def _where(self, node: MapNode) -> Template | None:
        item = node.items.get("where")
        if not isinstance(item, ScalarNode) or item.where in self.broken or not isinstance(item.value, str | bool):
            return None
        return self._template(str(item.value), item.where, "where", condition=True)

    def _filling(self, node: MapNode, key: str, today: str) -> Fill | None:
        item = node.items.get(key)
        if not isinstance(item, MapNode):
            return None
        return filling({name: self._compiled(value, f"{key}.{name}") for name, value in item.items.items()}, today)

    def _compiled(self, node: Node, name: str) -> Any:
        """Return the node's data, with each text that is a template replaced by a `Template`."""
        if isinstance(node, MapNode):
            return {key: self._compiled(value, f"{name}.{key}") for key, value in node.items.items()}
        if isinstance(node, ListNode):
            return [self._compiled(value, f"{name}[{number}]") for number, value in enumerate(node.items)]
        if isinstance(node.value, str) and any(mark in node.value for mark in ("{{", "{%", "{#")):
            return self._template(node.value, node.where, name)
        return node.value

    def _template(self, text: str, where: Location, name: str, *, condition: bool = False) -> Template | None:
        try:
            template = Template(text, where=where, name=name, condition=condition)
        except TemplateProblem as exc:
            self.problems.at(where, str(exc))
            return None
        self.uses_date = self.uses_date or template.uses_date
        self._names |= template.names
        return template

    def _crew(self, node: MapNode) -> str | None:
        item = node.items.get("crew")
        wanted = item.value if isinstance(item, ScalarNode) and isinstance(item.value, str) else None
        if self.crews is None or (item is not None and item.where in self.broken):
            return ""
        try:
            return choose_crew(wanted, self.crews)
        except WrongName as exc:
            self.problems.at(item.where if item is not None else node.where, str(exc))
            return None

    def _meta(self, node: MapNode) -> None:
        meta = node.items.get("meta")
        if isinstance(meta, MapNode):
            check_meta(meta, self.problems)

    def _encoding(self, given: str | None, node: MapNode) -> str | None:
        encoding = given or self.options.encoding
        if given is not None and (mistake := encoding_error(given)):
            self.problems.at(node.items["encoding"].where, f"`encoding`: {mistake}")
        return encoding

    def _delimiter(self, given: str | None, node: MapNode) -> str | None:
        if given is None:
            return self.options.delimiter
        delimiter = parse_delimiter(given)
        if delimiter is None:
            place = node.items["delimiter"].where
            self.problems.at(place, f"invalid `delimiter`: {shown(given)} (expected one character or `tab`)")
        return delimiter

    def _check_applies(self, entry: RowsEntry, node: MapNode) -> None:
        """Add a problem for a key that has no effect on the file's format."""
        suffix = Path(entry.rows).suffix.lower()
        for key, given, suffixes in (
            ("encoding", entry.encoding, ENCODED_SUFFIXES),
            ("delimiter", entry.delimiter, SEPARATED_SUFFIXES),
            ("sheet", entry.sheet, SHEET_SUFFIXES),
        ):
            if given is not None and suffix in ROWS_SUFFIXES and suffix not in suffixes:
                self.problems.at(node.keys[key], f"`{key}` does not apply to a {suffix} file; remove it")

    def _path(self, rows: str, where: Location) -> Path | None:
        """Return the path of the rows file; None after a problem."""
        if where in self.broken:
            return None
        folder = self.path.parent
        path = folder / rows
        mistake: str | None = None
        try:
            if path.suffix.lower() not in ROWS_SUFFIXES:
                mistake = f"invalid file: {shown(rows)} (expected one that ends in {' '.join(ROWS_SUFFIXES)})"
                if path.suffix.lower() in OTHER_WORKBOOKS:
                    mistake = f"{shown(rows)} is a workbook; save it as .xlsx, or as CSV UTF-8, and name that file"
            elif not self.options.allow_outside and not path.resolve().is_relative_to(folder.resolve()):
                mistake = f"the file {shown(rows)} is outside the job file's folder; use --allow-outside to allow it"
            elif path.is_dir():
                mistake = f"{shown(rows)} is a folder"
            elif not path.is_file():
                mistake = f"file not found: {shown(rows)}{_near_file(path)}"
        except (OSError, ValueError, RuntimeError) as exc:  # too long, a NUL, a loop of links
            reason = exc.strerror if isinstance(exc, OSError) else exc
            if "\0" in rows:  # Python's own words differ by version
                reason = "it contains a NUL character"
            mistake = f"invalid path: {shown(rows)} ({reason})"
        if mistake:
            self.problems.at(where, mistake)
            return None
        return path


def _found_list(node: Node) -> str:
    return "an empty list" if isinstance(node, ListNode) else found(node)


def _near_file(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    return nearest(path.name, (entry.name for entry in path.parent.iterdir()))


def check_meta(meta: MapNode, problems: Problems) -> None:
    """Add a problem if the meta has the reserved key `batchcrew`."""
    if RESERVED_META in meta.items:
        problems.at(meta.keys[RESERVED_META], "`meta.batchcrew` is reserved for batchcrew; rename this key")

"""From a path to a `JobFile`: the head is read and checked whole, the jobs stream when they are asked for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

from batchcrew.base.errors import JobFileError, Problem
from batchcrew.config.settings import DEFAULT_CREW, CrewSettings, RunSettings
from batchcrew.jobfile.crews import crew_of_options, override, read_crews
from batchcrew.jobfile.description import RowsDescription, describe
from batchcrew.jobfile.entries import Entry, Recipe, Rows
from batchcrew.jobfile.entry_parser import EntryReader, check_meta
from batchcrew.jobfile.hashing import FORMAT_VERSION, canonical
from batchcrew.jobfile.ids import WrongName, batch_name
from batchcrew.jobfile.nodes import ListNode, MapNode, Node, ScalarNode, plain_data, scalars
from batchcrew.jobfile.problems import Problems, listed, named, nearest, shown
from batchcrew.jobfile.rows.formats import BARE_SUFFIXES
from batchcrew.jobfile.rows.questions import Question, questions_about
from batchcrew.jobfile.rows.rows_file import RowsFile, parse_delimiter
from batchcrew.jobfile.rows.text_encoding import encoding_error
from batchcrew.jobfile.rows.unfinished import Stamp, stamp
from batchcrew.jobfile.schema import Defaults, Document
from batchcrew.jobfile.sending import Sending
from batchcrew.jobfile.syntax import read_document
from batchcrew.jobfile.validation_errors import found, validated
from batchcrew.jobfile.variables import interpolate, with_dotenv
from batchcrew.model.job import Job, Location

DOCUMENT_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, kw_only=True)
class JobFile:
    """A job file whose head is right. Its rows are read by `jobs`, and only then found right or wrong."""

    path: Path
    batch: str
    crews: Mapping[str, CrewSettings]
    """By name; the one of a file with a single crew is DEFAULT_CREW."""
    run: RunSettings
    warnings: tuple[str, ...] = ()
    """What is allowed and should be told: one sentence each, with its place."""
    ledger: Path | None = None
    """The ledger that the job file names."""
    dated: bool = False
    """Its batch or its jobs depend on the date."""
    _entries: tuple[Entry, ...] = field(repr=False)
    _shape: bytes = field(repr=False)
    """What of the document, the options and the date decides the jobs."""

    @property
    def unsaid_crews(self) -> frozenset[str]:
        """Crews whose answer to `/inputs` decides which columns of a rows file they are sent."""
        return frozenset(entry.unsaid_crew for entry in self._entries if entry.unsaid_crew is not None)

    def jobs(self, problems: Problems, sending: Sending | None = None) -> Iterator[Job]:
        """Every job in the file's order, read as it is asked for: memory does not grow with the rows.

        A wrong row is added to `problems` and reading goes on, until `problems.full`. Ids are not
        compared across rows: that needs memory, or the ledger.
        """
        sending = sending or Sending()
        for entry in self._entries:
            if problems.full:
                return
            yield from entry.jobs(problems, sending)

    def describe(self) -> tuple[RowsDescription, ...]:
        """Describe each rows file, in the job file's order; their rows are counted once `jobs` was read to its end."""
        return tuple(describe(file) for file in self._rows_files())

    def questions(self) -> tuple[Question, ...]:
        """Return what looks wrong in the rows files and may be right. Reads the beginning of each, and no more."""
        return tuple(question for file in self._rows_files() for question in questions_about(file))

    def row_warnings(self) -> tuple[str, ...]:
        """What `jobs` found in rows files that is allowed and should be reported; the same form as `warnings`."""
        return tuple(note for file in self._rows_files() for note in file.found.notes)

    def _rows_files(self) -> list[RowsFile]:
        """Each rows file once, also when several entries read it alike."""
        files = [entry.file for entry in self._entries if isinstance(entry, Rows)]
        return list({(file.path, file.encoding, file.delimiter): file for file in files}.values())

    def stamps(self) -> dict[Path, Stamp]:
        """Inode, size and time of each rows file, to notice that one changed between `digest` and `jobs`.

        Raises:
            JobFileError: a rows file cannot be read.
        """
        stamps = {}
        for path in dict.fromkeys(entry.rows_file for entry in self._entries if entry.rows_file):
            try:
                stamps[path] = stamp(path)
            except OSError as exc:
                raise JobFileError([Problem(file=str(path), message=f"cannot be read: {exc.strerror}")]) from None
        return stamps

    def digest(self) -> str:
        """SHA-256 (hex) of everything that decides what `jobs` gives; crews' addresses and tokens do not.

        Rows files are read in chunks. A file with this digest need not be parsed again.

        Raises:
            JobFileError: a rows file cannot be read.
        """
        digest = sha256(self._shape)
        for path in dict.fromkeys(entry.rows_file for entry in self._entries if entry.rows_file):
            content = sha256()
            try:
                with path.open("rb") as stream:
                    while chunk := stream.read(2**20):
                        content.update(chunk)
            except OSError as exc:
                raise JobFileError([Problem(file=str(path), message=f"cannot be read: {exc.strerror}")]) from None
            digest.update(content.digest())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """What the caller says beside the file."""

    environ: Mapping[str, str]
    today: date
    crew_url: str | None
    crew_token: str | None
    encoding: str | None
    delimiter: str | None
    allow_outside: bool


def load_jobfile(
    path: Path,
    *,
    environ: Mapping[str, str],
    today: date,
    crew_url: str | None = None,
    crew_token: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    allow_outside: bool = False,
) -> JobFile:
    """Read a job file (`.yaml .yml .json`), or a bare rows file (`.csv .tsv .jsonl .ndjson`).

    Args:
        environ: the environment; it wins over a `.env` beside the file.
        today: what {date} and `date` stand for.
        crew_url: in place of the URL of the file's single crew (or the one named `default`); the crew of
            a bare rows file, whose default is CREW_URL.
        crew_token: in place of that crew's token.
        encoding: of CSV, TSV and JSONL files whose entry names none; default UTF-8 with or without BOM.
        delimiter: of CSV files whose entry names none; default found from each file.
        allow_outside: rows files may lie outside the job file's folder.

    Raises:
        JobFileError: with all problems of the head (up to 20), each with its file, line and column.
    """
    problems = Problems()
    _check_path(path, problems)
    if encoding is not None and (mistake := encoding_error(encoding)):
        problems.at(Location("--encoding"), mistake)
    separator = None if delimiter is None else parse_delimiter(delimiter)
    if delimiter is not None and separator is None:
        problems.at(Location("--delimiter"), f"must be one character or `tab`, {shown(delimiter)} was found")
    problems.raise_if_any()
    options = _Options(
        environ=environ,
        today=today,
        crew_url=crew_url,
        crew_token=crew_token,
        encoding=encoding,
        delimiter=separator,
        allow_outside=allow_outside,
    )
    load = _load_rows if path.suffix.lower() in BARE_SUFFIXES else _load_document
    jobfile = load(path, options, problems)
    problems.raise_if_any()
    assert jobfile is not None  # noqa: S101 - only a problem keeps it from being made
    return jobfile


def _check_path(path: Path, problems: Problems) -> None:
    where, suffix = Location(str(path)), path.suffix.lower()
    try:
        if path.is_dir():
            problems.at(where, "is a folder; name the job file in it")
        elif not path.exists():
            problems.at(where, "not found")
        elif not path.is_file():
            problems.at(where, "is not a regular file")
        elif suffix in DOCUMENT_SUFFIXES + BARE_SUFFIXES:
            return
        elif suffix in {".xlsx", ".xls", ".ods"}:
            problems.at(where, "is a workbook; save it as CSV UTF-8 and run that file")
        else:
            endings = " ".join(DOCUMENT_SUFFIXES + BARE_SUFFIXES)
            problems.at(where, f"must end in one of {endings}")
    except (OSError, ValueError) as exc:
        problems.at(where, f"cannot be read: {exc}")


def _load_rows(path: Path, options: _Options, problems: Problems) -> JobFile | None:
    """A bare rows file: every row a job, every column an input, the crew from options or the environment."""
    warnings: list[str] = []
    variables = with_dotenv(path.parent, options.environ, problems)
    crew = crew_of_options(options.crew_url, options.crew_token, variables, problems, warnings)
    batch = _batch(None, path, options.today, problems)
    if crew is None or batch is None:
        return None
    file = RowsFile(path=path, name=str(path), encoding=options.encoding, delimiter=options.delimiter)
    entry = Rows(file=file, recipe=Recipe(crew=DEFAULT_CREW, today=options.today.isoformat()))
    shape = _shape(options, kind=f"rows {path.suffix.lower()}")
    return JobFile(
        path=path,
        batch=batch,
        crews={DEFAULT_CREW: crew},
        run=RunSettings(),
        warnings=tuple(warnings),
        _entries=(entry,),
        _shape=shape,
    )


def _shape(options: _Options, **parts: Any) -> bytes:
    return canonical({"format": FORMAT_VERSION, "encoding": options.encoding, "delimiter": options.delimiter} | parts)


def _load_document(path: Path, options: _Options, problems: Problems) -> JobFile | None:
    root, notes = read_document(path, str(path), problems)
    if root is None:
        return None
    if not isinstance(root, MapNode):
        hint = "; for a list of rows write a job file with `- rows: …`" if isinstance(root, ListNode) else ""
        problems.at(root.where, f"a job file is a mapping with `crew:` and `jobs:`, {found(root)} was found{hint}")
        return None
    sent = _places_sent(root)
    warnings = [f"{where.file}:{where.line}:{where.column}: {note}" for where, note in notes if where in sent]
    override(root, options.crew_url, options.crew_token, problems)
    variables = with_dotenv(path.parent, options.environ, problems)
    broken = interpolate(root, variables, problems)
    _check_keys(root, problems)

    crews: Mapping[str, CrewSettings] | None = None
    if "crew" in root.items or "crews" in root.items:
        crews = read_crews(root, problems, broken, warnings)
    elif options.crew_url is not None:
        crew = crew_of_options(options.crew_url, options.crew_token, variables, problems, warnings)
        crews = {DEFAULT_CREW: crew} if crew else None
    else:
        problems.at(root.where, "no `crew:`; write `crew: {url: …, token: …}`, or `crew: {url: embedded}` to try it")
    run = _part(root, "run", RunSettings, problems, broken)
    defaults = _part(root, "defaults", Defaults, problems, broken)
    _check_default_meta(root, problems)
    batch = _batch(root, path, options.today, problems, broken)
    ledger = _ledger(root, path, problems, broken)

    reader = EntryReader(
        path=path,
        today=options.today,
        crews=crews,
        defaults=(defaults.inputs, defaults.meta) if defaults else ({}, {}),
        encoding=options.encoding,
        delimiter=options.delimiter,
        allow_outside=options.allow_outside,
        problems=problems,
        broken=broken,
        warnings=warnings,
    )
    entries = reader.read_jobs(root)
    if len(problems) or crews is None or run is None or batch is None:
        return None
    shape = _shape(
        options,
        kind="document",
        crews=sorted(crews),
        defaults=reader.defaults,
        jobs=plain_data(root.items["jobs"]),
        date=options.today.isoformat() if reader.uses_date else None,
    )
    return JobFile(
        path=path,
        batch=batch,
        crews=crews,
        run=run,
        warnings=tuple(warnings),
        ledger=ledger,
        dated=reader.uses_date or "{date}" in _batch_text(root, path)[0],
        _entries=tuple(entries),
        _shape=shape,
    )


def _places_sent(root: MapNode) -> set[Location]:
    """Return the places of the values that become inputs or meta; ids and settings mean the same in any spelling."""
    parts = [root.items["defaults"]] if "defaults" in root.items else []
    jobs = root.items.get("jobs")
    for entry in jobs.items if isinstance(jobs, ListNode) else ():
        if isinstance(entry, MapNode):
            parts += [entry.items[key] for key in ("inputs", "meta", "grid") if key in entry.items]
    return {scalar.where for part in parts for scalar in scalars(part)}


def _check_keys(root: MapNode, problems: Problems) -> None:
    known = [field.alias or name for name, field in Document.model_fields.items()]
    for key in root.items:
        if key not in known:
            hint = nearest(key, known) or f"; its keys are {listed(known)}"
            if key in RunSettings.model_fields:
                hint = "; it belongs under `run:`"
            problems.at(root.keys[key], f"unknown key {named(key)} in the job file{hint}")


def _part(
    root: MapNode,
    key: str,
    model: type[Any],
    problems: Problems,
    broken: set[Location],
) -> Any:
    """The section `key` as its model: the defaults when it is not there, None when it is wrong."""
    node = root.items.get(key)
    return model() if node is None else validated(model, node, root.keys[key], key, problems, broken)


def _check_default_meta(root: MapNode, problems: Problems) -> None:
    defaults = root.items.get("defaults")
    meta = defaults.items.get("meta") if isinstance(defaults, MapNode) else None
    if isinstance(meta, MapNode):
        check_meta(meta, problems)


def _ledger(root: MapNode, path: Path, problems: Problems, broken: set[Location]) -> Path | None:
    node = root.items.get("ledger")
    if node is None or node.where in broken or (isinstance(node, ScalarNode) and node.value is None):
        return None
    if not (isinstance(node, ScalarNode) and isinstance(node.value, str) and node.value.strip()):
        problems.at(node.where, f"invalid ledger: {found(node)} (expected a path, relative to the job file)")
        return None
    return path.parent / node.value.strip()


def _batch_text(root: MapNode | None, path: Path) -> tuple[str, Location]:
    """The name with its placeholders, and where it is written."""
    node = root.items.get("batch") if root is not None else None
    if isinstance(node, ScalarNode) and node.value is not None:
        # `batch: 2024.10` is that text
        return node.value if isinstance(node.value, str) else node.text, node.where
    return path.stem.replace("{", "(").replace("}", ")"), Location(str(path))


def _batch(
    root: MapNode | None, path: Path, today: date, problems: Problems, broken: set[Location] | None = None
) -> str | None:
    node: Node | None = root.items.get("batch") if root is not None else None
    if node is not None and not isinstance(node, ScalarNode):
        problems.at(node.where, f"`batch` must be text, {found(node)} was found")
        return None
    text, where = _batch_text(root, path)
    if broken and where in broken:
        return None
    try:
        return batch_name(text, today)
    except WrongName as exc:
        problems.at(where, str(exc))
        return None

"""Read a job file, or a bare rows file: the head is read and checked at once, the jobs are streamed later."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from batchcrew.base.secrecy import exposed
from batchcrew.config.crews import DEFAULT_CREW, CrewSettings, RemoteCrew
from batchcrew.config.settings import RunSettings
from batchcrew.config.webhooks import WebhookSettings
from batchcrew.jobfile.accept import read_rules
from batchcrew.jobfile.crews import crew_of_options, override, read_crews
from batchcrew.jobfile.entries import Recipe, Rows
from batchcrew.jobfile.entry_parser import OTHER_WORKBOOKS, EntryReader, check_meta
from batchcrew.jobfile.findings import Findings
from batchcrew.jobfile.hashing import FORMAT_VERSION, canonical
from batchcrew.jobfile.ids import WrongName, batch_name
from batchcrew.jobfile.jobfile import Content, JobFile
from batchcrew.jobfile.nodes import ListNode, MapNode, Node, ScalarNode, plain_data, scalars
from batchcrew.jobfile.notify import read_telling
from batchcrew.jobfile.options import JobFileOptions
from batchcrew.jobfile.problems import Problems, listed, nearest, shown
from batchcrew.jobfile.reports import read_reports
from batchcrew.jobfile.rows.formats import BARE_SUFFIXES
from batchcrew.jobfile.rows.rows_file import RowsFile, parse_delimiter
from batchcrew.jobfile.rows.text_encoding import encoding_error
from batchcrew.jobfile.schema import Defaults, Document
from batchcrew.jobfile.syntax import read_document
from batchcrew.jobfile.validation_errors import found, validated
from batchcrew.jobfile.variables import DOTENV, interpolate, with_dotenv
from batchcrew.model.job import Location

DOCUMENT_SUFFIXES = (".yaml", ".yml", ".json")


def load_jobfile(
    path: Path, *, environ: Mapping[str, str], today: date, options: JobFileOptions | None = None
) -> JobFile:
    """Read a job file (`.yaml .yml .json`), or a bare rows file (BARE_SUFFIXES).

    Args:
        environ: the environment; it takes precedence over a `.env` next to the file.
        today: the value of {date} and `date`.
        options: the command-line options; they take precedence over the file.

    Raises:
        JobFileError: all problems of the head (up to 20), each with its file, line and column.
    """
    options = options or JobFileOptions()
    problems = Problems()
    _check_path(path, problems)
    if options.encoding is not None and (mistake := encoding_error(options.encoding)):
        problems.at(Location("--encoding"), mistake)
    if options.delimiter is not None:
        separator = parse_delimiter(options.delimiter)
        if separator is None:
            wrong = shown(options.delimiter)
            problems.at(Location("--delimiter"), f"invalid delimiter: {wrong} (expected one character or `tab`)")
        options = replace(options, delimiter=separator)
    problems.raise_if_any()
    reader = _Reader(path, environ=environ, today=today, options=options, problems=problems)
    jobfile = reader.bare_rows() if path.suffix.lower() in BARE_SUFFIXES else reader.document()
    problems.raise_if_any()
    assert jobfile is not None  # noqa: S101 - without a problem there is one
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
        elif suffix in OTHER_WORKBOOKS:
            problems.at(where, "is a workbook; save it as .xlsx, or as CSV UTF-8, and run that file")
        else:
            endings = " ".join(DOCUMENT_SUFFIXES + BARE_SUFFIXES)
            problems.at(where, f"must end in one of {endings}")
    except (OSError, ValueError) as exc:
        problems.at(where, f"cannot be read: {exc}")


class _Reader:
    """Reads one job file. Its methods return None after they have added a problem."""

    def __init__(
        self, path: Path, *, environ: Mapping[str, str], today: date, options: JobFileOptions, problems: Problems
    ) -> None:
        self._path = path
        self._today = today
        self._options = options
        self._findings = Findings(problems=problems)
        self._problems = problems
        self._environ = environ

    def bare_rows(self) -> JobFile | None:
        """Read a bare rows file: each row is a job, each column an input; options or the environment name the crew."""
        crew = crew_of_options(self._options, self._variables, self._findings)
        batch = self._batch(None)
        if crew is None or batch is None:
            return None
        file = RowsFile(
            path=self._path,
            name=str(self._path),
            encoding=self._options.encoding,
            delimiter=self._options.delimiter,
            sheet=self._options.sheet,
        )
        entry = Rows(file=file, recipe=Recipe(crew=DEFAULT_CREW, today=self._today.isoformat()))
        shape = self._shape(kind=f"rows {self._path.suffix.lower()}")
        return JobFile(
            path=self._path,
            batch=batch,
            crews={DEFAULT_CREW: crew},
            run=RunSettings(),
            content=Content(entries=(entry,), shape=shape, dated=False),
            warnings=tuple(self._findings.warnings),
        )

    def document(self) -> JobFile | None:
        """Read a job file in YAML or JSON."""
        root = self._root()
        if root is None:
            return None
        crews = self._crews(root)
        run = self._section(root, "run", RunSettings)
        webhooks = self._section(root, "webhooks", WebhookSettings)
        self._check_trust(root, crews, webhooks)
        rules = read_rules(root, self._today.isoformat(), self._findings)
        defaults = self._section(root, "defaults", Defaults)
        _check_default_meta(root, self._problems)
        batch, ledger, reports = self._batch(root), self._ledger(root), read_reports(root, self._findings)
        telling = read_telling(root, self._findings)
        reader = EntryReader(
            path=self._path,
            today=self._today,
            crews=crews,
            defaults=(defaults.inputs, defaults.meta) if defaults else ({}, {}),
            options=self._options,
            findings=self._findings,
        )
        entries = reader.read_jobs(root)
        if len(self._problems) or crews is None or run is None or webhooks is None or batch is None:
            return None
        shape = self._shape(
            kind="document",
            crews=sorted(crews),
            defaults=reader.defaults,
            jobs=plain_data(root.items["jobs"]),
            date=self._today.isoformat() if reader.uses_date else None,
            **_flat_bodies(crews),
        )
        dated = reader.uses_date or "{date}" in self._batch_text(root)[0]
        return JobFile(
            path=self._path,
            batch=batch,
            crews=crews,
            run=run,
            content=Content(entries=tuple(entries), shape=shape, dated=dated),
            warnings=tuple(self._findings.warnings),
            ledger=ledger,
            webhooks=webhooks,
            rules=rules,
            reports=tuple(dict.fromkeys((*reports, *telling.attached))),
            telling=telling,
        )

    @cached_property
    def _variables(self) -> Mapping[str, str]:
        dotenv = self._path.parent / DOTENV
        if dotenv.is_file():
            self._warn_of_readers(dotenv, "the secrets")
        if self._options.token_file is not None:
            self._warn_of_readers(self._options.token_file, "the token")
        return with_dotenv(dotenv, self._environ, self._problems)

    def _warn_of_readers(self, path: Path, secret: str) -> None:
        if (warning := exposed(path, secret)) is not None:
            self._findings.warnings.append(warning)

    def _shape(self, **parts: Any) -> bytes:
        options = self._options
        given = {"format": FORMAT_VERSION, "encoding": options.encoding, "delimiter": options.delimiter}
        if options.sheet is not None:  # without it, digests are those of earlier versions
            given["sheet"] = options.sheet
        return canonical(given | parts)

    def _root(self) -> MapNode | None:
        """Read the document, with options and variables in their places."""
        root, notes = read_document(self._path, str(self._path), self._problems)
        if root is None:
            return None
        if not isinstance(root, MapNode):
            hint = "; for a list of rows write a job file with `- rows: …`" if isinstance(root, ListNode) else ""
            expected = f"a mapping with `crew:` and `jobs:`{hint}"
            self._problems.at(root.where, f"invalid job file: {found(root)} (expected {expected})")
            return None
        sent = _places_sent(root)
        self._findings.warnings += [
            f"{where.file}:{where.line}:{where.column}: {note}" for where, note in notes if where in sent
        ]
        override(root, self._options.crew_url, self._options.crew_token, self._problems)
        self._findings.broken |= interpolate(root, self._variables, self._problems)
        _check_keys(root, self._problems)
        return root

    def _crews(self, root: MapNode) -> Mapping[str, CrewSettings] | None:
        if "crew" in root.items or "crews" in root.items:
            crews = read_crews(root, self._findings)
            if self._findings.holds_secret:
                self._warn_of_readers(self._path, "the secret")
            return crews
        if self._options.crew_url is not None:
            crew = crew_of_options(self._options, self._variables, self._findings)
            return {DEFAULT_CREW: crew} if crew else None
        example = "`crew: {url: …, token: …}`, or `crew: {url: embedded}` for the demo crew"
        self._problems.at(root.where, f"missing key 'crew' (expected {example})")
        return None

    def _section(self, root: MapNode, key: str, model: type[Any]) -> Any:
        """Return the section `key` as its model; the defaults if the job file does not have it."""
        node = root.items.get(key)
        return model() if node is None else validated(model, node, root.keys[key], key, self._findings)

    def _check_trust(
        self, root: MapNode, crews: Mapping[str, CrewSettings] | None, webhooks: WebhookSettings | None
    ) -> None:
        """Add a mistake for each crew whose results would never come."""
        if webhooks is None or not webhooks.trust:
            return
        for name, crew in (crews or {}).items():
            if not crew.webhooks:
                where = root.keys["webhooks"]
                self._problems.at(
                    where, f"crew {name} has `webhooks: false`, which excludes `webhooks.trust`; keep one"
                )

    def _ledger(self, root: MapNode) -> Path | None:
        node = root.items.get("ledger")
        if node is None or node.where in self._findings.broken:
            return None
        if isinstance(node, ScalarNode) and node.value is None:
            return None
        if not (isinstance(node, ScalarNode) and isinstance(node.value, str) and node.value.strip()):
            expected = "a path, relative to the job file"
            self._problems.at(node.where, f"invalid ledger: {found(node)} (expected {expected})")
            return None
        return self._path.parent / node.value.strip()

    def _batch_text(self, root: MapNode | None) -> tuple[str, Location]:
        """Return the batch's name with its placeholders, and its place."""
        node = root.items.get("batch") if root is not None else None
        if isinstance(node, ScalarNode) and node.value is not None:
            # `batch: 2024.10` is text
            return node.value if isinstance(node.value, str) else node.text, node.where
        return self._path.stem.replace("{", "(").replace("}", ")"), Location(str(self._path))

    def _batch(self, root: MapNode | None) -> str | None:
        node: Node | None = root.items.get("batch") if root is not None else None
        if node is not None and not isinstance(node, ScalarNode):
            self._problems.at(node.where, f"invalid `batch`: {found(node)} (expected text)")
            return None
        text, where = self._batch_text(root)
        if where in self._findings.broken:
            return None
        try:
            return batch_name(text, self._today)
        except WrongName as exc:
            self._problems.at(where, str(exc))
            return None


def _flat_bodies(crews: Mapping[str, CrewSettings]) -> dict[str, Any]:
    """Return the crews that reserve names of inputs: their jobs are checked again when that changes."""
    flat = {name: sorted(crew.reserved_inputs) for name, crew in crews.items() if isinstance(crew, RemoteCrew)}
    flat = {name: reserved for name, reserved in flat.items() if reserved}
    return {"flat": flat} if flat else {}


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
            hint = nearest(key, known) or f" (expected one of {listed(known)})"
            if key in RunSettings.model_fields:
                hint = " (it belongs under `run:`)"
            problems.at(root.keys[key], f"unknown key {shown(key)} in the job file{hint}")


def _check_default_meta(root: MapNode, problems: Problems) -> None:
    defaults = root.items.get("defaults")
    meta = defaults.items.get("meta") if isinstance(defaults, MapNode) else None
    if isinstance(meta, MapNode):
        check_meta(meta, problems)

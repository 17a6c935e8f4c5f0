"""The structure of a job file as pydantic models, and its JSON Schema for editors."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag

from batchcrew.config.accept import AcceptSettings
from batchcrew.config.crews import Crew
from batchcrew.config.declarations import Settings, summary
from batchcrew.config.notify import NotifyTarget
from batchcrew.config.reports import ReportName
from batchcrew.config.settings import RunSettings
from batchcrew.config.webhooks import WebhookSettings
from batchcrew.jobfile.rows.formats import ENCODED_SUFFIXES, ROWS_SUFFIXES
from batchcrew.model.job import Duplicates

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"

Values = dict[str, Any]


def _text_of(value: object) -> object:
    """Convert a whole number to text, so that `id: 7` needs no quotes."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_text_of, json_schema_input_type=str | int)]


class Defaults(Settings):
    """Inputs and meta of every job."""

    inputs: Values = Field(default_factory=dict)
    """Inputs of every job; a job's own input of the same name takes precedence."""
    meta: Values = Field(default_factory=dict)
    """Meta of every job, returned by the crew in its webhooks; a job's own meta takes precedence."""


class InlineEntry(Settings):
    """One job."""

    id: Text | None = None
    """The job's id, unique in the batch. Default: a hash of its crew and inputs."""
    inputs: Values = Field(default_factory=dict)
    """The crew's inputs by name; they are sent unchanged, because templates are for rows and grids."""
    meta: Values = Field(default_factory=dict)
    """Sent with the inputs and returned in webhooks. The key `batchcrew` is reserved."""
    crew: str | None = None
    """Name of the crew in `crews` that runs the job."""


class RowsEntry(Settings):
    """A job for each row of a file."""

    rows: str = Field(
        description=f"The file, relative to the job file. Its suffix names its format: {', '.join(ROWS_SUFFIXES)}."
    )
    id: Text | None = None
    """Template of the job's id, as in "{{ email }}". Default: the column `id`, `job_id` or `custom_id`, else a
    hash."""
    inputs: Values | None = None
    """Inputs as templates over the row's columns. Default: the columns that the crew lists in /inputs."""
    send: Literal["all"] | Annotated[list[str], Field(min_length=1)] | None = None
    """Columns that are sent instead of those that the crew lists: `all`, or their names. Not allowed with `inputs`."""
    meta: Values = Field(default_factory=dict)
    """Meta as templates over the row's columns."""
    crew: str | None = None
    """Name of the crew in `crews` that runs the jobs."""
    where: str | bool | None = None
    """Only rows for which this is true, as in "{{ country == 'JP' }}"."""
    encoding: str | None = Field(
        default=None,
        description=f"Encoding of the file, if its suffix is one of {', '.join(ENCODED_SUFFIXES)}. Default: UTF-8, with"
        " or without a byte order mark.",
    )
    delimiter: str | None = None
    """Delimiter of the columns of a .csv file: one character, or `tab`. Default: detected."""
    sheet: str | None = None
    """Name of the sheet of an .xlsx or .xlsm file. Default: the first one that is not hidden."""
    duplicates: Duplicates = "error"
    """Rows without an id whose crew and inputs are identical: an error, skip the later ones, or number them."""


class GridEntry(Settings):
    """A job for every combination of the listed values; the last name varies fastest."""

    grid: Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)]
    """Input names, each with the list of its values."""
    id: Text | None = None
    """Template of the job's id over the grid's values. Default: a hash of crew and inputs."""
    inputs: Values | None = None
    """Inputs as templates over the grid's values. Default: the values."""
    meta: Values = Field(default_factory=dict)
    """Meta as templates over the grid's values."""
    crew: str | None = None
    """Name of the crew in `crews` that runs the jobs."""
    where: str | bool | None = None
    """Only combinations for which this is true."""


EntryKind = Literal["job", "rows", "grid"]


def entry_kind(keys: Any) -> EntryKind:
    """Return the form of an entry of `jobs` that has these keys."""
    return "rows" if "rows" in keys else "grid" if "grid" in keys else "job"


Entry = Annotated[
    Annotated[InlineEntry, Tag("job")] | Annotated[RowsEntry, Tag("rows")] | Annotated[GridEntry, Tag("grid")],
    Discriminator(entry_kind),
]


class Document(Settings):
    """A job file of batchcrew: the crews, how they are run, and the jobs."""

    model_config = ConfigDict(
        title="batchcrew job file",
        json_schema_extra={"oneOf": [{"required": ["crew"]}, {"required": ["crews"]}]},
    )

    schema_: str | None = Field(default=None, alias="$schema")
    """Path of this schema for editors; batchcrew ignores it."""
    batch: Text | None = None
    """Name of the batch; {date} is today's date. Default: the file's name without its ending."""
    ledger: Text | None = None
    """The ledger of this job file's batches, relative to the job file. Default: searched, see docs/identity.md."""
    crew: Crew | None = None
    """The crew that runs every job. Write either this or `crews`."""
    crews: Annotated[dict[str, Crew], Field(min_length=1)] | None = None
    """Several crews by name; a job selects one with `crew: name`."""
    run: RunSettings = RunSettings()
    """How the batch is run; a command-line option of the same name takes precedence."""
    accept: AcceptSettings = AcceptSettings()
    """Rules that decide whether an answer counts; a rejected answer makes its job fail, and is kept."""
    webhooks: WebhookSettings = WebhookSettings()
    """How crews report that an execution has ended, so that it need not be polled."""
    reports: list[ReportName] = Field(default_factory=list)
    """Reports and exports to write next to the ledger at the end of each run; see docs/results.md."""
    notify: str | NotifyTarget | list[str | NotifyTarget] | None = None
    """Receivers to notify when the batch ends, stops, waits or is stuck: URLs of apprise; see docs/results.md."""
    on_end: Annotated[list[Text], Field(min_length=1)] | None = None
    """Command to run at the end of each run, without a shell; its stdin is the summary as JSON."""
    defaults: Defaults = Defaults()
    """Inputs and meta of every job; a job's own values take precedence."""
    jobs: Annotated[list[Entry], Field(min_length=1)]
    """Inline jobs, rows files and grids, in any number and order."""


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the job file, for editors and `batchcrew schema`."""
    schema = Document.model_json_schema(by_alias=True)
    for model in (schema, *schema["$defs"].values()):
        for name, shape in model.get("properties", {}).items():
            shape.pop("title", None)  # a title repeats the key
            model["properties"][name] = _with_variables(shape)
    return {"$schema": SCHEMA_DIALECT} | schema


def _with_variables(shape: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a value for an editor: a number may also be ${VAR}, and empty parts are omitted."""
    kept = {key: value for key, value in shape.items() if key in {"description", "default"}}
    if kept.get("default") is None or "$ref" in shape:
        kept.pop("default", None)  # the parts of a section have their own defaults
    rest = {key: value for key, value in shape.items() if key not in {"description", "default", "anyOf", "gt"}}
    if "description" in kept:
        kept["description"] = summary(kept["description"])
    choices = [choice for choice in shape.get("anyOf", [rest]) if choice.get("type") != "null"]
    kinds = {choice.get("type") for choice in choices if "const" not in choice}
    if kinds & {"integer", "number"} and "string" not in kinds:
        choices.append({"type": "string", "pattern": r"\$\{"})
    return (choices[0] if len(choices) == 1 else {"anyOf": choices}) | kept

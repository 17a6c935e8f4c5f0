"""The shape of a job file as pydantic models, and its JSON Schema for editors."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag

from batchcrew.config.settings import CrewSettings, RunSettings, Settings
from batchcrew.model.job import Duplicates

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"

Values = dict[str, Any]


def _text_of(value: object) -> object:
    """A whole number is welcome where text is asked for: `id: 7` needs no quotes."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_text_of, json_schema_input_type=str | int)]


class Defaults(Settings):
    """What every job gets unless it says otherwise."""

    inputs: Values = Field(default_factory=dict)
    """Inputs of every job; a job's own input of the same name wins."""
    meta: Values = Field(default_factory=dict)
    """Meta of every job, echoed by the crew in its webhooks; a job's own wins."""


class InlineEntry(Settings):
    """One job, written out."""

    id: Text | None = None
    """The job's id, unique in the batch; default a hash of its crew and inputs."""
    inputs: Values = Field(default_factory=dict)
    """The crew's inputs by name; they are sent as written, templates are for rows and grids."""
    meta: Values = Field(default_factory=dict)
    """Sent beside the inputs and echoed in webhooks. `batchcrew` is reserved."""
    crew: str | None = None
    """Which of `crews` runs the job."""


class RowsEntry(Settings):
    """A job for each row of a file."""

    rows: str
    """The file, relative to the job file: .csv, .tsv, .jsonl, .ndjson, .json or .yaml (a list of mappings)."""
    id: Text | None = None
    """Template of the job's id, as in "{{ email }}"; default the column `id`, `job_id` or `custom_id`, else a hash."""
    inputs: Values | None = None
    """Inputs as templates over the row's columns; default the columns that the crew lists in /inputs."""
    send: Literal["all"] | Annotated[list[str], Field(min_length=1)] | None = None
    """Which columns are sent, in place of those that the crew lists: `all`, or their names. Not with `inputs`."""
    meta: Values = Field(default_factory=dict)
    """Meta as templates over the row's columns."""
    crew: str | None = None
    """Which of `crews` runs the jobs."""
    where: str | bool | None = None
    """Only rows for which this is true, as in "{{ country == 'JP' }}"."""
    encoding: str | None = None
    """Encoding of a .csv, .tsv or .jsonl file; default UTF-8, with or without a byte order mark."""
    delimiter: str | None = None
    """What separates the columns of a .csv file: one character, or `tab`; default found from the file."""
    duplicates: Duplicates = "error"
    """Rows without an id whose crew and inputs are identical: an error, skip the later ones, or number them."""


class GridEntry(Settings):
    """A job for every combination of the listed values; the last name varies fastest."""

    grid: Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)]
    """Input names, each with the list of its values."""
    id: Text | None = None
    """Template of the job's id over the grid's values; default a hash of crew and inputs."""
    inputs: Values | None = None
    """Inputs as templates over the grid's values; default the values themselves."""
    meta: Values = Field(default_factory=dict)
    """Meta as templates over the grid's values."""
    crew: str | None = None
    """Which of `crews` runs the jobs."""
    where: str | bool | None = None
    """Only combinations for which this is true."""


EntryKind = Literal["job", "rows", "grid"]


def entry_kind(keys: Any) -> EntryKind:
    """Which of the three forms an entry of `jobs` has: the one whose key is among its keys."""
    return "rows" if "rows" in keys else "grid" if "grid" in keys else "job"


Entry = Annotated[
    Annotated[InlineEntry, Tag("job")] | Annotated[RowsEntry, Tag("rows")] | Annotated[GridEntry, Tag("grid")],
    Discriminator(entry_kind),
]


class Document(Settings):
    """A job file of batchcrew: which crew to run, how, and for which jobs."""

    model_config = ConfigDict(
        title="batchcrew job file",
        json_schema_extra={"oneOf": [{"required": ["crew"]}, {"required": ["crews"]}]},
    )

    schema_: str | None = Field(default=None, alias="$schema")
    """Where an editor finds this schema; batchcrew itself ignores it."""
    batch: Text | None = None
    """Name of the batch; {date} is today's date. Default: the file's name without its ending."""
    ledger: Text | None = None
    """The ledger of this job file's batches, relative to the job file; default found, see docs/identity.md."""
    crew: CrewSettings | None = None
    """The crew that runs every job. Write either this or `crews`."""
    crews: Annotated[dict[str, CrewSettings], Field(min_length=1)] | None = None
    """Several crews by name; a job says which with `crew: name`."""
    run: RunSettings = RunSettings()
    """How the batch is run; a command-line option of the same name wins."""
    defaults: Defaults = Defaults()
    """What every job gets unless it says otherwise."""
    jobs: Annotated[list[Entry], Field(min_length=1)]
    """Jobs written out, rows files and grids, in any number and order."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the job file, for editors and `batchcrew schema`."""
    schema = Document.model_json_schema(by_alias=True)
    for model in (schema, *schema["$defs"].values()):
        for name, shape in model.get("properties", {}).items():
            shape.pop("title", None)  # a title is the key in other letters
            model["properties"][name] = _with_variables(shape)
    return {"$schema": SCHEMA_DIALECT} | schema


def _with_variables(shape: dict[str, Any]) -> dict[str, Any]:
    """The shape of a value for an editor: a number may be ${VAR} too, and what says nothing is left out."""
    kept = {key: value for key, value in shape.items() if key in {"description", "default"}}
    if kept.get("default") is None or "$ref" in shape:
        kept.pop("default", None)  # the parts of a section say their defaults themselves
    rest = {key: value for key, value in shape.items() if key not in {"description", "default", "anyOf", "gt"}}
    choices = [choice for choice in shape.get("anyOf", [rest]) if choice.get("type") != "null"]
    kinds = {choice.get("type") for choice in choices}
    if kinds & {"integer", "number"} and "string" not in kinds:
        choices.append({"type": "string", "pattern": r"\$\{"})
    return (choices[0] if len(choices) == 1 else {"anyOf": choices}) | kept

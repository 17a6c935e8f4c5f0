"""Declare settings, and derive options and documentation from the declarations.

A setting is declared once, as a field with its type, default and docstring. The first paragraph of the docstring is the
help text of its option, its description in the JSON Schema and its comment in `jobs/reference.yaml`; further paragraphs
are printed only in `docs/job-file.md`. The markers below go into `Annotated[…]`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

Marker = TypeVar("Marker")


class Settings(BaseModel):
    """Base of the value objects: frozen, and an unknown key is an error."""

    # deferred: the job file's schema contains all of them, and most are never validated alone
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, defer_build=True)


@dataclass(frozen=True, slots=True)
class Notation:
    """Describes how values of a type are written in a job file and on the command line."""

    write: Callable[[Any], str]
    expected: str
    """A hint about valid values: `e.g. 2/s, 60/m or 500/h`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HasOption:
    """Marks a setting of `run:` that `batchcrew run` and `batchcrew tick` have as an option of the same name."""

    expected: str | None = None
    """A hint about valid values; default: by the type of the setting."""
    number_only: bool = False
    """The option takes only a whole number from 1, although the job file also takes a mapping."""


@dataclass(frozen=True, slots=True)
class Example:
    """The value that `jobs/reference.yaml` shows, as YAML. Default: the setting's default."""

    text: str


@dataclass(frozen=True, slots=True)
class DefaultText:
    """Text that documentation shows instead of the value of the default."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One declared setting, as options and documentation need it."""

    name: str
    summary: str
    """The first paragraph of the docstring, on one line."""
    details: str
    """The other paragraphs of the docstring, on one line."""
    default: str
    """The default as it is written; empty for a required setting and for a section."""
    is_described: bool
    """Whether `default` is a description instead of a value."""
    example: str
    section: type[Settings] | None
    """The settings of a section such as `retry:`."""
    option: HasOption | None
    expected: str
    choices: tuple[str, ...]
    """The words that the setting takes; empty: any value of its type."""
    is_number: bool


def declared(model: type[Settings]) -> Iterator[Setting]:
    """Yield the settings of a model in the order of their declaration."""
    for name, field in model.model_fields.items():
        yield _setting(name, field)


def summary(description: str) -> str:
    """Return the first paragraph of a docstring on one line."""
    return " ".join(description.partition("\n\n")[0].split())


def _setting(name: str, field: FieldInfo) -> Setting:
    description = field.description or ""
    section = field.annotation
    annotation = _without_none(section)
    is_section = isinstance(section, type) and issubclass(section, Settings)
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    notation, option = _marker(field, Notation), _marker(field, HasOption)
    default = _default_text(field, notation)
    example = _marker(field, Example)
    return Setting(
        name=field.alias or name,
        summary=summary(description),
        details=" ".join(description.partition("\n\n")[2].split()),
        default=default,
        is_described=_marker(field, DefaultText) is not None or default == "none",
        example=default if example is None else example.text,
        section=section if is_section else None,
        option=option,
        expected=_expected(annotation, notation, option),
        choices=choices,
        is_number=annotation is int and notation is None,
    )


def _without_none(annotation: Any) -> Any:
    """Return `int` for `int | None`; other types as they are."""
    types = [part for part in get_args(annotation) if part is not NoneType]
    is_optional = get_origin(annotation) in {Union, UnionType} and len(types) == 1
    return types[0] if is_optional else annotation


def _expected(annotation: Any, notation: Notation | None, option: HasOption | None) -> str:
    if option is not None and option.expected is not None:
        return option.expected
    if notation is not None:
        return notation.expected
    if get_origin(annotation) is Literal:
        return " or ".join(get_args(annotation))
    return {bool: "true or false", int: "a whole number"}.get(annotation, "a value as in the job file")


def _default_text(field: FieldInfo, notation: Notation | None) -> str:
    text = _marker(field, DefaultText)
    if text is not None:
        return text.text
    return "" if field.is_required() else _written(field.default, notation)


def _written(value: Any, notation: Notation | None) -> str:
    if value is None:
        return "none"
    if notation is not None:
        return notation.write(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Settings):
        return ""
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _marker(field: FieldInfo, kind: type[Marker]) -> Marker | None:
    """Return the field's marker of this kind: its own, else that of the type that it holds (in `Rate | None`)."""
    own = next((item for item in field.metadata if isinstance(item, kind)), None)
    return own if own is not None else _inner_marker(field.annotation, kind)


def _inner_marker(annotation: Any, kind: type[Marker]) -> Marker | None:
    for part in get_args(annotation):
        found = part if isinstance(part, kind) else _inner_marker(part, kind)
        if found is not None:
            return found
    return None

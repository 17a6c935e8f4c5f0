"""The messages between the server and its worker processes, as JSON.

Server and worker both use these classes; the class name is the message's kind. A crew's code runs in the worker and can
write to its pipe, so the server trusts no message: `decode` accepts only the fields of the class, with their types.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, TypeAlias, get_args, get_origin, get_type_hints

from batchcrew.base.crew_details import CrewDetails
from batchcrew.server.report import Input, StepReport, TaskReport
from batchcrew.server.target import Target

SPARE_DEPTH = 100
"""Levels of nesting that can be put around any value of a message: answers and webhooks wrap it in other JSON."""
MAX_COUNT = 2**53
"""Largest integer of a message, where its class demands an integer."""

# From the server to a worker.


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The first message to a worker: load this target."""

    target: Target
    storage: str
    """The folder for the files of the crew's library, which no other worker uses."""
    outputs: str = ""
    """The folder for outputs that are too large for a message; empty: there is none."""
    log: str = ""
    """The file that the worker's stderr is written to, for errors; empty: there is none."""
    seconds: float = 300.0
    """How long loading may take."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """Values of inputs that executions need not name; None for an input that the target supplies itself."""
    describe: bool = False
    """Also send `Ready.details`."""
    flows: str = ""
    """The folder for the states of flows (`@persist`), which all workers use; empty: `storage`."""
    memory: str = "isolated"
    """`isolated`, `shared` or `off`; see `batchcrew/base/serving.py`."""
    own: tuple[str, ...] = ()
    """Folders and files that batchcrew writes itself: what is written there is not the crew's."""
    single_use: bool = False
    """The worker runs one execution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Start an execution."""

    kickoff_id: str
    inputs: Mapping[str, Any]
    events: tuple[str, ...]
    """Names of the library's events to send."""
    artifacts: str = ""
    """The folder for files that its tasks write, which need not exist; empty: they are written where they say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanAnswer:
    """Continue a paused execution with the answer that was given."""

    kickoff_id: str
    approved: bool
    text: str
    """Not empty if `approved` is false."""


# From a worker to the server, about itself.


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The target is loaded. Sent once, before any execution."""

    name: str
    what: str
    """`crew` or `flow`."""
    inputs: tuple[Input, ...]
    total: int
    """Tasks of the crew, or methods of the flow."""
    events: tuple[str, ...]
    """Names of the library's events that a kickoff can request."""
    details: CrewDetails = field(default_factory=CrewDetails)
    """Its details, if `Load.describe` requested them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFailed:
    """The target cannot be served. The worker ends."""

    message: str
    """Why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """Something that the operator should know about the target; may be sent at any time."""

    text: str


# From a worker to the server, about an execution.


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStarted:
    """A task has started."""

    kickoff_id: str
    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEnded:
    """A task has ended successfully."""

    kickoff_id: str
    task: TaskReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An agent has answered or used a tool."""

    kickoff_id: str
    step: StepReport


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodStarted:
    """A method of the flow has started."""

    kickoff_id: str
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodEnded:
    """A method of the flow has ended."""

    kickoff_id: str
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """The execution waits for human input."""

    kickoff_id: str
    task_id: str
    agent: str
    output: str
    """The text to approve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryEvent:
    """An event of the library that the kickoff requested."""

    kickoff_id: str
    event_id: str
    timestamp: str
    """ISO-8601."""
    type: str
    data: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A line for the server's log."""

    kickoff_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The execution has ended; no message about it follows."""

    kickoff_id: str
    output: str = ""
    result_json: Any = None
    error: str | None = None
    """Why it failed; None if it succeeded."""
    usage: Mapping[str, int] = field(default_factory=dict)
    """Counts of tokens."""
    execution_time: float | None = None
    """Seconds; None if it did not run to its end."""
    artifacts: tuple[str, ...] = ()
    """Paths of the files that its tasks have written."""


ToWorker: TypeAlias = Load | Start | HumanAnswer
AboutExecution: TypeAlias = (
    TaskStarted | TaskEnded | Step | MethodStarted | MethodEnded | Paused | LibraryEvent | Note | Ended
)
FromWorker: TypeAlias = Ready | LoadFailed | Warned | AboutExecution
Message: TypeAlias = ToWorker | FromWorker


class MalformedMessage(Exception):
    """The text is not a message; the exception says why, without repeating the text."""


def encode(message: Message) -> bytes:
    """Return the message as JSON.

    Raises:
        ValueError: a value contains itself.
        RecursionError: a value is nested too deeply.
    """
    body = {"kind": type(message).__name__, **_plain(message)}
    return _nested_json(body).encode()


def decode_to_worker(text: bytes) -> ToWorker:
    """Return the message that the server sent.

    Raises:
        MalformedMessage: it is not one.
    """
    message: ToWorker = _decode(text, _TO_WORKER)
    return message


def decode_from_worker(text: bytes) -> FromWorker:
    """Return the message that a worker sent.

    Raises:
        MalformedMessage: it is not one.
    """
    message: FromWorker = _decode(text, _FROM_WORKER)
    return message


def plain_json(value: Any) -> str:
    """Return any value of a crew as JSON: a value that JSON has no form for becomes its text, and NaN null.

    Raises:
        ValueError: it contains itself.
        RecursionError: it is nested too deeply.
    """
    try:
        return json.dumps(value, default=str, allow_nan=False)
    except (ValueError, TypeError):  # NaN, or keys that are not text
        text = json.dumps(value, default=str, skipkeys=True)
        return json.dumps(json.loads(text, parse_constant=lambda _: None))


def _nested_json(body: Any) -> str:
    """Return JSON that can still be written inside SPARE_DEPTH other levels."""
    for _ in range(SPARE_DEPTH):
        body = [body]
    return plain_json(body)[SPARE_DEPTH:-SPARE_DEPTH]


def _plain(message: Any) -> dict[str, Any]:
    """Return the fields of a message or a part of one; the values inside a field stay as they are."""
    return {one.name: _plain_field(getattr(message, one.name)) for one in fields(message)}


def _plain_field(value: Any) -> Any:
    if is_dataclass(value):
        return _plain(value)
    if isinstance(value, tuple):
        return [_plain_field(item) for item in value]
    return value


_Read: TypeAlias = Callable[[Any], Any]


def _decode(text: bytes, readers: Mapping[str, _Read]) -> Any:
    try:
        body = json.loads(b"[" * SPARE_DEPTH + text + b"]" * SPARE_DEPTH)
        for _ in range(SPARE_DEPTH):
            (body,) = body
    except (ValueError, TypeError, RecursionError) as error:
        raise MalformedMessage(f"it is not JSON, or nested too deeply ({type(error).__name__})") from None
    kind = body.pop("kind", None) if isinstance(body, dict) else None
    if not isinstance(kind, str) or kind not in readers:
        raise MalformedMessage("its kind is unknown")
    return readers[kind](body)


def _reader(annotation: Any) -> _Read:
    """Return the function that checks a field of this type and returns its value; it raises MalformedMessage."""
    if is_dataclass(annotation):
        assert isinstance(annotation, type)  # noqa: S101 - for mypy: it is a class, not an instance
        return _object_reader(annotation)
    if get_origin(annotation) is tuple:
        item = _reader(get_args(annotation)[0])
        return lambda value: tuple(item(entry) for entry in _checked(value, "a list", fits=isinstance(value, list)))
    check, expected = _CHECKS[annotation]
    return lambda value: _checked(value, expected, fits=check(value))


def _object_reader(kind: type[Any]) -> _Read:
    hints = get_type_hints(kind)
    readers = {one.name: _reader(hints[one.name]) for one in fields(kind)}
    required = {one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING}

    def read(value: Any) -> Any:
        if not isinstance(value, dict) or not required <= value.keys() <= readers.keys():
            raise MalformedMessage(f"it does not have the fields of {kind.__name__}")
        return kind(**{name: readers[name](found) for name, found in value.items()})

    return read


def _checked(value: Any, expected: str, *, fits: bool) -> Any:
    if not fits:
        raise MalformedMessage(f"a field is not {expected}")
    return value


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


_CHECKS: dict[Any, tuple[Callable[[Any], bool], str]] = {
    Any: (lambda _: True, "anything"),
    str: (lambda value: isinstance(value, str), "text"),
    str | None: (lambda value: isinstance(value, str | None), "text or null"),
    bool: (lambda value: isinstance(value, bool), "true or false"),
    int: (_is_count, "a count"),
    float: (_is_seconds, "a number of seconds"),
    float | None: (lambda value: value is None or _is_seconds(value), "a number of seconds or null"),
    Mapping[str, Any]: (lambda value: isinstance(value, dict), "an object"),
    Mapping[str, int]: (lambda value: isinstance(value, dict) and all(map(_is_count, value.values())), "counts"),
}


def _readers(kinds: Any) -> dict[str, _Read]:
    return {kind.__name__: _object_reader(kind) for kind in get_args(kinds)}


_TO_WORKER = _readers(ToWorker)
_FROM_WORKER = _readers(FromWorker)

"""Counts the tokens of an execution: those of each call of a model, whichever part of CrewAI made the call.

The library's own totals are counters of each model object, which concurrent executions share, and its events do not
name the tokens of calls that ran a tool, or for a typed answer. So the counts are taken where each provider
reports them, in `BaseLLM._track_token_usage_internal`; a model class that does not call it may still name them in its
events. Both are kept for each call, and the larger one counts.
"""

import functools
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from batchcrew.server.worker import crewai_versions as library

_NAMES = {
    "total_tokens": ("total_tokens", "total_token_count", "totalTokens"),
    "prompt_tokens": ("prompt_tokens", "prompt_token_count", "input_tokens", "inputTokens"),
    "completion_tokens": ("completion_tokens", "candidates_token_count", "output_tokens", "outputTokens"),
    "cached_prompt_tokens": (
        "cached_prompt_tokens",
        "cached_tokens",
        "cache_read_input_tokens",
        "cacheReadInputTokenCount",
        "cacheReadInputTokens",
    ),
}
"""Our names of counts, and those that providers use."""
_SEPARATE = ("cache_read_input_tokens", "cache_creation_input_tokens")
"""Anthropic's own names: such prompt tokens are not part of `input_tokens`."""
Counts = dict[str, int]


class TokenCounts:
    """The tokens of one execution. It may be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: dict[int, _Model] = {}

    def tracked(self, model: Any, usage: Any) -> None:
        """Count what a provider reported for one answer. A call of a model has several answers if it ran a tool."""
        with self._lock:
            self._of(model).answered(_call_id(), _counts(usage))

    def named(self, model: Any, call_id: str | None, usage: Any) -> None:
        """Count what an event says about one call."""
        with self._lock:
            self._of(model).named(call_id or "", _counts(usage))

    def totals(self) -> Counts:
        """Return the counts so far; empty if no call reported any."""
        with self._lock:
            return _sum(model.totals() for model in self._models.values())

    def _of(self, model: Any) -> "_Model":
        return self._models.setdefault(id(model), _Model(model))


class _Model:
    """The tokens of the calls of one model object."""

    def __init__(self, model: Any) -> None:
        self._model = model  # as long as it exists, no other object gets its id
        self._answers: dict[str, Counts] = {}
        self._events: dict[str, Counts] = {}

    def answered(self, call_id: str, counts: Counts) -> None:
        self._answers[call_id] = _sum((self._answers.get(call_id, {}), counts))

    def named(self, call_id: str, counts: Counts) -> None:
        self._events[call_id] = _sum((self._events.get(call_id, {}), counts))

    def totals(self) -> Counts:
        """Return the larger counts of each call. Of calls without an id, the events cannot be distinguished."""
        known = self._answers.keys() - {""}
        calls = [_larger(self._answers[one], self._events.get(one, {})) for one in known]
        others = _sum(counts for one, counts in self._events.items() if one not in known)
        return _sum((*calls, _larger(self._answers.get("", {}), others)))


def count_in(execution: "ContextVar[Any]") -> None:
    """Count the tokens of all calls from now on.

    Args:
        execution: its value has a `tokens` (`TokenCounts`), or is None outside of executions.
    """
    library.once("tokens", functools.partial(_install, execution))


def _install(execution: "ContextVar[Any]") -> None:
    def count(model: Any, usage: Any) -> None:
        context = execution.get()
        if context is not None and usage:
            context.tokens.tracked(model, usage)

    base = library.found("crewai.llms.base_llm:BaseLLM", "crewai:BaseLLM")
    if hasattr(base, "_track_token_usage_internal"):  # since 1.0
        _wrap_classes(base, count)
        _wrap_instructor(count)
    else:
        _wrap_litellm(count)


def _wrap_classes(base: Any, count: Callable[[Any, Any], None]) -> None:
    """Wrap the method of the base class, and of each class that replaces it, now or later."""
    within: ContextVar[bool] = ContextVar("batchcrew_tracking", default=False)

    def wrap(kind: Any) -> None:
        track = kind.__dict__.get("_track_token_usage_internal")
        if track is None or getattr(track, "counts_tokens", False):
            return

        @functools.wraps(track)
        def tracked(self: Any, usage_data: Any, *rest: Any, **named: Any) -> Any:
            if within.get():  # called by the method of a subclass, which has counted
                return track(self, usage_data, *rest, **named)
            count(self, usage_data)
            token = within.set(True)
            try:
                return track(self, usage_data, *rest, **named)
            finally:
                within.reset(token)

        tracked.counts_tokens = True  # type: ignore[attr-defined]  # marks the function
        kind._track_token_usage_internal = tracked  # noqa: SLF001 - the library has no public hook

    def wrap_all(kind: Any) -> None:
        wrap(kind)
        for below in kind.__subclasses__():
            wrap_all(below)

    own = base.__dict__.get("__init_subclass__")

    def init_subclass(cls: Any, /, **named: Any) -> None:
        if own is not None:
            own.__func__(cls, **named)
        else:
            super(base, cls).__init_subclass__(**named)
        wrap(cls)

    wrap_all(base)
    base.__init_subclass__ = classmethod(init_subclass)


def _wrap_instructor(count: Callable[[Any, Any], None]) -> None:
    """Count the calls of `instructor`, which the library makes for typed answers without its own model classes."""
    kind = library.found("crewai.utilities.internal_instructor:InternalInstructor")
    method = next((name for name in ("set_instructor", "__init__") if name in getattr(kind, "__dict__", ())), "")
    if not method:
        return
    create = getattr(kind, method)

    @functools.wraps(create)
    def created(self: Any, *arguments: Any, **named: Any) -> Any:
        made = create(self, *arguments, **named)
        listen = getattr(getattr(self, "_client", None), "on", None)
        if callable(listen):
            listen("completion:response", lambda answer: count(self, getattr(answer, "usage", None)))
        return made

    setattr(kind, method, created)


def _wrap_litellm(count: Callable[[Any, Any], None]) -> None:
    """Count the answers of litellm, through which versions before 1.0 call all models but your own classes."""
    package = library.module("litellm")
    completion = getattr(package, "completion", None)
    if package is None or completion is None:
        return

    @functools.wraps(completion)
    def complete(*arguments: Any, **named: Any) -> Any:
        answer = completion(*arguments, **named)
        usage = getattr(answer, "usage", None)
        count(package, usage)
        return answer if usage is not None or not named.get("stream") else _streamed(answer, count, package)

    package.completion = complete  # type: ignore[attr-defined]  # of crewai's own dependency


def _streamed(chunks: Any, count: Callable[[Any, Any], None], package: Any) -> Any:
    """Yield the parts of a streamed answer, and count the tokens that its last part names."""
    usage = None
    for chunk in chunks:
        usage = getattr(chunk, "usage", None) or usage
        yield chunk
    count(package, usage)


def _call_id() -> str:
    """Return the id of the library's current call of a model; empty if there is none."""
    current = library.found("crewai.llms.base_llm:_current_call_id")
    return (current.get() if current is not None else None) or ""


def _counts(usage: Any) -> Counts:
    dump = getattr(usage, "model_dump", None)
    given: Mapping[str, Any] = usage if isinstance(usage, Mapping) else dump() if callable(dump) else dict(usage)
    counts = {name: next((n for key in keys if (n := _count(given.get(key)))), 0) for name, keys in _NAMES.items()}
    if "input_tokens" in given and "prompt_tokens" not in given:
        counts["prompt_tokens"] += sum(_count(given.get(name)) for name in _SEPARATE)
    details = given.get("prompt_tokens_details")
    if not counts["cached_prompt_tokens"] and isinstance(details, Mapping):
        counts["cached_prompt_tokens"] = _count(details.get("cached_tokens"))
    counts["total_tokens"] = max(counts["total_tokens"], counts["prompt_tokens"] + counts["completion_tokens"])
    return {**counts, "successful_requests": 1}


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and 0 < value < float("inf") else 0


def _sum(several: Any) -> Counts:
    total: Counts = {}
    for counts in several:
        for name, count in counts.items():
            total[name] = total.get(name, 0) + count
    return total


def _larger(one: Counts, other: Counts) -> Counts:
    return max(one, other, key=lambda counts: counts.get("total_tokens", -1))

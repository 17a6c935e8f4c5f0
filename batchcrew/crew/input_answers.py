"""Reads the answers to `GET /inputs`."""

from dataclasses import replace
from typing import Any

from batchcrew.crew import spellings
from batchcrew.crew.payload import MAX_NAME, NotUnderstood, load, name_text
from batchcrew.crew.server_text import server_words
from batchcrew.model.crew_answers import CrewInput, CrewInputs


def crew_inputs(body: bytes, *, idempotent_kickoff: bool = False) -> CrewInputs:
    """Return the inputs of a crew, which are a list of names, a mapping of names, or a list of objects.

    They are under one of the names of `spellings.INPUTS`, or the answer is such a list itself. `optional_inputs`, which
    `batchcrew serve` sends, is a list of further names.

    Raises:
        NotUnderstood: the answer is none of these.
    """
    payload = _payload(load(body))
    found = payload.get("inputs")
    if found is None and not payload.get("error"):  # an error may contain a list of required inputs
        found = next((names for names in spellings.values(payload, spellings.INPUTS) if isinstance(names, list)), None)
    if isinstance(found, dict):
        entries = [_input(name, about) for name, about in found.items()]
    elif isinstance(found, list):
        entries = [
            _input(entry.get("name"), entry) if isinstance(entry, dict) else _input(entry, None) for entry in found
        ]
    else:
        raise NotUnderstood(f"the answer has no list of inputs: {server_words(body)[:200]}")
    optional = payload.get("optional_inputs")
    if isinstance(optional, list):
        entries += [replace(_input(name, None), required=False) for name in optional]
    unique = {entry.name: entry for entry in reversed(entries)}
    ordered = tuple(entry for entry in entries if unique[entry.name] is entry)
    return CrewInputs(inputs=ordered, idempotent_kickoff=idempotent_kickoff)


def _payload(loaded: Any) -> dict[str, Any]:
    """Return the object that has the inputs: the answer, or the content of its wrapper."""
    if isinstance(loaded, list):
        return {"inputs": loaded}
    if not isinstance(loaded, dict):
        return {}
    inner = loaded.get(spellings.WRAPPER)
    if isinstance(inner, dict) and spellings.first(loaded, spellings.INPUTS) is None:
        return inner
    return loaded


def _input(name: Any, about: Any) -> CrewInput:
    if not isinstance(name, str) or not name or not name.isprintable() or len(name) > MAX_NAME:
        raise NotUnderstood("the answer's list of inputs has an entry without a usable name")
    kind = about.get("type") if isinstance(about, dict) else about
    required = about.get("required", True) if isinstance(about, dict) else True
    is_optional = required is False or (isinstance(required, str) and required.strip().casefold() == "false")
    return CrewInput(name=name, type=name_text(kind), required=not is_optional)

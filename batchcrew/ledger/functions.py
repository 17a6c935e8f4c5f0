"""Define SQL functions that compare inputs: the order of keys in JSON does not matter."""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import aiosqlite
import orjson

from batchcrew.base.reasons import matches_reason, reason_fingerprint
from batchcrew.ledger.json_text import decode_json


def _canonical(inputs: str) -> str:
    return json.dumps(decode_json(inputs), sort_keys=True)


def _same_inputs(one: str, other: str) -> bool:
    return one == other or _canonical(one) == _canonical(other)


def _inputs_hash(inputs: str) -> bytes:
    return blake2b(_canonical(inputs).encode(), digest_size=16).digest()


@lru_cache(maxsize=16)
def _names(required: str) -> tuple[str, ...]:
    return tuple(orjson.loads(required))


def _missing_inputs(inputs: str, required: str) -> str | None:
    given = orjson.loads(inputs)  # only the names matter, so it may misread a large number
    missing = [name for name in _names(required) if name not in given]
    return orjson.dumps(missing).decode() if missing else None


def _former(before_retry: str, name: str) -> Any:
    return decode_json(before_retry)[name]


async def install(connection: aiosqlite.Connection) -> None:
    """Define the functions that this package's SQL uses.

    `same_inputs(json, json)`, `inputs_hash(json)`, `missing_inputs(json, json)`, `reason_fingerprint_of(text)`,
    `matches_reason(text, pattern)`, `former(json, name)`.
    """
    functions: tuple[tuple[str, int, Callable[..., Any]], ...] = (
        ("same_inputs", 2, _same_inputs),
        ("inputs_hash", 1, _inputs_hash),
        ("missing_inputs", 2, _missing_inputs),
        ("reason_fingerprint_of", 1, reason_fingerprint),
        ("matches_reason", 2, matches_reason),
        ("former", 2, _former),
    )
    for name, arguments, function in functions:
        await connection.create_function(name, arguments, function, deterministic=True)


async def install_crew_groups(connection: aiosqlite.Connection, groups: Mapping[str, str]) -> None:
    """Define `crew_group(name)`: equal for names of one crew. A name that is not in `groups` is a separate crew."""
    await connection.create_function("crew_group", 1, lambda name: groups.get(name, name), deterministic=True)

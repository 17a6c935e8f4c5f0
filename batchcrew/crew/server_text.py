"""Cleans the text of a server for messages: one line of limited length, without control characters."""

import codecs
import re
from typing import Any

import orjson

MAX_WORDS = 500
"""Longest text of a server in a reason or a warning, in characters."""

# CSI, OSC, the other string sequences, and two-character escapes; both the 7-bit and the 8-bit introducers.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_SURELY_FLAT = 200  # fewer brackets cannot be nested too deeply for orjson, whose limit is 254
_HTML_BYTES = 8192  # a gateway's page has its message at the top; the patterns below are quadratic at worst
_TITLE = re.compile(r"<title[^>]*>([^<]*)</title>", re.IGNORECASE)
_UNSEEN = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_LOOKS_LIKE_HTML = re.compile(r"<(?:!doctype|html|head|body|title|h1)\b", re.IGNORECASE)
_MESSAGE_KEYS = ("message", "msg", "detail", "error", "error_message", "reason", "description", "title")


def clean(text: str, limit: int = MAX_WORDS) -> str:
    """Return one printable line of at most `limit` characters, without terminal escapes."""
    if len(text) <= limit and text.isprintable():
        return text
    text = _ESCAPES.sub("", text[: limit * 8])
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def parse(text: bytes | str) -> Any:
    """Return the JSON value in `text`.

    Raises:
        ValueError: it is not JSON, or nested too deeply to be written again inside other JSON, as the ledger does:
            orjson reads deeper values than it writes.
    """
    value = orjson.loads(text)
    brackets = text.count(b"[") + text.count(b"{") if isinstance(text, bytes) else text.count("[") + text.count("{")
    if brackets > _SURELY_FLAT:
        try:
            orjson.dumps([[[[value]]]])
        except TypeError:
            raise ValueError("it is nested too deeply") from None
    return value


def json_text(value: Any) -> str:
    """Return `value` as compact JSON."""
    return orjson.dumps(value).decode()


def plain(value: Any) -> str:
    """Return the text in a JSON value: the text itself, an object's message, the items of a list. It is not cleaned."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict):
        if "loc" in value and "msg" in value:
            return _validation(value["loc"], value["msg"])
        for key in _MESSAGE_KEYS:
            if isinstance(value.get(key), str) and value[key].strip():
                return str(value[key]).strip()
        return json_text(value) if value else ""
    if isinstance(value, list):
        return "; ".join(filter(None, (_item(item) for item in value[:20])))
    return "" if value is None else json_text(value)


def _item(value: Any) -> str:
    return json_text(value) if isinstance(value, list) else plain(value)


def _validation(place: Any, message: Any) -> str:
    """Return `inputs.budget: field required` for FastAPI's `{"loc": ["body", "inputs", "budget"], "msg": …}`."""
    steps = [str(step) for step in place if step != "body"] if isinstance(place, list) else [str(place)]
    return ": ".join(filter(None, (".".join(steps), plain(message))))


def as_utf8(body: bytes, charset: str | None) -> bytes:
    """Return `body` as UTF-8, if its Content-Type names another encoding, or if it is Latin-1 and none is named.

    Bytes that are valid UTF-8 are returned unchanged: some servers name a charset that they do not use.
    """
    if body.isascii():
        return body
    try:
        if charset is not None and codecs.lookup(charset).name in {"utf-8", "ascii"}:
            return body
        try:
            body.decode("utf-8")
        except UnicodeDecodeError:
            return (_latin_1(body) if charset is None else body.decode(charset)).encode()
    except (LookupError, ValueError):  # an unknown charset, or bytes that are not of it
        return body
    return body


def _latin_1(body: bytes) -> str:
    """Return the text of Latin-1; Windows adds quotes, dashes and the euro sign to it."""
    try:
        return body.decode("cp1252")
    except UnicodeDecodeError:
        return body.decode("latin-1")


def server_words(body: bytes) -> str:
    """Return the text of an error answer: JSON of any dialect, a gateway's page, or plain text. It is not cleaned."""
    try:
        payload = parse(body)
    except ValueError:
        return _page_words(body[:_HTML_BYTES].decode("utf-8", "replace"))
    if not isinstance(payload, dict):
        return plain(payload)
    parts: list[str] = []
    for key in ("error", "message", "error_message", "detail"):
        text = plain(payload.get(key))
        if text and not any(_begins(part, text) for part in parts):
            # `Validation Error` and `Validation error: age is missing` say the same
            parts = [*(part for part in parts if not _begins(text, part)), text]
    details = payload.get("details")
    missing = details.get("missing_inputs") if isinstance(details, dict) else None
    if isinstance(missing, list) and missing:
        parts.append("missing inputs: " + ", ".join(plain(name) for name in missing))
    elif details:
        parts.append(plain(details))
    return ": ".join(parts) if parts else plain(payload)


def _begins(text: str, words: str) -> bool:
    """Return whether `text` begins with all of `words`, in capitals or not."""
    words = words.casefold().rstrip(" .:")
    rest = text.casefold().removeprefix(words)
    return len(rest) < len(text.casefold()) and not rest[:1].isalnum()


def is_page(body: bytes) -> bool:
    """Return whether an answer is an HTML page."""
    return bool(_LOOKS_LIKE_HTML.search(body[:1024].decode("utf-8", "replace")))


def _page_words(text: str) -> str:
    if not _LOOKS_LIKE_HTML.search(text[:1024]):
        return text.strip()
    import html  # noqa: PLC0415 - its table of entities takes half a megabyte, and few servers answer with pages

    title = _TITLE.search(text)
    if title and title[1].strip():
        return html.unescape(title[1]).strip()
    return html.unescape(_TAG.sub(" ", _UNSEEN.sub(" ", text))).strip()

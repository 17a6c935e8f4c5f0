"""Turn the Markdown of an answer into safe HTML."""

import html
import json
from functools import cache

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

from batchcrew.reports.export.csv_format import json_text
from batchcrew.reports.html.words import clean, plural

LONGEST = 100_000
"""Characters of a text that are shown."""
_TAGS = {
    *("p", "br", "hr", "h4", "h5", "h6", "strong", "em", "s", "code", "pre", "blockquote", "a"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td"),
}
_FIRST_HEADING = 4
"""Headings of an answer are below those of the page."""


def as_html(text: str) -> str:
    """Return a text as HTML: JSON as it is, indented, everything else as Markdown.

    Only the elements of `_TAGS` pass, without attributes but for the targets of links. Images are not loaded: their
    description remains. Control characters are shown by their numbers.
    """
    cut = len(text) - LONGEST
    shown = clean(text[:LONGEST] if cut > 0 else text)
    end = f"<p>… {plural(cut, 'more character')}</p>" if cut > 0 else ""
    if cut <= 0 and (document := _json(text)) is not None:
        return f"<pre>{html.escape(clean(document))}</pre>"
    try:
        made = _markdown().render(shown)
    except (RecursionError, IndexError, ValueError):  # of a text that was made to break the parser
        made = f"<pre>{html.escape(shown)}</pre>"
    return _cleaned(made) + end


def _cleaned(made: str) -> str:
    return nh3.clean(
        made,
        tags=_TAGS,
        attributes={"a": {"href"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )


def _json(text: str) -> str | None:
    """Return a JSON object or list in indented form; None for other texts."""
    if text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None


def value_as_text(value: object) -> str:
    """Return a value of a file as text: text as it is, everything else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json_text(value)


@cache
def _markdown() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])
    made.add_render_rule("image", _image)
    made.core.ruler.push("headings", lambda state: _lower_headings(state.tokens))
    return made


def _lower_headings(tokens: list[Token]) -> None:
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, _FIRST_HEADING - 1 + int(token.tag[1]))}"


def _image(_renderer: object, tokens: list[Token], index: int, *_: object) -> str:
    return html.escape(f"[image: {tokens[index].content}]")

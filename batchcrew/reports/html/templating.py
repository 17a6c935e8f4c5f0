"""The templates of the report, which the live page uses too: filters, the style sheet, and the policy of a page."""

import base64
import hashlib
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from batchcrew.reports.html import charts, words

TEMPLATES = Path(__file__).parent / "templates"


@cache
def environment() -> Environment:
    """Return the environment of the templates, which escapes everything that is not markup."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (
        words.bin_start,
        words.clean,
        words.compact,
        words.count,
        words.duration,
        words.moment,
        words.percent,
        words.plural,
        words.rate,
        words.time_part,
    ):
        made.filters[function.__name__] = function
    for chart in (
        charts.distribution_chart,
        charts.share_line,
        charts.states_bar,
        charts.timeline_chart,
        charts.timeline_legend,
        words.states,
    ):
        made.globals[chart.__name__] = chart
    return made


@cache
def style() -> Markup:
    """Return the style sheet of reports and pages."""
    return Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))  # noqa: S704 - a file of this package


@cache
def script() -> Markup:
    """Return the script of reports."""
    return Markup((TEMPLATES / "report.js").read_text(encoding="utf-8"))  # noqa: S704 - a file of this package


def policy() -> str:
    """Return the Content-Security-Policy of a report: nothing may be loaded, and only our style and script apply."""
    return (
        f"default-src 'none'; style-src {_source(style())}; script-src {_source(script())};"
        " base-uri 'none'; form-action 'none'"
    )


def _source(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"

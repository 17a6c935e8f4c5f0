"""Charts as SVG from the binned figures of a report, each with a title and a description.

Shapes are in a nested drawing that stretches to the width of the page; text is placed in per cent of the width and
keeps its size, so that charts can be read on a phone as well.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from markupsafe import Markup, escape

from batchcrew.base.clock import from_text
from batchcrew.model.report_times import Distribution, Mark, Timeline, TimelineBin
from batchcrew.model.run import Counts
from batchcrew.reports.html import words

WIDTH = 1000.0
"""Units of the stretched drawing."""
_PLOT, _BARS, _LANE = 150, 84, 20
_LANES = {"throttled": "warn", "paused": "idle"}
_GLYPHS = {"run_started": "▸", "run_ended": "▪", "slots": "↕"}
_OTHER_GLYPH = "◆"
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
"""Seconds between the labels of an axis of time."""
_BAR_CLASSES = {"succeeded": "good", "failed": "bad", "held": "warn", "stale": "warn", "waiting": "warn", "open": "bar"}


def states_bar(counts: Counts) -> Markup:
    """Return a bar of the shares of the states; the list next to it has the numbers."""
    parts, x = [], 0.0
    for state, number in words.states(counts):
        width = WIDTH * number / max(1, counts.total)
        parts.append(_rect(x, 0, max(2.0, width - 2), 12, _BAR_CLASSES.get(state, "idle")))
        x += width
    return _decoration("share-bar", 12, parts)


def share_line(share: float, kind: str) -> Markup:
    """Return a thin line for a share from 0 to 1; a text next to it has the number."""
    bars = [_rect(0, 0, WIDTH, 6, "grid-fill"), _rect(0, 0, WIDTH * min(1.0, max(0.0, share)), 6, kind)]
    return _decoration("share-line", 6, bars)


def timeline_chart(line: Timeline) -> Markup:
    """Return the timeline of a batch."""
    start = from_text(line.started_at)
    axis = _Axis(start, line.bin_seconds * len(line.bins))
    lanes = [kind for kind in _LANES if any(mark.kind == kind for mark in line.marks)]
    marks = [mark for mark in line.marks if mark.kind not in _LANES]
    lanes_top = 22 + _PLOT + (24 if marks else 8)
    bars_top = lanes_top + _LANE * len(lanes) + 26
    bottom = bars_top + _BARS
    most = _ceiling(max(max(one.in_progress, one.slots) for one in line.bins))
    per_minute = 60 / line.bin_seconds if line.bin_seconds else 0.0
    most_ended = _ceiling(max((one.succeeded + one.failed) * per_minute for one in line.bins))
    parts = [
        _text("0", 14, "executions in progress", "strong"),
        _stretched(22, _PLOT, _progress(line.bins, most)),
        *_labels(most, 22, _PLOT),
        *(_glyph(mark, axis, 22 + _PLOT + 17) for mark in marks),
        *_lanes(line.marks, lanes, axis, lanes_top),
        _text("0", bars_top - 10, "ended per minute", "strong"),
        _stretched(bars_top, _BARS, _ended(line.bins, per_minute, most_ended)),
        *_labels(most_ended, bars_top, _BARS),
        *axis.labels(bottom + 18),
        _stretched(22, bottom - 22, list(_tooltips(line, axis, bottom - 22))),
    ]
    ended = sum(one.succeeded + one.failed for one in line.bins)
    described = (
        f"From {words.moment(line.started_at)} UTC, in {len(line.bins)} intervals of"
        f" {words.duration(line.bin_seconds)}: at most {max(one.in_progress for one in line.bins):.1f} executions in"
        f" progress on average of an interval, at most {max(one.slots for one in line.bins):.1f} slots allowed;"
        f" {words.plural(ended, 'execution')} ended. The table below has every figure."
    )
    return _svg(bottom + 24, "Timeline of all runs", described, parts, "timeline")


def timeline_legend(line: Timeline) -> Markup:
    """Return the entries of the timeline's legend."""
    kinds = {mark.kind for mark in line.marks}
    entries = [
        ('<rect class="area" width="22" height="12"/><path class="stroke" d="M0 1H22"/>', "executions in progress"),
        ('<path class="allowed" d="M0 6H22"/>', "slots allowed"),
        ('<rect class="good" width="22" height="12"/>', "succeeded"),
    ]
    if any(one.failed for one in line.bins):
        entries.append(('<rect class="bad" width="22" height="12"/>', "failed"))
    glyphs = {_GLYPHS.get(kind, _OTHER_GLYPH): kind.replace("_", " ") for kind in sorted(kinds - {*_LANES})}
    if _OTHER_GLYPH in glyphs:
        glyphs[_OTHER_GLYPH] = "command"
    entries += [(f'<text class="event-mark" x="6" y="11">{glyph}</text>', name) for glyph, name in glyphs.items()]
    return Markup("").join(
        Markup('<li><svg aria-hidden="true">{}</svg>{}</li>').format(Markup(shape), name)  # noqa: S704 - constants above
        for shape, name in entries
    )


def distribution_chart(one: Distribution, number: int) -> Markup:
    """Return the histogram of durations, with the percentiles.

    Args:
        number: of the chart on its page.
    """
    top, height = 44, 96
    most = max((part.number for part in one.bins), default=0)
    width = WIDTH / max(1, len(one.bins))
    bars = [
        _rect(place * width, height * (1 - part.number / most), max(1.0, width - 2), height * part.number / most, "bar")
        for place, part in enumerate(one.bins)
        if part.number
    ]
    parts = [_stretched(top, height, [*bars, _line(0, height, WIDTH, height, "axis")])]
    labels = []
    for row, (name, seconds) in enumerate((("p99", one.p99), ("p90", one.p90), ("p50", one.p50))):
        x, y = 100 * _position(one, seconds), 12 + 14 * row
        anchor, gap = ("start", 5) if x < 35 else ("end", -5)
        parts.append(
            Markup('<line class="percentile" x1="{0}%" x2="{0}%" y1="{1}" y2="{2}"/>').format(
                f"{x:.2f}", y - 9, top + height
            )
        )
        labels.append(
            Markup('<text class="strong" x="{:.2f}%" dx="{}" y="{}" text-anchor="{}">{} {}</text>').format(
                x, gap, y, anchor, name, words.duration(seconds)
            )
        )
    parts += labels
    parts += [
        _text("0", top + height + 18, words.duration(one.least)),
        _text("100%", top + height + 18, words.duration(one.most), anchor="end"),
    ]
    subject = f"task {one.task}" if one.task is not None else f"crew {one.crew}"
    described = (
        f"{words.plural(one.number, 'execution')}, from {words.duration(one.least)} to {words.duration(one.most)};"
        f" half took at most {words.duration(one.p50)}, 90 % at most {words.duration(one.p90)}, 99 % at most"
        f" {words.duration(one.p99)}."
    )
    return _svg(top + height + 24, f"Durations of {subject}", described, parts, f"durations-{number}")


class _Axis:
    """The horizontal axis of time."""

    def __init__(self, start: datetime, seconds: float) -> None:
        self._start = start
        self._seconds = max(seconds, 0.001)

    def share(self, moment: str) -> float:
        """Return the place of a moment, from 0 to 1."""
        return min(1.0, max(0.0, (from_text(moment) - self._start).total_seconds() / self._seconds))

    def labels(self, y: float) -> Iterator[Markup]:
        """Yield labels at round times; on a small screen, every second one is shown."""
        step = next((one for one in _STEPS if self._seconds / one <= 7), math.ceil(self._seconds / 7 / 86400) * 86400)
        form = (
            "%m-%d"
            if step >= 86400
            else "%m-%d %H:%M"
            if self._seconds > 86400
            else "%H:%M"
            if step >= 60
            else "%H:%M:%S"
        )
        first = math.ceil(self._start.timestamp() / step) * step - self._start.timestamp()
        for place in range(int((self._seconds - first) / step) + 1):
            seconds = first + place * step
            share = seconds / self._seconds
            anchor = "start" if share < 0.04 else "end" if share > 0.96 else "middle"
            text = (self._start + timedelta(seconds=seconds)).strftime(form)
            yield _text(f"{100 * share:.2f}%", y, text, "minor" if place % 2 else "", anchor)


def _progress(bins: Sequence[TimelineBin], most: float) -> list[Markup]:
    """Return the area of executions in progress, and the line of the slots."""
    width = WIDTH / len(bins)

    def steps(values: Sequence[float]) -> str:
        heights = [_PLOT * (1 - value / most) for value in values]
        return "".join(f"V{height:.1f}H{(place + 1) * width:.2f}" for place, height in enumerate(heights))

    in_progress, slots = steps([one.in_progress for one in bins]), steps([one.slots for one in bins])
    return [
        _line(0, _PLOT / 2, WIDTH, _PLOT / 2, "grid"),
        _line(0, 0, WIDTH, 0, "grid"),
        _path(f"M0 {_PLOT}{in_progress}V{_PLOT}Z", "area"),
        _path(f"M0 {_PLOT}{in_progress}V{_PLOT}", "stroke"),
        _path(f"M0 {_PLOT}{slots}V{_PLOT}", "allowed"),
        _line(0, _PLOT, WIDTH, _PLOT, "axis"),
    ]


def _ended(bins: Sequence[TimelineBin], per_minute: float, most: float) -> list[Markup]:
    """Return the bars of what ended, failures on top."""
    width = WIDTH / len(bins)
    bars = [_line(0, 0, WIDTH, 0, "grid")]
    for place, one in enumerate(bins):
        good, bad = (_BARS * number * per_minute / most for number in (one.succeeded, one.failed))
        x, wide = place * width, max(0.6, width - min(1.5, width / 4))
        bars += [_rect(x, _BARS - good, wide, good, "good")] if good else []
        bars += [_rect(x, _BARS - good - bad, wide, bad, "bad")] if bad else []
    return [*bars, _line(0, _BARS, WIDTH, _BARS, "axis")]


def _lanes(marks: Sequence[Mark], lanes: Sequence[str], axis: _Axis, top: float) -> Iterator[Markup]:
    for row, kind in enumerate(lanes):
        y = top + _LANE * row
        shapes = [_line(0, 15, WIDTH, 15, "grid")]
        for mark in marks:
            if mark.kind == kind:
                x = WIDTH * axis.share(mark.at)
                shapes.append(_rect(x, 11, max(2.0, WIDTH * axis.share(mark.until or mark.at) - x), 6, _LANES[kind]))
        yield _stretched(y, _LANE, shapes)
        yield _text("0", y + 9, kind)


def _tooltips(line: Timeline, axis: _Axis, height: float) -> Iterator[Markup]:
    width = WIDTH / len(line.bins)
    for place, one in enumerate(line.bins):
        text = (
            f"{words.bin_start(line, place)}: {one.in_progress:.1f} in progress, {one.slots:.1f} slots,"
            f" {one.succeeded} succeeded, {one.failed} failed, {one.refused} refused"
        )
        yield Markup(
            '<rect x="{:.2f}" y="0" width="{:.2f}" height="{:g}" fill="transparent"><title>{}</title></rect>'
        ).format(place * width, width, height, text)


def _glyph(mark: Mark, axis: _Axis, y: float) -> Markup:
    glyph = _GLYPHS.get(mark.kind, _OTHER_GLYPH)
    text = f"{words.moment(mark.at)}: {words.clean(mark.text) or mark.kind.replace('_', ' ')}"
    return Markup(
        '<text class="event-mark" x="{:.2f}%" y="{:g}" text-anchor="middle">{}<title>{}</title></text>'
    ).format(100 * axis.share(mark.at), y, glyph, text)


def _position(one: Distribution, seconds: float) -> float:
    """Return the place of a duration on the axis of the bins, from 0 to 1; inside a bin it is logarithmic."""
    for place, part in enumerate(one.bins):
        if seconds < part.end or place == len(one.bins) - 1:
            inside = 0.5
            if 0 < part.start < part.end:
                inside = math.log(max(seconds, part.start) / part.start) / math.log(part.end / part.start)
            return (place + min(1.0, inside)) / len(one.bins)
    return 0.0


def _ceiling(value: float) -> float:
    """Return a round number that is at least the value: the upper end of an axis."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if factor * power >= value * 0.999)


def _labels(most: float, top: float, height: float) -> list[Markup]:
    """Return the labels of a vertical axis, at its right end."""
    return [
        _text("100%", top + offset - 4, f"{value:g}", anchor="end")
        for offset, value in ((0, most), (height / 2, most / 2))
    ]


def _svg(height: float, title: str, described: str, parts: Sequence[Markup], name: str) -> Markup:
    return Markup(
        '<svg class="chart" role="img" height="{:g}" aria-labelledby="{name}-title {name}-desc">'
        '<title id="{name}-title">{}</title><desc id="{name}-desc">{}</desc>{}</svg>'
    ).format(height, title, described, Markup("").join(parts), name=name)


def _decoration(kind: str, height: float, parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg class="{}" aria-hidden="true" viewBox="0 0 {:g} {:g}" preserveAspectRatio="none">{}</svg>'
    ).format(kind, WIDTH, height, Markup("").join(parts))


def _stretched(y: float, height: float, parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg x="0" y="{:g}" width="100%" height="{:g}" viewBox="0 0 {:g} {:g}" preserveAspectRatio="none">{}</svg>'
    ).format(y, height, WIDTH, height, Markup("").join(parts))


def _rect(x: float, y: float, width: float, height: float, kind: str) -> Markup:
    return Markup('<rect class="{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"/>').format(
        kind, x, y, width, height
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return _path(f"M{x1:g} {y1:g}L{x2:g} {y2:g}", kind)


def _path(drawing: str, kind: str) -> Markup:
    return Markup('<path class="{}" vector-effect="non-scaling-stroke" d="{}"/>').format(kind, drawing)


def _text(x: str, y: float, text: str, kind: str = "", anchor: str = "start") -> Markup:
    chosen = Markup(' class="{}"').format(kind) if kind else ""
    return Markup('<text{} x="{}" y="{:g}" text-anchor="{}">{}</text>').format(chosen, x, y, anchor, escape(text))

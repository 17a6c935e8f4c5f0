"""The figures of a report as short texts, which the text and the Markdown report share.

Texts of crews and files are not escaped, apart from control characters: each format escapes its own special characters.
"""

from collections.abc import Iterator

from batchcrew.base.clock import from_text
from batchcrew.base.quantities import format_duration
from batchcrew.base.text import clean_text
from batchcrew.model.report import Report, ReportedFailures
from batchcrew.model.report_times import TIME_PARTS, Distribution
from batchcrew.model.views import RunLine
from batchcrew.reports.failures import percent
from batchcrew.reports.summary import count_words

SPARK = "▁▂▃▄▅▆▇█"


def facts_of(report: Report) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of the figures at the top of a report."""
    yield "jobs", f"{report.counts.total:,}: {count_words(report.counts)}"
    if report.without_output:
        yield "without output", f"{report.without_output:,} of the succeeded jobs"
    if report.counts.possible_duplicates:
        yield "possible duplicates", f"{report.counts.possible_duplicates:,}"
    money, tokens = report.money, report.tokens
    kickoffs = _number(money.kickoffs, "kickoff")
    yield "spent", f"{kickoffs}, {clean_text(money.spent)}" if money.spent else f"{kickoffs}, price not known"
    if money.wasted_kickoffs:
        wasted = _number(money.wasted_kickoffs, "kickoff")
        yield "of it on failures", f"{wasted}, {clean_text(money.wasted)}" if money.wasted else wasted
    if money.reused_answers:
        reused = f"{_number(money.reused_answers, 'answer')} used again"
        yield "saved", f"{reused}, {clean_text(money.saved)}" if money.saved else reused
    if tokens.total is not None:
        wasted = f", {tokens.wasted:,} of them on failures" if tokens.wasted else ""
        yield "tokens", f"{tokens.total:,}{wasted}"
    yield from _time_facts(report)


def _time_facts(report: Report) -> Iterator[tuple[str, str]]:
    duration, throughput = report.duration, report.throughput
    if duration.started_at is None or duration.ended_at is None:
        return
    yield (
        "time",
        f"{format_duration(duration.elapsed_seconds)}, {moment(duration.started_at)} to {moment(duration.ended_at)}",
    )
    if duration.ideal_seconds:
        yield "ideal", f"{format_duration(duration.ideal_seconds)} if all {duration.slots:.1f} slots were always in use"
    if throughput.answers_per_minute is not None:
        yield "throughput", f"{throughput.answers_per_minute:,.1f} answers per minute"


def parts_of(report: Report) -> list[tuple[str, str, str]]:
    """Return (time, share, meaning) of the parts of the duration, without empty ones."""
    total = report.duration.elapsed_seconds
    return [
        (format_duration(part.seconds), percent(part.seconds, total), TIME_PARTS[part.name])
        for part in report.duration.parts
        if part.seconds >= 0.0005 * total and part.seconds
    ]


def failure_facts(failures: ReportedFailures) -> str:
    """Return the figures of a failure group, in one line: `45 jobs (12% of the failures), 90 kickoffs, 45.00 USD,
    …`."""
    group, detail = failures.group, failures.detail
    held = f", {group.held} of them on hold" if group.held else ""
    kickoffs = f", {_number(detail.kickoffs, 'kickoff')}" if detail.kickoffs else ""
    cost = f", {clean_text(detail.cost)}" if detail.cost else ""
    share = percent(failures.share_of_failures, 1.0)
    return f"{_number(group.jobs, 'job')} ({share} of the failures){held}{kickoffs}{cost}"


def distribution_cells(each: Distribution) -> list[str]:
    """Return the cells of a distribution: `name, number, mean, p50, p90, p99, longest`."""
    name = clean_text(each.crew) if each.task is None else clean_text(each.task)
    times = (each.mean, each.p50, each.p90, each.p99, each.most)
    return [name, f"{each.number:,}", *(format_duration(seconds) for seconds in times)]


DISTRIBUTION_HEADER = ["", "number", "mean", "p50", "p90", "p99", "longest"]


def sparkline(values: list[float], columns: int) -> str:
    """Return the values as a row of blocks, at most this many."""
    if not values:
        return ""
    per_block = -(-len(values) // columns)
    means = [
        sum(values[at : at + per_block]) / len(values[at : at + per_block]) for at in range(0, len(values), per_block)
    ]
    most = max(means)
    if not most:
        return SPARK[0] * len(means)
    return "".join(SPARK[round(mean / most * (len(SPARK) - 1))] for mean in means)


def moment(text: str) -> str:
    """Return a moment of the ledger for people: `2026-11-23 08:00:00Z`."""
    return f"{from_text(text):%Y-%m-%d %H:%M:%SZ}"


def _number(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


def run_words(line: RunLine) -> str:
    """Return what a run did: `run, 3h 31m, 6,401 kickoffs, 2560.40 USD, exit 3: interrupted (SIGINT)`."""
    facts = [line.kind]
    if line.ended_at is not None:
        seconds = (from_text(line.ended_at) - from_text(line.started_at)).total_seconds()
        facts.append(format_duration(max(0.0, seconds)))
    else:
        facts.append("in progress" if line.running else "killed")
    facts.append(_number(line.kickoffs, "kickoff"))
    if line.cost:
        facts.append(clean_text(line.cost))
    if line.exit_code is not None:
        facts.append(f"exit {line.exit_code}")
    detail = line.stop_detail or (line.stopped or "").replace("_", " ")
    return ", ".join(facts) + (f": {clean_text(detail, limit=200)}" if detail else "")

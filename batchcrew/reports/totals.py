"""The totals of a batch, for `status` and `list`."""

from batchcrew.base.quantities import format_duration
from batchcrew.base.text import clean_text
from batchcrew.model.views import BatchTotals


def totals_line(totals: BatchTotals) -> str | None:
    """Return `total: 24 kickoffs in 2 runs, 1m 20s (18.0/min), 12.00 USD, 48,000 tokens`; None before the first run."""
    if not totals.runs:
        return None
    kickoffs = "1 kickoff" if totals.kickoffs == 1 else f"{totals.kickoffs} kickoffs"
    runs = "1 run" if totals.runs == 1 else f"{totals.runs} runs"
    time = format_duration(totals.seconds)
    if totals.kickoffs_per_minute:  # not 0.0
        time += f" ({totals.kickoffs_per_minute:.1f}/min)"
    facts = [f"total: {kickoffs} in {runs}", time]
    if totals.cost is not None:
        unknown = f" (the tokens of {totals.without_tokens} are not known)" if totals.without_tokens else ""
        facts.append(clean_text(totals.cost) + unknown)
    if totals.tokens is not None:
        facts.append(f"{totals.tokens:,} tokens")
    return ", ".join(facts)


def totals_cells(totals: BatchTotals) -> list[str]:
    """Return the cells `cost`, `tokens`, `time`, `rate` and `exit` of a batch in `list`; what is unknown is empty."""
    rate = totals.kickoffs_per_minute
    return [
        clean_text(totals.cost or ""),
        "" if totals.tokens is None else f"{totals.tokens:,}",
        format_duration(totals.seconds) if totals.runs else "",
        f"{rate:.1f}/min" if rate else "",
        "" if totals.last_exit_code is None else str(totals.last_exit_code),
    ]


TOTALS_HEADER = ["cost", "tokens", "time", "rate", "exit"]

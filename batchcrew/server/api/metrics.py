"""The server's counts as OpenMetrics text."""

import bisect
from collections.abc import Iterator, Mapping

from batchcrew.server.report import Report

BUCKETS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
"""Upper bounds of an execution's seconds."""


class EndedCounts:
    """Executions that have ended since the server started."""

    def __init__(self) -> None:
        self.succeeded = 0
        self.failed = 0
        self.tokens = 0
        self.seconds = 0.0
        self.counts = [0] * (len(BUCKETS) + 1)
        """Executions in each bucket of BUCKETS; the last entry counts those above all bounds."""

    def add(self, report: Report) -> None:
        """Count an execution that has ended."""
        if report.failed:
            self.failed += 1
        else:
            self.succeeded += 1
        self.tokens += (report.token_usage or {}).get("total_tokens", 0)
        self.seconds += report.execution_time
        self.counts[bisect.bisect_left(BUCKETS, report.execution_time)] += 1

    def mean_seconds(self) -> float:
        """Return the mean time of an execution, in seconds; 0 before the first one has ended."""
        return self.seconds / max(1, self.succeeded + self.failed)


def open_metrics(
    *,
    phases: Mapping[str, int],
    ended: EndedCounts,
    kickoffs: int,
    pool: Mapping[str, int],
    webhooks: Mapping[str, int],
) -> str:
    """Return the text of `GET /metrics`."""
    lines = [
        *_family("batchcrew_executions", "gauge", "Executions that have not ended, by phase.", phases, "phase"),
        *_family("batchcrew_kickoffs", "counter", "Executions ever stored in this state.", {"": kickoffs}),
        *_family(
            "batchcrew_ended",
            "counter",
            "Executions that have ended.",
            {"succeeded": ended.succeeded, "failed": ended.failed},
            "outcome",
        ),
        *_family("batchcrew_tokens", "counter", "Tokens of executions that have ended.", {"": ended.tokens}),
        *_family("batchcrew_workers", "gauge", "Worker processes.", {"": pool["workers"]}),
        *_family(
            "batchcrew_workers_ready", "gauge", "Workers that are ready to run executions.", {"": pool["workers_ready"]}
        ),
        *_family("batchcrew_workers_lost", "counter", "Workers that ended unexpectedly.", {"": pool["workers_lost"]}),
        *_family(
            "batchcrew_webhooks",
            "counter",
            "Webhooks that were sent or given up.",
            {name: webhooks[name] for name in ("sent", "given_up")},
            "outcome",
        ),
        *_family(
            "batchcrew_webhooks_waiting", "gauge", "Receivers that a webhook waits for.", {"": webhooks["waiting"]}
        ),
        *_histogram(ended),
        "# EOF",
    ]
    return "\n".join(lines) + "\n"


def _family(name: str, kind: str, text: str, values: Mapping[str, int], label: str = "") -> Iterator[str]:
    yield f"# TYPE {name} {kind}"
    yield f"# HELP {name} {text}"
    suffix = "_total" if kind == "counter" else ""
    for key, value in values.items():
        labels = f'{{{label}="{key}"}}' if label else ""
        yield f"{name}{suffix}{labels} {value}"


def _histogram(ended: EndedCounts) -> Iterator[str]:
    name, sum_ = "batchcrew_execution_seconds", 0
    yield f"# TYPE {name} histogram"
    yield f"# UNIT {name} seconds"
    yield f"# HELP {name} Time of executions that have ended."
    for bound, count in zip([*map(str, BUCKETS), "+Inf"], ended.counts, strict=True):
        sum_ += count
        yield f'{name}_bucket{{le="{bound}"}} {sum_}'
    yield f"{name}_count {sum_}"
    yield f"{name}_sum {ended.seconds:.3f}"

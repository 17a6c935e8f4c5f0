"""The report as JSON, with all of its figures. docs/results.md describes it; `VERSION` changes if a key does."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from batchcrew.model.report import Report, ReportedFailures
from batchcrew.model.report_times import TIME_PARTS, Distribution
from batchcrew.reports.as_json import counts_json, json_document, runs_json
from batchcrew.reports.failures import brief_json
from batchcrew.reports.report.report_format import ReportFormat, ReportSource

VERSION = 1


def report_json(report: Report) -> dict[str, Any]:
    """Return `{"version", "batch", "jobfile", "ledger", "written_at", "running", "verdict", "good", "counts",
    "without_output", "crews", "money", "tokens", "duration", "throughput", "timeline", "durations", "failures",
    "more_failure_groups", "more_failed_jobs", "runs", "more_runs", "next"}`; see docs/results.md."""
    duration = asdict(report.duration)
    duration["parts"] = [{**part, "meaning": TIME_PARTS[part["name"]]} for part in duration["parts"]]
    return {
        "version": VERSION,
        "batch": report.batch,
        "jobfile": report.jobfile,
        "ledger": report.ledger,
        "written_at": report.written_at,
        "running": report.running,
        "verdict": report.verdict,
        "good": report.good,
        "counts": counts_json(report.counts),
        "without_output": report.without_output,
        "crews": [
            {"crew": each.crew, "counts": counts_json(each.counts), "address": each.address, "price": each.price}
            for each in report.crews
        ],
        "money": asdict(report.money),
        "tokens": asdict(report.tokens),
        "duration": duration,
        "throughput": asdict(report.throughput),
        "timeline": asdict(report.timeline),
        "durations": [_distribution(each) for each in report.durations],
        "failures": [_failures(each) for each in report.failures],
        "more_failure_groups": report.more_failure_groups,
        "more_failed_jobs": report.more_failed_jobs,
        "runs": runs_json(report.runs),
        "more_runs": report.more_runs,
        "next": [asdict(each) for each in report.next],
    }


def _distribution(each: Distribution) -> dict[str, Any]:
    return {**asdict(each), "mean": round(each.mean, 3)}


def _failures(each: ReportedFailures) -> dict[str, Any]:
    group, detail = each.group, each.detail
    return {
        **brief_json(group),
        "share": each.share,
        "share_of_failures": each.share_of_failures,
        "first_at": group.first_at,
        "last_at": group.last_at,
        "attempts": {"least": group.least_attempts, "most": group.most_attempts},
        "retried": group.retried,
        "kinds": dict(detail.kinds),
        "kickoffs": detail.kickoffs,
        "cost": detail.cost,
        "retry": each.retry,
        "show": each.show,
    }


async def _write(report: Report, source: ReportSource) -> AsyncIterator[str]:
    del source
    yield json_document(report_json(report)) + "\n"


JSON_REPORT = ReportFormat(name="json", suffix=".json", write=_write)

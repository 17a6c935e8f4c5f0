"""The plan of a batch as JSON, for `batchcrew check --json`."""

from collections.abc import Sequence
from dataclasses import asdict

from batchcrew.model.run import Plan
from batchcrew.reports.as_json import JsonDict
from batchcrew.reports.crew_check import CrewCheck
from batchcrew.reports.served_crew import served_crew_json


def plan_json(plan: Plan, *, batch: str, jobfile: str, crews: Sequence[CrewCheck] = ()) -> JsonDict:
    """`{"batch", "jobfile", "total", "new", "changed", "stale", "running", "again", "restored", "reused", "unchanged",
    "gone", "columns", "crews"}`; the numbers are jobs, those from `stale` to `again` are parts of `changed`.

    Each of `crews` is `{"name", "url", "jobs", "inputs", "problem", "lacking", "lacking_jobs", "sent", "not_sent",
    "served"}`, where `inputs` is a list of `{"name", "type", "required"}` or null, `lacking` counts jobs by their
    missing input, and `served` is null or what `served_crew_json` returns.
    """
    return {
        "batch": batch,
        "jobfile": jobfile,
        "total": plan.total,
        "new": plan.new,
        "changed": plan.changed,
        "stale": plan.stale,
        "running": plan.running,
        "again": plan.again,
        "restored": plan.restored,
        "reused": plan.reused,
        "unchanged": plan.unchanged,
        "gone": plan.removed,
        "columns": list(plan.columns),
        "crews": [_crew(crew) for crew in crews],
    }


def _crew(crew: CrewCheck) -> JsonDict:
    return {
        "name": crew.name,
        "url": crew.url,
        "jobs": crew.jobs,
        "inputs": None if crew.inputs is None else [asdict(entry) for entry in crew.inputs.inputs],
        "problem": crew.problem,
        "lacking": dict(crew.missing_inputs),
        "lacking_jobs": list(crew.missing_jobs),
        "sent": list(crew.sent),
        "not_sent": list(crew.not_sent),
        "served": served_crew_json(crew.served),
    }

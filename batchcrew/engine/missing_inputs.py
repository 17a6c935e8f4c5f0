"""Fail jobs that are missing an input that their crew requires, without a kickoff, which would cost money."""

from collections.abc import Sequence

from batchcrew.base.similar import most_similar
from batchcrew.engine.context import RunContext
from batchcrew.model.crew_answers import CrewInputs
from batchcrew.model.run import StopReason


async def check_inputs(context: RunContext, crew: str, answer: CrewInputs | None, *, again: bool = False) -> None:
    """Fail the crew's pending jobs that miss a required input. If most jobs miss one, stop instead: the file is wrong.

    Args:
        answer: what the crew reports about its inputs.
        again: jobs are pending that were not when this was checked.
    """
    if answer is None or not answer.required:
        return
    ledger, batch, required = context.ledger, context.batch, list(answer.required)
    if not again and (await ledger.inputs_checked(batch)).get(crew) == required:
        return
    missing, total = await ledger.missing_inputs(batch, crew, required)
    if missing * 2 > total:
        example = await ledger.missing_example(batch, crew, required)
        about = f" (job {example[0]!r}: {missing_message(example[1], example[2])})" if example else ""
        message = f"{most_jobs_message(missing, total, crew)}{about}"
        context.stop.request(StopReason.MISSING_INPUTS, message, leave=False)
        return
    await ledger.fail_without_inputs(batch, crew, required, missing_message)


def most_jobs_message(missing: int, total: int, crew: str) -> str:
    """Return `12 of 20 jobs are missing an input that crew default requires; nothing was kicked off`."""
    jobs = "1 job is" if missing == total == 1 else f"{missing} of {total} jobs are"
    return f"{jobs} missing an input that crew {crew} requires; nothing was kicked off"


def missing_message(missing: Sequence[str], columns: Sequence[str]) -> str:
    """Return which inputs are missing, and for each the column of the file that looks like it.

    Args:
        missing: names of the missing inputs.
        columns: names of the file's columns.
    """
    inputs = "input" if len(missing) == 1 else "inputs"
    parts = [f"missing the {inputs} {', '.join(repr(name) for name in missing)}"]
    folded = {column.casefold().replace("_", " ").strip(): column for column in reversed(columns)}
    for name in missing:
        if name in columns:
            parts.append(f"the column {name!r} is not sent: name it under `send:` (or `inputs:`) in the job file")
            continue
        near = most_similar(name.casefold().replace("_", " "), folded)
        if near is not None:
            parts.append(f"the nearest column is {folded[near]!r}: rename it, or map it under `inputs:`")
    return "; ".join(parts)

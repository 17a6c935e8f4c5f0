"""Make the event of a run's start, and the result of its end."""

from dataclasses import replace
from pathlib import Path

from batchcrew.config.settings import RunSettings
from batchcrew.engine import EngineResult, Stop
from batchcrew.jobfile import JobFile
from batchcrew.model.events import RunStarted
from batchcrew.model.run import Counts, RunResult


def run_started(result: RunResult, run_id: str, path: Path, jobfile: JobFile, settings: RunSettings) -> RunStarted:
    """Return the event of a run's start.

    Args:
        path: the job file.
    """
    return RunStarted(
        batch=jobfile.batch,
        run_id=run_id,
        jobfile=str(path),
        ledger=result.ledger,
        crews=tuple(f"{name} ({crew.location})" for name, crew in jobfile.crews.items()),
        concurrency=settings.most_in_progress,
        adaptive=settings.adaptive,
        counts=result.counts,
        program=result.program,
    )


def run_ended(result: RunResult, run_id: str, engine: EngineResult, counts: Counts, stop: Stop) -> RunResult:
    """Return the result with the figures of the engine, and the reason why the run stopped."""
    # a stop that was requested when no job was left stopped nothing
    stopped = stop.reason if counts.left else None
    return replace(
        result,
        run_id=run_id,
        counts=counts,
        kickoffs=engine.kickoffs,
        lookalikes=engine.lookalikes,
        interrupted=engine.interrupted,
        interrupted_jobs=tuple(engine.interrupted_jobs),
        lookalike_example=engine.lookalike_example,
        slowest=tuple(line for _, _, line in sorted(engine.slowest, reverse=True)),
        stopped=stopped,
        stop_detail=stop.detail if stopped else None,
    )

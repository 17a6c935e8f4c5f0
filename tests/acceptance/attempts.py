"""An attempt for tests of what is shown during a run."""

from batchcrew.model.attempt import Attempt


def attempt(job_id: str) -> Attempt:
    return Attempt(
        attempt_id=f"attempt-{job_id}",
        batch="travel",
        job_key=1,
        job_id=job_id,
        crew="default",
        number=1,
        attempts_used=1,
        inputs={},
        meta={},
        intended_at="2026-02-03T00:00:00.000Z",
    )

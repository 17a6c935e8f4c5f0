"""Render the results of `doctor`: one line for each check, with its fix; and the same as JSON."""

from collections.abc import Iterator, Sequence
from typing import Any

from batchcrew.base.text import clean_text, pad, wrap
from batchcrew.model.diagnosis import CrewExamination, Diagnosis, KickoffExamination, Level
from batchcrew.reports.commands import PROGRAM, quoted

_CHECK_COLUMNS = 10
_LEVEL_COLUMNS = 7
_LEAST_COLUMNS = 40


def render_examinations(examined: Sequence[CrewExamination], *, width: int | None = None) -> str:
    """Render the checks of each crew, and the number of problems and warnings.

    Args:
        width: of the terminal; None: one line for each check.
    """
    lines: list[str] = []
    for each in examined:
        lines.append(f"crew {clean_text(each.name)}: {clean_text(each.url)}")
        lines += _lines(each.diagnoses, width)
    found = [diagnosis for each in examined for diagnosis in each.diagnoses]
    return "\n".join([*lines, _totals(found)])


def render_kickoff(kickoff: KickoffExamination, *, width: int | None = None) -> str:
    """Render the results of one execution."""
    head = f"one kickoff to crew {clean_text(kickoff.crew)}, attempt {kickoff.attempt_id}:"
    if kickoff.kickoff_id is not None:
        head = f"one kickoff to crew {clean_text(kickoff.crew)}, kickoff_id {clean_text(kickoff.kickoff_id)}:"
    return "\n".join([head, *_lines(kickoff.diagnoses, width), _totals(kickoff.diagnoses)])


def adopt_hint(jobfile: str, job_id: str, kickoff_id: str, *, program: str = PROGRAM) -> str:
    """Return the commands by which a job gets the answer of an execution, instead of another kickoff."""
    row = f"{_csv_cell(job_id)},{_csv_cell(kickoff_id)}"
    return (
        f"printf 'job_id,kickoff_id\\n%s\\n' {quoted(row)} > adopt.csv"
        f" && {program} adopt {quoted(jobfile)} --csv adopt.csv"
    )


def _csv_cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in '",\r\n') else text


def _lines(diagnoses: Sequence[Diagnosis], width: int | None) -> Iterator[str]:
    for each in diagnoses:
        text = clean_text(f"{each.text}; {each.fix}" if each.fix else each.text)
        first = f"  {pad(each.level, _LEVEL_COLUMNS)}  {pad(each.check, _CHECK_COLUMNS)}  "
        columns = None if width is None else max(_LEAST_COLUMNS, width - len(first))
        parts = [text] if columns is None else [*wrap(text, columns)]
        for number, part in enumerate(parts):
            yield (first if number == 0 else " " * len(first)) + part


def _totals(diagnoses: Sequence[Diagnosis]) -> str:
    problems, warnings = (sum(each.level is level for each in diagnoses) for level in (Level.PROBLEM, Level.WARNING))
    if not problems and not warnings:
        return "no problems"
    parts = [f"{problems} {'problem' if problems == 1 else 'problems'}" if problems else "no problems"]
    parts += [f"{warnings} {'warning' if warnings == 1 else 'warnings'}"] if warnings else []
    return ", ".join(parts)


def doctor_json(
    examined: Sequence[CrewExamination], kickoff: KickoffExamination | None = None, notes: Sequence[str] = ()
) -> dict[str, Any]:
    """Return `{"crews", "kickoff", "problems", "warnings", "notes"}`.

    Each of `crews` is `{"name", "url", "checks", "inputs"}`; `inputs` is null if the crew lists none. Each of `checks`
    is `{"check", "level", "text", "fix"}`. `kickoff` is null without `--kickoff`, else `{"crew", "attempt_id",
    "kickoff_id", "status_path", "status_words", "ended", "checks"}`.
    """
    found = [diagnosis for each in examined for diagnosis in each.diagnoses]
    found += kickoff.diagnoses if kickoff is not None else ()
    return {
        "crews": [
            {
                "name": each.name,
                "url": each.url,
                "checks": _checks(each.diagnoses),
                "inputs": None
                if each.inputs is None
                else [
                    {"name": entry.name, "type": entry.type, "required": entry.required} for entry in each.inputs.inputs
                ],
            }
            for each in examined
        ],
        "kickoff": None if kickoff is None else _kickoff(kickoff),
        "problems": sum(each.level is Level.PROBLEM for each in found),
        "warnings": sum(each.level is Level.WARNING for each in found),
        "notes": list(notes),
    }


def _kickoff(kickoff: KickoffExamination) -> dict[str, Any]:
    return {
        "crew": kickoff.crew,
        "attempt_id": kickoff.attempt_id,
        "kickoff_id": kickoff.kickoff_id,
        "status_path": kickoff.status_path,
        "status_words": list(kickoff.status_words),
        "ended": kickoff.ended,
        "checks": _checks(kickoff.diagnoses),
    }


def _checks(diagnoses: Sequence[Diagnosis]) -> list[dict[str, str]]:
    return [{"check": each.check, "level": str(each.level), "text": each.text, "fix": each.fix} for each in diagnoses]

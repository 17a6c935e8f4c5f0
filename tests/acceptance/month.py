"""A simulated month: one job file that is edited, moved, interrupted and run every day, and paid for once.

python tests/acceptance/month.py --days 30 --rows 20 --seed 1 [--no-ids] [--seeds 50]

After each step the kickoffs that the crew's servers have counted and every row of the export are compared with
`month_model.py`, which keeps by hand what must have been paid for.
"""

import argparse
import copy
import json
import random
import re
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cli_process import closing, wait_until
from month_crew import Kickoff, MonthCrew
from month_folder import Folder
from month_model import MISSING, Model
from month_sheet import Sheet

CONCURRENCY = 4


class Mismatch(AssertionError):
    """batchcrew did not do what the rules require."""


@dataclass(frozen=True)
class Month:
    """What came of it."""

    seed: int
    days: int
    kickoffs: int
    consented: int
    """Kickoffs that the model expected."""
    rows: int
    edits: Counter[str]
    runs: Counter[str]

    def __str__(self) -> str:
        edits = ", ".join(f"{number} {name}" for name, number in sorted(self.edits.items()))
        runs = ", ".join(f"{number} {name}" for name, number in sorted(self.runs.items()))
        return (
            f"seed {self.seed}: {self.days} days, {self.rows} rows at the end, {self.kickoffs} kickoffs,"
            f" {self.consented} consented to\n  edits: {edits}\n  runs: {runs}"
        )


class Simulation:
    """One month. Use `run`."""

    def __init__(self, folder: Path, *, seed: int, rows: int, ids: bool, report: Callable[[str], None]) -> None:
        self._chance = random.Random(seed)
        self._seed = seed
        self._report = report
        self._folder = Folder(folder)
        self._model = Model()
        self._crews = [MonthCrew(0), MonthCrew(1_000_000)]
        self._sheet = Sheet.new(self._chance, rows=rows, ids=ids)
        self._taken_in = copy.deepcopy(self._sheet)
        self._url = self._taken_in_url = 0
        self._on_change_rerun = False
        self._unsettled = False
        self._expected = 0
        self._edits: Counter[str] = Counter()
        self._runs: Counter[str] = Counter()
        self._log: list[str] = []
        self._days: list[str] = []

    def __enter__(self) -> Self:
        for crew in self._crews:
            crew.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        for crew in self._crews:
            crew.__exit__(*error)

    def run(self, days: int) -> Month:
        """Simulate the days.

        Raises:
            Mismatch: batchcrew paid for something else than it should have, or shows it elsewhere.
        """
        for day in range(1, days + 1):
            self._log = []
            try:
                self._day(day, last=day == days)
            except AssertionError as error:
                raise Mismatch(f"seed {self._seed}, {self._shown(day)}: {error}\n" + "\n".join(self._days)) from error
            self._days.append(self._shown(day))
            self._report(self._days[-1])
        self._check_the_whole_month()
        return Month(
            self._seed,
            days,
            len(self._kickoffs()),
            self._expected,
            len(self._sheet.rows),
            self._edits,
            self._runs,
        )

    def _shown(self, day: int) -> str:
        return f"day {day:2}: {'; '.join(self._log)}; {len(self._kickoffs())} kickoffs"

    def _day(self, day: int, *, last: bool) -> None:
        if day > 1:
            self._edit()
        self._write()
        if day > 1 and self._chance.random() < 0.3:
            self._log.append(self._folder.move(self._chance))
        runs = {
            self._run: 8,
            self._run_interrupted: 5,
            self._run_limited: 3,
            self._run_ticks: 3,
            self._run_wrong: 2,
            self._run_lost_column: 2,
            self._run_nothing: 2,
            self._run_keep: 2,
            self._run_rerun: 2,
            self._run_rerun_interrupted: 2,
            self._run_retry_failed: 1,
        }
        chosen = self._run if last else self._chance.choices(list(runs), list(runs.values()))[0]
        if chosen == self._run_lost_column:
            self._sheet.lost = True
            self._write()
        if chosen not in {self._run_nothing, self._run_wrong} and not self._consent():
            self._sheet.lost = False
            return
        name = chosen.__name__.removeprefix("_run").lstrip("_") or "run"
        self._runs[name] += 1
        self._log.append(name)
        chosen()

    # Edits

    def _edit(self) -> None:
        merged = bool(self._model.jobs) and self._sheet == self._taken_in
        for _ in range(self._chance.choice([0, 1, 1, 2, 3])):
            if merged and self._chance.random() < 0.06:
                self._save_export_over()
                name = "export saved over"
            elif self._chance.random() < 0.12:
                name = self._edit_run_settings()
            else:
                # another name and another URL are another crew
                name = self._sheet.edit(self._chance, may_rename_crew=self._url == self._taken_in_url)
            merged = False
            self._edits[name] += 1
            self._log.append(name)

    def _edit_run_settings(self) -> str:
        if self._chance.random() < 0.5:
            self._on_change_rerun = not self._on_change_rerun
            return "on_change"
        if self._sheet.crew != self._taken_in.crew or self._unsettled:
            return "nothing"  # (another server does not know the key of a kickoff that may have been sent)
        self._url = 1 - self._url
        return "url"

    def _save_export_over(self) -> None:
        before = [(row.job_id, row.inputs) for row in self._sheet.rows]
        self._folder.call_inside("export", "l", "-f", "csv", "-o", "l.csv")
        self._sheet.read_export(self._folder.path / "l.csv")
        assert [(row.job_id, row.inputs) for row in self._sheet.rows] == before, "the export has other rows"

    def _write(self) -> None:
        sheet = self._sheet
        sheet.write(self._folder.path / "l.csv")
        on_change = ", on_change: rerun" if self._on_change_rerun else ""
        crew = f'{{url: "{self._crews[self._url].url}", token: "${{CREW_TOKEN}}"}}'
        crews = f"crew: {crew}" if sheet.crew == "default" else f"crews: {{{sheet.crew}: {crew}}}"
        (self._folder.path / "l.yaml").write_text(
            f"{crews}\n"
            f"run: {{concurrency: {CONCURRENCY}, poll: {{initial: 5ms, max: 20ms}}, retry: {{attempts: 1}}"
            f", stop_after_failures: none{on_change}}}\n"
            f"jobs: [{sheet.entry()}]\n",
            encoding="utf-8",
        )

    # Runs

    def _kickoffs(self) -> list[Kickoff]:
        return [kickoff for crew in self._crews for kickoff in crew.kickoffs]

    def _merged(self, *, rerun: bool = False) -> Model:
        """Return the model of the batch after the file was ingested."""
        model = copy.deepcopy(self._model)
        model.merge(self._sheet.jobs())
        if rerun or self._on_change_rerun:
            model.rerun_changed()
        return model

    def _ingest(self, *, rerun: bool = False) -> None:
        self._model = self._merged(rerun=rerun)
        self._taken_in, self._taken_in_url = copy.deepcopy(self._sheet), self._url

    def _consent(self) -> bool:
        """Check the plan; if it would pay much again, accept it or undo the edit. False: no run today."""
        allowed = copy.deepcopy(self._model).merge(self._sheet.jobs(), on_change_rerun=self._on_change_rerun)
        pending = self._merged().pending()
        missing = sum(number for inputs, number in pending.items() if MISSING in inputs)
        expected = sum(pending.values()) - missing
        if self._chance.random() < 0.4 or not allowed:
            words = self._chance.choice([("check",), ("run", "--dry-run")])
            plan = json.loads(
                self._folder.call(
                    words[0], self._folder.jobfile, *words[1:], "--json", code=2 if missing else 0 if allowed else 3
                )
            )
            assert plan["to_kick_off"] == expected, f"the plan says {plan['to_kick_off']} kickoffs, not {expected}"
        if allowed:
            return True
        before = len(self._kickoffs())
        self._folder.call(self._chance.choice(["run", "tick"]), self._folder.jobfile, code=3)
        assert len(self._kickoffs()) == before, "the plan guard was passed"
        self._runs["guarded"] += 1
        self._log.append("guarded")
        self._verify()
        if self._chance.random() < 0.5:
            self._log.append("accepted")
            self._run("--accept-changes")
        else:
            self._log.append("taken back")
            self._sheet = copy.deepcopy(self._taken_in)
            self._sheet.lost = False
            self._on_change_rerun = False
            self._write()
            self._run()
        return False

    def _run(self, *words: str, rerun: bool = False, before: Callable[[Model], None] | None = None) -> None:
        """Run to the end."""
        self._ingest(rerun=rerun)
        if before is not None:
            before(self._model)
        expected = self._model.full_run(on_change_rerun=self._on_change_rerun)
        self._expected += expected.total()
        marks = [len(crew.kickoffs) for crew in self._crews]
        code = 2 if self._model.pending() else 1 if self._model.number("stale") or self._model.number("failed") else 0
        self._folder.call("run", self._folder.jobfile, *words, code=code)
        sent = Counter(kickoff.inputs for kickoff in self._since(marks))
        assert sent == expected, f"more was sent: {sent - expected}; less: {expected - sent}"
        self._unsettled = False
        self._verify()

    def _run_rerun(self) -> None:
        self._run("--rerun-changed", rerun=True)

    def _run_retry_failed(self) -> None:
        self._run("--retry-failed", before=Model.retry_failed)

    def _run_keep(self) -> None:
        self._run()
        kept = self._model.keep()
        said = self._folder.call_inside("keep", "l")
        assert re.search(rf"\b{kept} answers? of l", said), f"{kept} answers should be kept: {said}"
        self._verify()

    def _run_nothing(self) -> None:
        """Leave the edits for another day."""

    def _run_wrong(self) -> None:
        """Run files that are wrong."""
        before = len(self._kickoffs())
        self._sheet.write(self._folder.path / "l.csv", wrong=self._chance.choice(["short", "twice", "quote"]))
        self._folder.call(self._chance.choice(["run", "tick", "check"]), self._folder.jobfile, code=2)
        assert len(self._kickoffs()) == before, "a wrong file was paid for"
        if self._model.jobs:
            self._verify()
        self._write()

    def _run_lost_column(self) -> None:
        """Run a file in which a required column has another name; it is right again afterwards."""
        self._run()
        self._sheet.lost = False
        self._write()

    def _since(self, marks: list[int]) -> list[Kickoff]:
        """Kickoffs since then, which only the present URL may have had."""
        other = 1 - self._url
        assert len(self._crews[other].kickoffs) == marks[other], "the other server was sent a kickoff"
        return self._crews[self._url].kickoffs[marks[self._url] :]

    def _observe(self, marks: list[int]) -> int:
        """Add the kickoffs of an interrupted run to the model; returns their number."""
        sent = self._since(marks)
        for kickoff in sent:
            job_id = self._sheet.model_id(kickoff)
            wrong = self._model.kick_off(job_id, kickoff.inputs, number=kickoff.number)
            assert wrong is None, wrong
        self._expected += len(sent)
        return len(sent)

    def _run_rerun_interrupted(self) -> None:
        self._interrupt("--rerun-changed", rerun=True)

    def _run_interrupted(self) -> None:
        self._interrupt()

    def _interrupt(self, *words: str, rerun: bool = False) -> None:
        """Interrupt or kill a run while executions are in progress."""
        number = min(CONCURRENCY, self._merged(rerun=rerun).ready())
        if not number:
            self._run(*words, rerun=rerun)
            return
        crew = self._crews[self._url]
        crew.hold()
        marks = [len(crew.kickoffs) for crew in self._crews]
        process = self._folder.start("run", self._folder.jobfile, *words)
        wait_until(lambda: len(crew.kickoffs) >= marks[self._url] + number, process)
        kill = self._chance.random() < 0.5
        process.send_signal(9 if kill else 2)
        _, said = process.communicate()
        self._log.append("killed" if kill else "interrupted")
        if not kill:
            assert process.returncode == 3, said
        self._unsettled |= kill
        self._ingest(rerun=rerun)
        assert number <= self._observe(marks) <= CONCURRENCY, f"{number} executions should be in progress"
        crew.release()
        self._verify()

    def _run_limited(self) -> None:
        pending = sum(self._merged().pending().values())
        if not pending:
            self._run()
            return
        limit = self._chance.randint(1, pending)
        marks = [len(crew.kickoffs) for crew in self._crews]
        self._folder.call("run", self._folder.jobfile, "--limit", str(limit), code=None)
        self._ingest()
        assert self._observe(marks) == limit, f"--limit {limit}"
        self._model.finish(on_change_rerun=self._on_change_rerun)
        self._unsettled = False
        self._verify()

    def _run_ticks(self) -> None:
        for _ in range(self._chance.randint(1, 3)):
            marks = [len(crew.kickoffs) for crew in self._crews]
            self._folder.call("tick", self._folder.jobfile, code=None)
            self._ingest()
            self._observe(marks)
            self._verify()

    # What came of it

    def _verify(self) -> None:
        """Compare the export, row by row, with the model."""
        rows = json.loads(self._folder.call_inside("export", "l", "-f", "json", "--all"))
        ended = {int(row["kickoff_id"]) for row in rows if row["kickoff_id"] and row["batchcrew_state"] != "open"}
        self._model.end(ended, on_change_rerun=self._on_change_rerun)
        jobs = list(self._model.present)
        rows = rows[: len(jobs)]
        outputs = {kickoff.output for kickoff in self._kickoffs()}
        seen: Counter[str] = Counter()
        for row, job in zip(rows, jobs, strict=True):
            shown = f"{job.job_id}: {row}"
            assert row["batchcrew_state"] == job.state, f"state {row['batchcrew_state']}, not {job.state}: {shown}"
            assert (row["topic"], row.get("tone", MISSING)) == job.inputs, f"inputs of another row: {shown}"
            output = row["output"] if job.state == "succeeded" else row.get("stale_output")
            answer = None if job.state not in {"succeeded", "stale"} or job.current is None else job.current
            if answer is None:
                assert output is None, f"an answer without an execution: {shown}"
            else:
                made_from = "|".join(answer.made_from)
                assert output in outputs, f"no answer of the crew: {shown}"
                assert output.partition(": ")[2] == made_from, f"not the answer to {made_from}: {shown}"
                seen[output] += 1
            if job.state == "stale" and answer is not None:
                assert tuple(row["stale_inputs"][name] for name in ("topic", "tone")) == answer.made_from, shown
        assert max(seen.values(), default=1) == 1, f"an answer is given twice: {seen.most_common(1)}"
        for crew in self._crews:
            assert not crew.problems, crew.problems

    def _check_the_whole_month(self) -> None:
        """Check that no inputs were paid more often than the file had them at once, except with consent."""
        paid = Counter(kickoff.inputs for kickoff in self._kickoffs() if not kickoff.inputs[0].startswith("bad"))
        beyond = paid - self._model.most - self._model.consented
        if beyond:
            raise Mismatch(f"seed {self._seed}: paid for again without consent: {beyond}\n" + "\n".join(self._days))


def simulate(
    folder: Path, *, seed: int, days: int, rows: int, ids: bool = True, report: Callable[[str], None] = lambda _: None
) -> Month:
    """Simulate a month in an empty folder."""
    with closing(), Simulation(folder, seed=seed, rows=rows, ids=ids, report=report) as simulation:
        return simulation.run(days)


def main() -> None:
    """The long one, by a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="so many months, from --seed on")
    parser.add_argument("--no-ids", action="store_true", help="begin with a sheet without ids")
    given = parser.parse_args()
    failed = kickoffs = 0
    for seed in range(given.seed, given.seed + given.seeds):
        with tempfile.TemporaryDirectory() as folder:
            report = print if given.seeds == 1 else (lambda _: None)
            try:
                month = simulate(
                    Path(folder), seed=seed, days=given.days, rows=given.rows, ids=not given.no_ids, report=report
                )
            except Mismatch as mismatch:
                failed += 1
                print(mismatch)
            else:
                kickoffs += month.kickoffs
                print(month)
    print(f"{given.seeds} months, {kickoffs} kickoffs, {failed} with a mismatch")


if __name__ == "__main__":
    main()
